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
	// the others are stored. A record that is rejected for what was said in it
	// is in the ledger all the same. After an error nothing is stored, and all
	// may be tried again.
	Insert(ctx context.Context, records []*Record) (rejected []int, err error)
	// Record returns the latest record that a reference means, ErrNotFound when
	// there is none. Counted are the votes of the record's own caller, and of
	// nobody.
	Record(ctx context.Context, ref Ref) (*Record, error)
	// Vote keeps one vote of a caller on a request, the last. ErrNotFound when
	// there is no record that the vote's reference means.
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

	// Redactor, which may be nil, is what the Writer puts the record through
	// before anything of it is kept. It is not stored.
	Redactor *Redactor

	// Ledger: the exchange is to be in the ledger. NoHistory: it is to be in
	// nothing else.
	Ledger, NoHistory bool

	Up, Down int // votes, when read
}

// Ref names the records of a request, as far as they are somebody's. Request
// ids are the clients' to choose, and two may choose the same.
type Ref struct {
	App, RequestID string
	// Caller and Tenant are whose records are meant: both empty, those from
	// when the gateway asked nobody.
	Caller, Tenant string
	// Any: whoever's they are, which is for the admin.
	Any bool
}

// Vote is what a caller thinks of an answer. The caller is the reference's:
// empty is the admin, or anybody of whom the gateway does not ask who they are.
type Vote struct {
	Ref
	Up bool
	At time.Time
}
