package persist

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// Store is what a database must do for the history: package db/dbtest is its
// specification. All methods may be called at once.
type Store interface {
	// Insert stores records. One whose ID and Start are there already is passed
	// over, so that a batch may be tried again. Rejected are the positions of
	// records that the database will never take, for reasons that lie in them;
	// the others are stored. After an error nothing is, and all may be tried
	// again.
	Insert(ctx context.Context, records []*Record) (rejected []int, err error)
	// Record returns an application's latest record with a request id,
	// ErrNotFound when there is none. Its votes are counted.
	Record(ctx context.Context, app, requestID string) (*Record, error)
	// Vote keeps one vote of a caller on a request, the last. ErrNotFound when
	// there is no record of the request.
	Vote(ctx context.Context, v Vote) error
	// Expire deletes records, and the votes on them, that began before a time:
	// what can be dropped whole at once, of the rest at most limit. It returns
	// how many rows it deleted; done tells that none are left.
	Expire(ctx context.Context, before time.Time, limit int) (deleted int, done bool, err error)
}

// ErrNotFound says that there is no such record.
var ErrNotFound = errors.New("no such request")

// Record is an exchange with what was said in it, as it is stored.
type Record struct {
	ID string // a UUID, unique to the exchange: request ids are the client's to repeat
	Exchange
	// Prompt is the request's body as the client sent it, Completion what was
	// answered, both JSON; nil when they are not kept. A streamed answer is
	// stored as the object that the endpoint would have answered unstreamed.
	Prompt, Completion json.RawMessage

	Up, Down int // votes, when read
}

// Vote is what a caller thinks of an answer.
type Vote struct {
	App       string
	RequestID string
	Caller    string // empty when the gateway asks nobody
	Up        bool
	At        time.Time
}
