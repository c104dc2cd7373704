// Package limit says how much may be used. A request asks its application's
// limits once, before the call, for what it may need, and settles with what it
// used when it is over; an endpoint is asked the same way before it is called.
//
// A limit counts in purses: one for each combination of what it is per, with
// all of the limit's amounts under one lock. A request takes from all of its
// purses or from none. Minutes are exact: no 60 seconds ever hold more than is
// allowed. Days and months are those of UTC.
//
// With a Shared, replicas count together; each one also keeps its own part, to
// go on with when Shared is away and to make good when it was emptied. Apart,
// each lets through its part of a minute's amounts and of requests at a time,
// and its part of what it knew to be left of a quota, so that all together keep
// to the limit. Only what they used unevenly, or did not know of each other,
// when they parted comes on top: together they never use twice a limit, unless it
// is less than one for each. Back together, all but the requests still under way
// is told.
package limit

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Limits is what has been used. It lives as long as the process: a reload
// forgives nothing, for what was used belongs to the id of a limit or pool, or
// to an endpoint, and not to the configuration that names it.
type Limits struct {
	clock  clock
	log    *slog.Logger
	shared Shared // nil: there is one replica
	model  func(string) string
	file   string

	ids   atomic.Uint64 // of purses
	names atomic.Uint64 // how many unique has given
	name  string        // of this process, in those

	mu      sync.Mutex // guards what follows; never taken on the request path
	books   map[string]*book
	tallies map[string]*tally // by limit id

	saved    saved
	together together
}

// Options are what Limits can do without.
type Options struct {
	Now    func() time.Time // nil: time.Now
	Log    *slog.Logger     // nil discards
	Shared Shared           // nil: there is one replica
	// Model brings the names of one model to one, those that limits are for as
	// those that ask; nil leaves them.
	Model func(string) string
	// File is where the quotas of days and months are kept over a restart, for
	// this process alone; "" nowhere.
	File string
}

// New returns limits that have counted nothing but what the file says. A file
// that cannot be understood is put aside; one that cannot be read is an error.
func New(o Options) (*Limits, error) {
	l := &Limits{
		log: o.Log, shared: o.Shared, model: o.Model, file: o.File,
		name:    strconv.FormatUint(rand.Uint64(), 36),
		books:   map[string]*book{},
		tallies: map[string]*tally{},
	}
	if l.model == nil {
		l.model = func(name string) string { return name }
	}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	l.clock.now = o.Now
	if o.Now == nil {
		l.clock.now = time.Now
	}
	l.clock.start = l.clock.now()
	l.together.wake = make(chan struct{}, 1)
	if err := l.load(); err != nil {
		return nil, fmt.Errorf("reading the quotas used so far: %w", err)
	}
	return l, nil
}

// housekeeping is how often quotas are saved and idle purses forgotten: a
// process that is killed forgives no more than was used in that time.
const housekeeping = 10 * time.Second

// Meet comes together with the other replicas, if Shared is there, so that the
// first request counts with them. It is called before Run.
func (l *Limits) Meet(ctx context.Context) {
	if l.shared != nil {
		l.meet(ctx)
	}
}

// Run keeps the file and Shared up to date and forgets what is idle, until ctx
// ends; then it saves once more. One Run per Limits; without it, nothing is
// shared or saved.
func (l *Limits) Run(ctx context.Context) {
	keep := time.NewTicker(housekeeping)
	defer keep.Stop()
	var meet <-chan time.Time
	if l.shared != nil {
		t := time.NewTicker(meeting)
		defer t.Stop()
		meet = t.C
		l.meet(ctx)
	}
	for {
		select {
		case <-ctx.Done():
			l.part(context.WithoutCancel(ctx))
			l.save()
			return
		case <-meet:
			l.meet(ctx)
		case <-l.together.wake:
			l.deliverSoon(ctx)
		case <-keep.C:
			l.prune()
			l.save()
		}
	}
}

// book returns the book of that name, new if there was none. The purses of all
// books of one limit are bounded together.
func (l *Limits) book(name, limit string) *book {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.books[name]
	if b == nil {
		t := l.tallies[limit]
		if t == nil {
			t = new(tally)
			l.tallies[limit] = t
		}
		b = &book{limits: l, name: name, limit: limit, tally: t, purses: map[string]*purse{}}
		l.books[name] = b
	}
	return b
}

// Keep forgets what belongs to limits that r does not have. It is called after
// a reload with the rules now in force, by the same goroutine that calls
// Compile; grants of forgotten limits can still be settled.
func (l *Limits) Keep(r *Rules) {
	used := map[string]bool{}
	for _, a := range r.apps {
		for _, rule := range a.all() {
			used[rule.book.name] = true
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, b := range l.books {
		if !used[name] {
			delete(l.books, name)
			b.drop()
		}
	}
	limits := map[string]bool{}
	for _, b := range l.books {
		limits[b.limit] = true
	}
	maps.DeleteFunc(l.tallies, func(limit string, _ *tally) bool { return !limits[limit] })
	l.forget(used)
}

// allBooks returns the books, by name.
func (l *Limits) allBooks() []*book {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.SortedFunc(maps.Values(l.books), func(a, b *book) int { return strings.Compare(a.name, b.name) })
}

// prune forgets idle purses.
func (l *Limits) prune() {
	m := l.clock.moment()
	for _, b := range l.allBooks() {
		b.prune(m)
	}
}
