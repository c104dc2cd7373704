package memory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Threads is what the conversations of all applications share: the store, and
// the turns that it has not taken yet. It lives as long as the process.
type Threads struct {
	store         Store
	now           func() time.Time
	log           *slog.Logger
	up            func() bool
	appendTimeout time.Duration
	pending       pending
}

// Options are what Threads can do without.
type Options struct {
	Now func() time.Time // nil: time.Now
	Log *slog.Logger     // nil discards
	// Up tells whether the store is known to be up, without asking it. While it
	// is not, known conversations are refused, and turns wait, without an
	// attempt. nil: every attempt is made.
	Up func() bool
	// AppendTimeout bounds one attempt to add a turn: it holds back the end of
	// an answer. 2 s when 0.
	AppendTimeout time.Duration
	// PendingBytes bounds the turns that wait for the store, in bytes of memory.
	// 64 MiB when 0: some 10,000 turns of ordinary length.
	PendingBytes int
}

// NewThreads returns the conversations kept in store.
func NewThreads(store Store, o Options) *Threads {
	t := &Threads{
		store:         store,
		now:           o.Now,
		log:           cmp.Or(o.Log, slog.New(slog.DiscardHandler)),
		up:            o.Up,
		appendTimeout: cmp.Or(o.AppendTimeout, 2*time.Second),
	}
	if t.now == nil {
		t.now = time.Now
	}
	t.pending.limit = cmp.Or(o.PendingBytes, 64<<20)
	t.pending.queues = map[thread]*queue{}
	return t
}

// down reports whether the store is known to be down.
func (t *Threads) down() bool { return t.up != nil && !t.up() }

// List returns the conversations of a user without their interactions, latest
// used first, at most limit. Empty app or user mean any. Turns that wait are
// saved first, where they can be. A fault of the store is an
// *UnavailableError.
func (t *Threads) List(ctx context.Context, app, user string, limit int) ([]*Record, error) {
	if t.down() {
		return nil, &UnavailableError{Err: errDown}
	}
	t.saveAll(ctx)
	records, err := t.store.List(ctx, app, user, limit)
	if err != nil {
		return nil, fault(ctx, "listing conversations", err)
	}
	return records, nil
}

// Erase deletes every conversation of a user, in one application or, when app
// is empty, in all, those among them that are not saved yet, and returns how
// many there were. A fault of the store is an *UnavailableError; Erase must
// then be called again.
func (t *Threads) Erase(ctx context.Context, app, user string) (int, error) {
	if t.down() {
		return 0, &UnavailableError{Err: errDown}
	}
	unsaved, err := t.pending.erase(ctx, app, user)
	if err != nil {
		return 0, fault(ctx, "erasing conversations that are not saved yet", err)
	}
	// Turns that wait for a thread of the store are refused by it when the
	// thread is gone.
	saved, err := t.store.Erase(ctx, app, user)
	if err != nil {
		return unsaved, fault(ctx, "erasing conversations", err)
	}
	return unsaved + saved, nil
}

// Settings are what one application wants of its conversations.
type Settings struct {
	App string
	// Keep is the number of interactions kept: the first, and the latest
	// Keep-1. Below 1 keeps all.
	Keep int
	// Since returns the time before which a conversation must have been used
	// last to be expired now. nil: none ever is.
	Since func(now time.Time) time.Time
	// Timeout bounds the wait for a conversation. 2 s when 0.
	Timeout time.Duration
	// MaxBytes is the length of the longest conversation that is sent, the new
	// messages included, in bytes of JSON. 8 MiB when 0: more than the longest
	// context of any model holds as text.
	MaxBytes int
}

// Memory is the conversations of one application under one configuration. It
// owns nothing; nil remembers nothing.
type Memory struct {
	threads *Threads
	set     Settings
}

// For returns the conversations of one application.
func (t *Threads) For(s Settings) *Memory {
	s.Timeout = cmp.Or(s.Timeout, 2*time.Second)
	s.MaxBytes = cmp.Or(s.MaxBytes, 8<<20)
	return &Memory{threads: t, set: s}
}

// Owner is who a conversation belongs to. Both are empty when the gateway asks
// nobody who they are.
type Owner struct{ Caller, Tenant string }

// Read returns a conversation with the interactions that the window holds. The
// errors are those of Expand. An admin may read what belongs to anybody, also
// when it has expired and is not deleted yet.
func (m *Memory) Read(ctx context.Context, id string, who Owner, admin bool) (*Record, error) {
	if m == nil {
		return nil, &InvalidThread{ID: id}
	}
	return m.load(ctx, id, who, admin, m.set.Keep)
}

// Delete deletes a conversation. Errors and rights are those of Read.
func (m *Memory) Delete(ctx context.Context, id string, who Owner, admin bool) error {
	if m == nil {
		return &InvalidThread{ID: id}
	}
	known, err := m.load(ctx, id, who, admin, 1) // the least: only its owner is of interest
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, m.set.Timeout)
	defer cancel()
	switch was, err := m.threads.store.Delete(ctx, m.set.App, known.ID); {
	case err != nil:
		return fault(ctx, "deleting a conversation", err)
	case !was:
		return &InvalidThread{ID: id}
	}
	return nil
}

// load returns a conversation as a window of keep holds it, after the turns of
// it that wait have been saved.
func (m *Memory) load(ctx context.Context, id string, who Owner, admin bool, keep int) (*Record, error) {
	canonical, ok := parseID(id)
	if !ok {
		return nil, &InvalidThread{ID: id}
	}
	if m.threads.down() {
		return nil, &UnavailableError{Err: errDown}
	}
	bounded, cancel := context.WithTimeout(ctx, m.set.Timeout)
	defer cancel()
	if err := m.threads.save(bounded, thread{m.set.App, canonical}); err != nil {
		return nil, fault(ctx, "saving the conversation's last turn", err)
	}
	r, err := m.threads.store.Thread(bounded, m.set.App, canonical, keep)
	switch {
	case errors.Is(err, ErrUnknown):
		return nil, &InvalidThread{ID: id}
	case err != nil:
		return nil, fault(ctx, "reading a conversation", err)
	case admin:
		return r, nil
	case who != (Owner{r.Caller, r.Tenant}):
		return nil, &InvalidThread{ID: id}
	case m.set.Since != nil && r.Used.Before(m.set.Since(m.threads.now())):
		return nil, &InvalidThread{ID: id}
	}
	return r, nil
}

// parseID returns a UUID in lower case; only the form of 36 characters is one.
func parseID(id string) (string, bool) {
	if len(id) != 36 || uuid.Validate(id) != nil {
		return "", false
	}
	return strings.ToLower(id), true
}

// InvalidThread says that a caller has no such conversation: the id is not a
// UUID, or unknown, or expired, or of another application or owner. Which of
// these is not for the caller to know.
type InvalidThread struct{ ID string }

func (e *InvalidThread) Error() string { return fmt.Sprintf("no conversation %.64q", e.ID) }

// UnavailableError says that a conversation cannot be read or changed now
// because of the store. Another attempt may succeed.
type UnavailableError struct{ Err error }

func (e *UnavailableError) Error() string { return "conversations are unavailable: " + e.Err.Error() }

func (e *UnavailableError) Unwrap() error { return e.Err }

// NothingNew says that a conversation holds all messages of a request already,
// so that there is nothing to answer.
type NothingNew struct{}

func (e *NothingNew) Error() string {
	return "the conversation holds all of these messages already: nothing is asked"
}

// TooLong says that a conversation would be longer than it may, in bytes of
// JSON.
type TooLong struct{ Bytes, Limit int }

func (e *TooLong) Error() string {
	return fmt.Sprintf("the conversation is %d bytes long with these messages, and may be %d: start a new one", e.Bytes, e.Limit)
}

var errDown = errors.New("the store is known to be down")

// fault wraps an error of the store in what was being done. It is an
// *UnavailableError unless the caller itself has given up.
func fault(ctx context.Context, doing string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", doing, context.Cause(ctx))
	}
	return &UnavailableError{Err: fmt.Errorf("%s: %w", doing, err)}
}
