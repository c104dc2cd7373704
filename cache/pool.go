package cache

import (
	"cmp"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Defaults of PoolOptions.
const (
	defaultEntryBytes     = 64 << 20 // some 30,000 answers of 2 kB
	defaultEmbeddingBytes = 32 << 20 // some 5,000 embeddings of 1,536
)

// PoolOptions are what a Pool works with. Index is required.
type PoolOptions struct {
	Index Index
	Now   func() time.Time // time.Now when nil
	Log   *slog.Logger     // nil discards

	EntryBytes     int64 // room for entries in memory; 64 MiB when 0
	EmbeddingBytes int64 // room for embeddings in memory; 32 MiB when 0
}

// Pool is what the caches of all applications share: the index, entries and
// embeddings in memory, hits that were not told yet, entries that wait to be
// stored. It lives as long as the process, however often the configuration
// changes.
type Pool struct {
	index Index
	now   func() time.Time
	log   *slog.Logger

	recent     *recent
	embeddings *embeddings
	queue      queue
	uses       uses

	mu    sync.Mutex
	books map[string]*book // by application; guarded by mu

	down   bool // the last write failed; of Run alone
	faults atomic.Int64
}

// book is what the pool knows of one application.
type book struct {
	app string
	// generation counts how often the entries were forgotten. What was read or
	// asked in an earlier one is not kept.
	generation atomic.Int64
	most       atomic.Int64 // entries
	bytes      atomic.Int64
	untrimmed  atomic.Bool // something was added, or the bounds changed
}

// limit sets the bounds.
func (b *book) limit(most int, bytes int64) {
	changed := b.most.Swap(int64(most)) != int64(most)
	if b.bytes.Swap(bytes) != bytes || changed {
		b.untrimmed.Store(true)
	}
}

func (b *book) bounded() bool {
	return b.most.Load() != math.MaxInt || b.bytes.Load() != math.MaxInt64
}

// NewPool returns an empty pool. Nothing is stored until Run runs.
func NewPool(o PoolOptions) *Pool {
	p := &Pool{
		index: o.Index, now: o.Now, log: o.Log,
		recent:     newRecent(cmp.Or(o.EntryBytes, defaultEntryBytes)),
		embeddings: newEmbeddings(cmp.Or(o.EmbeddingBytes, defaultEmbeddingBytes)),
		queue:      queue{wake: make(chan struct{}, 1)},
		books:      map[string]*book{},
	}
	if p.now == nil {
		p.now = time.Now
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	return p
}

func (p *Pool) bookOf(app string) *book {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.books[app]
	if b == nil {
		b = &book{app: app}
		p.books[app] = b
	}
	return b
}

// Forget drops what is in memory of an application: its entries, those that
// wait to be stored, and what requests that are under way would store. It is
// to be called after Index.Purge. A batch that is being written in that very
// moment may stay.
func (p *Pool) Forget(app string) {
	p.bookOf(app).generation.Add(1)
	p.queue.forget(app)
	p.recent.forget(app)
}

// ForgetEntry drops an entry from memory, after Index.Delete.
func (p *Pool) ForgetEntry(id int64) { p.recent.forgetID(id) }

// Stats are counts since the start, and amounts now.
type Stats struct {
	Entries      int   // in memory
	Bytes        int64 // of them
	Waiting      int   // entries to be stored
	WaitingBytes int64

	Stored  int64 // entries
	Dropped int64 // entries that could not be stored, or found no room to wait
	Faults  int64 // look-ups that the database did not answer, or not in time

	Embeddings           int // in memory
	EmbeddingBytes       int64
	EmbeddingsMade       int64
	EmbeddingsShared     int64 // made for another request at the same time
	EmbeddingsRemembered int64 // found in memory
	EmbeddingsFailed     int64
}

// Stats returns what there is to say of the pool now.
func (p *Pool) Stats() Stats {
	s := Stats{
		Stored: p.queue.stored.Load(), Dropped: p.queue.dropped.Load(), Faults: p.faults.Load(),
		EmbeddingsMade: p.embeddings.made.Load(), EmbeddingsShared: p.embeddings.shared.Load(),
		EmbeddingsRemembered: p.embeddings.remembered.Load(), EmbeddingsFailed: p.embeddings.failed.Load(),
	}
	s.Entries, s.Bytes = p.recent.size()
	s.Waiting, s.WaitingBytes = p.queue.size()
	s.Embeddings, s.EmbeddingBytes = p.embeddings.size()
	return s
}
