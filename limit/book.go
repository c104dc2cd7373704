package limit

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// mostPurses bounds the purses of one limit, each of some 500 bytes, so that
	// users who name themselves cannot take all memory.
	mostPurses = 100_000
	// leastPurses is what an application can have of a limit that is counted by
	// application even when others have filled it.
	leastPurses = 1000
	// glance is how many purses are looked at while their book is locked.
	glance = 128
	// remind is how soon the log is told again that a limit has no room.
	remind = time.Hour
	// peek is how many purses a new one that finds no room looks at for one that
	// is idle, while its request waits.
	peek = 16
)

// tally is what the books of one limit have together.
type tally struct {
	purses atomic.Int64
	told   atomic.Int64 // when the log was last told that there is no room, in Unix nanoseconds; 0 never
}

// book is the purses of one limit; a limit that is counted by application has
// one for each, so that applications do not meet in its lock.
type book struct {
	limits *Limits
	name   string
	limit  string // id
	tally  *tally

	// How requests fared; crowded are those that drew on rest.
	admitted, refused, over, crowded atomic.Int64

	mu      sync.RWMutex // guards what follows; purses are locked under it, never it under purses
	dropped bool         // from Limits
	purses  map[string]*purse
	all     []*purse
	hand    int    // of all: where to look for idle ones next
	rest    *purse // of those for whom there was no room
}

// find returns the purse of values, new if there was none, or the one for all
// for whom there is no room. It may be gone by the time that it is locked.
func (b *book) find(values []byte) *purse {
	b.mu.RLock()
	p := b.purses[string(values)]
	b.mu.RUnlock()
	if p != nil {
		return p
	}
	m := b.limits.clock.moment()
	if p = b.add(string(values), &m); p.rest {
		b.tellFull(&m)
	}
	return p
}

// add is find for those who have no purse yet.
func (b *book) add(values string, m *moment) *purse {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.purses[values]; p != nil {
		return p
	}
	if b.full() && b.forgetIdle(peek, m) == 0 {
		if b.rest == nil {
			b.rest = b.open("*", true)
			b.rest.rest = true
		}
		return b.rest
	}
	p := b.open(values, false)
	b.purses[values] = p
	return p
}

// look returns what find would, but a new purse is not kept: it holds what the
// file says of the account, and nobody else has it.
func (b *book) look(values []byte, m *moment) *purse {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if p := b.purses[string(values)]; p != nil {
		return p
	}
	if b.rest != nil && b.full() {
		return b.rest
	}
	p := &purse{key: b.name + string(values)}
	for a := range quotas {
		start := m.period(a)
		if used := b.limits.saved.look(p.key, a, start); used > 0 {
			p.calendars[a] = &calendar{now: span{start: start, used: used, total: used}}
		}
	}
	return p
}

// tellFull tells the log that those for whom there was no room share a purse.
func (b *book) tellFull(m *moment) {
	now, told := m.at.UnixNano(), b.tally.told.Load()
	if told != 0 && time.Duration(now-told).Abs() < remind || !b.tally.told.CompareAndSwap(told, now) {
		return
	}
	b.limits.log.Warn("a limit has no room for more accounts: further ones share one", "limit", b.limit, "accounts", b.tally.purses.Load())
}

// pin returns the purse of values, which stays.
func (b *book) pin(values string) *purse {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.purses[values]
	if p == nil {
		p = b.open(values, true)
		b.purses[values] = p
	}
	return p
}

func (b *book) full() bool {
	return len(b.all) >= leastPurses && b.tally.purses.Load() >= mostPurses
}

// open adds a purse. b.mu is held.
func (b *book) open(values string, pinned bool) *purse {
	p := &purse{id: b.limits.ids.Add(1), key: b.name + values, pinned: pinned}
	b.all = append(b.all, p)
	if !b.dropped {
		b.tally.purses.Add(1)
	}
	return p
}

// forgetIdle looks at the next n purses and forgets those that are idle. It
// returns how many those were. b.mu is held.
func (b *book) forgetIdle(n int, m *moment) (forgotten int) {
	for range min(n, len(b.all)) {
		if b.hand >= len(b.all) {
			b.hand = 0
		}
		p := b.all[b.hand]
		p.mu.Lock()
		p.gone = p.idle(m)
		gone := p.gone
		p.mu.Unlock()
		if !gone {
			b.hand++
			continue
		}
		delete(b.purses, p.key[len(b.name):])
		last := len(b.all) - 1
		b.all[b.hand], b.all[last] = b.all[last], nil
		b.all = b.all[:last]
		if !b.dropped {
			b.tally.purses.Add(-1)
		}
		forgotten++
	}
	return forgotten
}

// prune forgets all idle purses, some at a time.
func (b *book) prune(m moment) {
	for left := b.size(); left > 0; left -= glance {
		b.mu.Lock()
		b.forgetIdle(glance, &m)
		b.mu.Unlock()
	}
}

func (b *book) size() int {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return len(b.all)
}

// drop takes the book out of its limit's tally.
func (b *book) drop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dropped = true
	b.tally.purses.Add(-int64(len(b.all)))
}

// each calls f with every purse, locked.
func (b *book) each(f func(*purse)) {
	b.mu.RLock()
	all := slices.Clone(b.all)
	b.mu.RUnlock()
	for _, p := range all {
		p.mu.Lock()
		f(p)
		p.mu.Unlock()
	}
}

// byID is the order in which purses are locked.
func byID(a, b entry) int { return cmp.Compare(a.purse.id, b.purse.id) }
