package cache

import (
	"sync"
	"time"
)

// recheck is how long an entry in memory is believed to be in the database:
// what another replica deleted or replaced is not answered for longer.
const recheck = 30 * time.Second

// recent keeps the entries that were used last in memory, for all
// applications: their keys hold the application.
type recent struct {
	mu      sync.Mutex
	entries *lru[Hash, *held]
	byID    map[int64]*held // of those that have an ID
}

// held is an entry in memory.
type held struct {
	entry *Entry    // never changed, without its vector
	seen  time.Time // when the database last had it; guarded by recent.mu
}

func newRecent(bytes int64) *recent {
	r := &recent{byID: map[int64]*held{}}
	r.entries = newLRU(bytes, func(_ Hash, h *held) {
		delete(r.byID, h.entry.ID)
	})
	return r
}

// find returns the entry with a key, nil when there is none. A stale one has
// to be asked for in the database; meanwhile, for one time limit of a look-up,
// others still find it fresh, so that a popular entry is asked for once.
func (r *recent) find(key Hash, now time.Time) (e *Entry, stale bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h, ok := r.entries.get(key)
	if !ok {
		return nil, false
	}
	if stale = now.Sub(h.seen) > recheck; stale {
		h.seen = now
	}
	return h.entry, stale
}

// withID returns the entry with an id that the database has just named, nil
// when it is not in memory.
func (r *recent) withID(id int64) *Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.byID[id]
	if h == nil {
		return nil
	}
	r.entries.get(h.entry.Key) // makes it the latest
	return h.entry
}

// keep puts a copy of e into memory, which shares its answer, as one that the
// database has now, and returns it. It does not when the application's entries
// were forgotten after the generation in which e was read or made.
func (r *recent) keep(e *Entry, now time.Time, b *book, generation int64) *Entry {
	c := *e
	c.Vector = nil
	h := &held{entry: &c, seen: now}
	r.mu.Lock()
	defer r.mu.Unlock()
	if b.generation.Load() != generation {
		return &c
	}
	r.entries.put(c.Key, h, c.Size())
	if r.entries.has(c.Key) && c.ID != 0 {
		r.byID[c.ID] = h
	}
	return &c
}

// drop forgets e, unless another has taken its place.
func (r *recent) drop(e *Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n, ok := r.entries.items[e.Key]; ok && n.value.entry == e {
		r.entries.remove(e.Key)
	}
}

// number puts an entry that has been given an ID in the place of e, unless
// another has taken it.
func (r *recent) number(e *Entry, id int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n, ok := r.entries.items[e.Key]; ok && n.value.entry == e {
		c := *e
		c.ID = id
		n.value = &held{entry: &c, seen: n.value.seen}
		r.byID[id] = n.value
	}
}

// forget drops the entries of an application.
func (r *recent) forget(app string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries.removeIf(func(h *held) bool { return h.entry.App == app })
}

func (r *recent) forgetID(id int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h := r.byID[id]; h != nil {
		r.entries.remove(h.entry.Key)
	}
}

func (r *recent) size() (entries int, bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.entries.items), r.entries.bytes
}
