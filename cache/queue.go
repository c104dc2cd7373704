package cache

import (
	"sync"
	"sync/atomic"
)

const (
	// maxWaiting bounds the entries that wait while the database is slow, and
	// maxWaitingBytes their size: some seconds of a busy gateway.
	maxWaiting      = 10_000
	maxWaitingBytes = 64 << 20
	// maxBatch is how many entries go to the database at once. An HNSW insert
	// takes about 2 ms, so a batch is done in a fraction of a second.
	maxBatch = 100
	// maxUses bounds the entries whose hits are counted between two reports.
	maxUses = 10_000
)

// queue holds the entries that wait to be stored.
type queue struct {
	mu      sync.Mutex
	waiting []waiting // guarded by mu, like bytes
	bytes   int64
	wake    chan struct{} // has a value when there may be entries

	stored, dropped atomic.Int64
}

// waiting is an entry to be stored, its copy in memory, and where it belongs.
type waiting struct {
	entry, held *Entry
	book        *book
	generation  int64
}

// put adds an entry; false says that there is no room, or that its
// application's entries have been forgotten meanwhile.
func (q *queue) put(w waiting) bool {
	size := w.entry.Size()
	q.mu.Lock()
	defer q.mu.Unlock()
	if w.book.generation.Load() != w.generation {
		return false
	}
	if len(q.waiting) >= maxWaiting || q.bytes+size > maxWaitingBytes {
		q.dropped.Add(1)
		return false
	}
	q.waiting = append(q.waiting, w)
	q.bytes += size
	q.rouse()
	return true
}

func (q *queue) rouse() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take removes the next batch. When more wait, it rouses once more.
func (q *queue) take() []waiting {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(len(q.waiting), maxBatch)
	batch := q.waiting[:n:n]
	if q.waiting = q.waiting[n:]; len(q.waiting) == 0 {
		q.waiting = nil
	} else {
		q.rouse()
	}
	for _, w := range batch {
		q.bytes -= w.entry.Size()
	}
	return batch
}

// back puts a batch in front again.
func (q *queue) back(batch []waiting) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, w := range batch {
		q.bytes += w.entry.Size()
	}
	q.waiting = append(batch, q.waiting...)
}

// forget drops the entries of an application.
func (q *queue) forget(app string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var rest []waiting // another list: the old one is shared with batches
	for _, w := range q.waiting {
		if w.entry.App == app {
			q.bytes -= w.entry.Size()
		} else {
			rest = append(rest, w)
		}
	}
	q.waiting = rest
}

func (q *queue) size() (n int, bytes int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting), q.bytes
}

// uses counts hits until they are reported. When there is no room for another
// entry its hits are not counted.
type uses struct {
	mu    sync.Mutex
	count map[int64]Use // guarded by mu
}

func (u *uses) add(e *Entry, use Use) {
	if e.ID == 0 {
		return // not stored yet
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	was, ok := u.count[e.ID]
	if !ok && len(u.count) >= maxUses {
		return
	}
	if u.count == nil {
		u.count = map[int64]Use{}
	}
	if was.Last.After(use.Last) {
		use.Last = was.Last
	}
	use.Hits += was.Hits
	u.count[e.ID] = use
}

// take returns the hits since the last call.
func (u *uses) take() []Use {
	u.mu.Lock()
	defer u.mu.Unlock()
	list := make([]Use, 0, len(u.count))
	for _, use := range u.count {
		list = append(list, use)
	}
	clear(u.count)
	return list
}
