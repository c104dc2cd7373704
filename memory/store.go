package memory

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// Store is what a database must do for conversations: package db/dbtest is its
// specification. All methods may be called at once, also from several
// processes.
type Store interface {
	// Thread returns a conversation with the interactions that a window of
	// keep holds: the first and the latest keep-1; all when keep is below 1.
	// ErrUnknown when there is none.
	Thread(ctx context.Context, app, id string, keep int) (*Record, error)
	// Append adds a turn in one transaction, and returns when it is durable.
	// A turn with an id that is there already changes nothing: Append may be
	// tried again. A turn that starts a thread makes it; a turn of a thread
	// that has gone since (deleted, expired) is ErrUnknown.
	Append(ctx context.Context, t *Turn) error
	// Delete deletes a conversation, and reports whether it was there.
	Delete(ctx context.Context, app, id string) (bool, error)
	// List returns conversations without their interactions, latest used
	// first, at most limit. Empty app or user mean any.
	List(ctx context.Context, app, user string, limit int) ([]*Record, error)
	// Erase deletes every conversation of a user, in one application or, when
	// app is empty, in all.
	Erase(ctx context.Context, app, user string) (int, error)
	// Expire deletes at most limit conversations of an application that were
	// last used before a time.
	Expire(ctx context.Context, app string, before time.Time, limit int) (int, error)
}

// ErrUnknown says that there is no such conversation, or that it belongs to
// somebody else, or has expired.
var ErrUnknown = errors.New("unknown conversation")

// Record is a conversation as it is stored.
type Record struct {
	ID       string // a UUID
	App      string
	Caller   string // who started it; empty when the gateway asked nobody
	Tenant   string
	User     string // the body's user of the first turn
	Endpoint string // id of the endpoint that answered last
	Created  time.Time
	Used     time.Time // last turn

	// Interactions are in order; First is always among them.
	Interactions []Interaction
}

// Interaction is what a user said and all that answered it: the user's
// messages (in the first interaction the system's too), the assistant's, and
// the tools' in between.
type Interaction struct {
	Number   int // counts from 0 in the thread; never given twice
	Messages []json.RawMessage
}

// Turn is one request and its answer, to be added to a thread.
type Turn struct {
	ID        string // a UUID of the turn: a turn is added once
	RequestID string
	Thread    string // a UUID
	App       string
	Caller    string
	Tenant    string
	User      string
	Endpoint  string
	// Start: the turn begins the thread.
	Start bool
	// Extends is the number of the interaction that the turn goes on with
	// (what a tool answered), or -1 when it is an interaction of its own, which
	// gets the next number.
	Extends  int
	Messages []json.RawMessage // what was said, then what was answered
	At       time.Time
	// Keep is the window: interactions between the first and the latest Keep-1
	// are deleted; below 1 keeps all.
	Keep int
}
