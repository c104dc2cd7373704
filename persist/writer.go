package persist

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Options say how a Writer works. Store is needed; the zero value of the
// others works.
type Options struct {
	Store Store
	// Dir is the folder of the spool; it is made if need be. Several processes
	// may share it: each writes a folder of its own in it, and what a dead one
	// left is shipped by another within a minute. Empty: no spool, what waits
	// does so in memory only.
	Dir string
	// Up tells whether the database is known to be there: while it is not,
	// nothing is tried. nil: it is always tried.
	Up  func() bool
	Now func() time.Time
	Log *slog.Logger // nil discards

	// QueueBytes bounds what waits in memory for the spool, and for the database
	// while the spool cannot be written: 64 MiB. Up to a quarter as much again
	// is kept of what is spooled, so that it need not be read back.
	QueueBytes int64
	// SegmentBytes is when a file of the spool is followed by a new one: 8 MiB.
	SegmentBytes int64
	// SpoolBytes bounds the spool, together with what other processes left and
	// this one took over: 1 GiB.
	SpoolBytes int64
	// BatchRows is the most rows of one insert: 200.
	BatchRows int
}

// Writer takes records off the request path and brings them to the database:
// from a bounded queue in memory to a spool on disk, and from there, as soon as
// the database takes them, to their table. Run and Ship do the work and have
// to run, each once, at the same time.
//
// What can be lost: by the end of the process (kill -9), what Write took and
// Run had not yet written to the spool, which it does at once; by a power cut,
// what the spool got in the last second, as it is synced each second; while
// neither spool nor database takes anything, what is over QueueBytes; when
// somebody deletes the spool, what of it was not in memory too. These last two
// are seen: Stats counts them and the log tells them. Nothing is stored
// twice: after a restart, rows of a segment that was shipped in part come
// again, and the database knows them by their key.
type Writer struct {
	store Store
	o     Options
	now   func() time.Time
	log   *slog.Logger

	wake, ready chan struct{} // of one place: rows in the queue; rows to ship
	spooled     chan struct{} // closed when Run has spooled its last
	blocked     atomic.Bool   // the spool takes nothing: rows go from the queue to the database

	// Of Run only.
	frames    []byte
	ends      []int64
	blockedAt time.Time // when the spool was last tried in vain
	// Of Ship only.
	adopted []*folder
	batch   int  // rows of the next insert: fewer after one that did not end well
	down    bool // since the last insert that did

	tally                   tally
	written, rejected, lost atomic.Int64

	mu          sync.Mutex
	own         *folder
	queue       []*Record
	fit         int   // rows at the front of queue that fitToStore has seen
	queued      int64 // weight of queue and taken
	taken       int   // rows on their way out of the queue
	closed      bool  // nobody will look at the queue again
	losing      int64 // lost since the queue was last empty
	lastError   string
	lastErrorAt time.Time
	oldest      time.Time
}

// Stats is how a Writer is doing.
type Stats struct {
	Queued, QueuedBytes int64  // in memory only
	SpooledRows         int64  // on disk, not yet in the database
	SpooledBytes        int64  // of the spool's files
	Written             int64  // rows that the database has, from this process
	Rejected            int64  // rows that the database will never take
	Lost                int64  // rows that could not be kept, or not read back
	Blocked             bool   // the spool cannot be written
	LastError           string // what went wrong last, without addresses or content; empty when nothing did
	LastErrorAt         time.Time
	OldestSpooled       time.Time // about when the oldest row of the spool began; zero when it is empty
}

// NewWriter opens the spool. A folder that cannot be made or locked is an
// error, unless the disk is full: that is outlived.
func NewWriter(o Options) (*Writer, error) {
	o.QueueBytes = cmp.Or(o.QueueBytes, 64<<20)
	o.SegmentBytes = cmp.Or(o.SegmentBytes, 8<<20)
	o.SpoolBytes = cmp.Or(o.SpoolBytes, 1<<30)
	o.BatchRows = cmp.Or(o.BatchRows, 200)
	w := &Writer{
		store: o.Store, o: o, now: o.Now, log: o.Log, batch: o.BatchRows,
		wake: make(chan struct{}, 1), ready: make(chan struct{}, 1),
		spooled: make(chan struct{}),
	}
	if w.now == nil {
		w.now = time.Now
	}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	if o.Dir == "" {
		w.blocked.Store(true)
		return w, nil
	}
	if err := w.open(); errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		w.block(err)
	} else if err != nil {
		return nil, err
	}
	return w, nil
}

// open takes the first folder of the spool that no other process has.
func (w *Writer) open() error {
	if err := os.MkdirAll(w.o.Dir, 0o700); err != nil {
		return fmt.Errorf("opening the history spool: %w", err)
	}
	for i := range 1000 { // processes that share a folder are replicas: ten are many
		f, err := openFolder(filepath.Join(w.o.Dir, strconv.Itoa(i)), &w.tally, w.o.QueueBytes/4, w.log)
		if err != nil {
			return fmt.Errorf("opening the history spool: %w", err)
		}
		if f == nil {
			continue
		}
		oldest := time.Time{}
		if n := f.rows(); n > 0 {
			if b, err := f.read(1); err == nil && len(b.records) > 0 {
				oldest = b.records[0].Start
			}
			w.log.Info("history waits in the spool since an earlier run", "rows", n)
			signal(w.ready)
		}
		w.mu.Lock()
		w.own, w.oldest = f, oldest
		w.mu.Unlock()
		return nil
	}
	return errors.New("opening the history spool: all its folders are in use")
}

// Write hands a record over as it is, which belongs to the Writer from then on,
// and returns at once: Run and Ship make it fit to be stored, without secrets
// and without what its Redactor hides. A nil Writer keeps no history.
func (w *Writer) Write(r *Record) {
	if w == nil || r == nil {
		return
	}
	if s := r.CacheScore; math.IsNaN(s) || math.IsInf(s, 0) {
		r.CacheScore = 0 // no score is such, and JSON has no words for them
	}
	r.Trace = nil // is not stored, and may hold all that was said once more
	n := weight(r)
	w.mu.Lock()
	if w.closed || w.queued+n > w.o.QueueBytes {
		w.losing++
		first := w.losing == 1
		w.mu.Unlock()
		w.lost.Add(1)
		if first {
			w.log.Error("history is being lost: neither spool nor database takes enough")
		}
		return
	}
	w.queue = append(w.queue, r)
	w.queued += n
	w.mu.Unlock()
	signal(w.wake)
}

// weight is about the memory that a record holds.
func weight(r *Record) int64 {
	const fixed = 1 << 10 // of the struct, its short strings and an attempt or two
	n := fixed + len(r.Prompt) + len(r.Completion) + len(r.RequestID) + len(r.User) + len(r.Tenant) + len(r.Thread) +
		len(r.Model) + len(r.Answered) + len(r.Operation)
	return int64(n + 256*len(r.Attempts))
}

// take removes rows from the front of the queue, about as many bytes as given,
// at least one row if there is one, and makes them fit to be stored. They count
// as queued until they are given to release or back.
func (w *Writer) take(rows int, bytes int64) []*Record {
	taken, raw := w.cut(rows, bytes)
	grown := int64(0)
	for _, r := range raw {
		grown -= weight(r)
		r.fitToStore()
		grown += weight(r)
	}
	if grown != 0 {
		w.mu.Lock()
		w.queued += grown
		w.mu.Unlock()
	}
	return taken
}

// cut is take without what is done to the rows; raw are those of taken to
// which it has not been done.
func (w *Writer) cut(rows int, bytes int64) (taken, raw []*Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, sum := 0, int64(0)
	for n < min(rows, len(w.queue)) {
		if sum += weight(w.queue[n]); n > 0 && sum > bytes {
			break
		}
		n++
	}
	w.taken += n
	fit := min(n, w.fit)
	w.fit -= fit
	taken = w.queue[:n:n]
	if n == len(w.queue) {
		w.queue = nil
		return taken, taken[fit:]
	}
	taken = slices.Clone(taken)
	clear(w.queue[:n]) // not to be held by the array
	w.queue = w.queue[n:]
	return taken, taken[fit:]
}

// release forgets rows that were taken and are safe now.
func (w *Writer) release(records []*Record) {
	w.mu.Lock()
	for _, r := range records {
		w.queued -= weight(r)
	}
	w.taken -= len(records)
	lost := int64(0)
	if w.queued == 0 {
		lost, w.losing = w.losing, 0
	}
	w.mu.Unlock()
	if lost > 0 {
		w.log.Error("history was lost", "rows", lost)
	}
}

// back puts rows that were taken in front of the queue again.
func (w *Writer) back(records []*Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.again(records)
	w.taken -= len(records)
}

// again puts rows that are fit to be stored in front of the queue. w.mu is held.
func (w *Writer) again(records []*Record) {
	w.queue = append(records, w.queue...)
	w.fit += len(records)
}

// Stats tells how the Writer is doing. A nil Writer does nothing.
func (w *Writer) Stats() Stats {
	if w == nil {
		return Stats{}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return Stats{
		Queued: int64(len(w.queue) + w.taken), QueuedBytes: w.queued,
		SpooledRows: w.tally.rows.Load(), SpooledBytes: w.tally.bytes.Load(),
		Written: w.written.Load(), Rejected: w.rejected.Load(), Lost: w.lost.Load(),
		Blocked: w.blocked.Load() && w.o.Dir != "", LastError: w.lastError, LastErrorAt: w.lastErrorAt,
		OldestSpooled: w.oldest,
	}
}

// fault keeps what went wrong in words fit for a status page.
func (w *Writer) fault(where string, err error) {
	what := "did not take rows"
	var errno syscall.Errno
	switch {
	case errors.Is(err, errFull):
		what = "full"
	case errors.As(err, &errno):
		what = errno.Error()
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrExist), errors.Is(err, fs.ErrPermission):
		what = "not accessible"
	case isTimeout(err):
		what = "timed out"
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lastError, w.lastErrorAt = where+": "+what, w.now()
}

// ownFolder returns the folder that this process writes, nil when it has none.
func (w *Writer) ownFolder() *folder {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.own
}

// signal fills a channel of one place.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
