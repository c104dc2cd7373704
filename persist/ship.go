package persist

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

const (
	// linger is how long rows may wait for others to share an insert.
	linger = 20 * time.Millisecond
	// insertTimeout ends an insert that hangs: far above what batchBytes take.
	insertTimeout = 30 * time.Second
	// The pause after a failed insert doubles from the first to the second.
	firstPause, longestPause = 100 * time.Millisecond, 5 * time.Second
	// adoptEvery is how often folders of dead processes are looked for.
	adoptEvery = time.Minute
	// lastShipping is how long the end of the process waits for the database.
	lastShipping = 3 * time.Second
)

// errDown says that the database is known not to be there.
var errDown = errors.New("the database is down")

// Ship brings rows from the spool to the database until ctx ends and Run has
// returned: then what the database takes within 3 s, and gives the spool up.
// The rest stays on disk for the next start.
func (w *Writer) Ship(ctx context.Context) {
	w.ship(ctx)
	<-w.spooled
	if w.blocked.Load() {
		w.o.Up = nil // what is in memory only is worth a try in any case
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastShipping)
	defer cancel()
	for {
		if n, err := w.shipBatch(last); n == 0 || err != nil {
			break
		}
	}
	w.close()
}

func (w *Writer) ship(ctx context.Context) {
	var adopted time.Time
	pause := firstPause
	for ctx.Err() == nil {
		if now := w.now(); now.Sub(adopted) >= adoptEvery {
			adopted = now
			w.adopt()
		}
		n, err := w.shipBatch(ctx)
		if err != nil {
			wait(ctx, nil, pause)
			pause = min(2*pause, longestPause)
			continue
		}
		pause = firstPause
		if n == 0 {
			wait(ctx, w.ready, adoptEvery)
		}
		if w.tally.rows.Load() < int64(w.o.BatchRows) {
			wait(ctx, nil, linger)
		}
	}
}

// wait returns when ctx ends, when c (which may be nil) gives something, or
// after d.
func wait(ctx context.Context, c <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-c:
	case <-timer.C:
	}
}

// shipBatch brings the next rows to the database and returns how many left
// the spool or the queue; 0 when there are none.
func (w *Writer) shipBatch(ctx context.Context) (int, error) {
	f := w.front()
	if f == nil {
		return w.shipQueue(ctx)
	}
	b, err := f.read(w.batch)
	if err != nil {
		w.fault("spool", err)
		w.log.Warn("history spool cannot be read", "error", err)
		return 0, err
	}
	if err := w.insert(ctx, b.records); err != nil {
		return 0, err
	}
	if !f.done(b) {
		return b.rows, nil
	}
	if b.lost > 0 {
		w.lost.Add(int64(b.lost))
		w.log.Error("rows of the history spool are damaged and set aside", "rows", b.lost, "segment", b.segment.path)
	}
	w.passed(b.records)
	return b.rows, nil
}

// shipQueue brings rows past a spool that takes none to the database.
func (w *Writer) shipQueue(ctx context.Context) (int, error) {
	if !w.blocked.Load() {
		return 0, nil
	}
	records := w.take(w.batch, batchBytes)
	if err := w.insert(ctx, records); err != nil {
		w.back(records)
		return 0, err
	}
	w.release(records)
	return len(records), nil
}

// front returns the folder whose rows are next: what others left is finite,
// and older. nil when no folder has rows.
func (w *Writer) front() *folder {
	for len(w.adopted) > 0 {
		if w.adopted[0].rows() > 0 {
			return w.adopted[0]
		}
		w.adopted[0].close()
		w.adopted = w.adopted[1:]
	}
	if own := w.ownFolder(); own != nil && own.rows() > 0 {
		return own
	}
	return nil
}

// insert stores records, all that the database will ever take.
func (w *Writer) insert(ctx context.Context, records []*Record) error {
	if len(records) == 0 {
		return nil
	}
	if w.o.Up != nil && !w.o.Up() {
		w.fault("database", errDown)
		w.note(errDown)
		return errDown
	}
	ctx, cancel := context.WithTimeout(ctx, insertTimeout)
	defer cancel()
	rejected, err := w.store.Insert(ctx, records)
	if err != nil {
		if !errors.Is(err, context.Canceled) {
			w.fault("database", err)
			w.note(err)
		}
		w.batch = max(1, w.batch/2) // it may have been too much for its time
		return err
	}
	w.note(nil)
	w.batch = min(2*w.batch, w.o.BatchRows)
	w.written.Add(int64(len(records) - len(rejected)))
	if len(rejected) > 0 {
		w.reject(records, rejected)
	}
	return nil
}

// note logs when the database goes and when it is back.
func (w *Writer) note(err error) {
	switch {
	case err != nil && !w.down:
		w.log.Warn("database takes no history: rows wait in the spool", "error", err)
	case err == nil && w.down:
		w.log.Info("database takes history again", "waiting_rows", w.tally.rows.Load())
	}
	w.down = err != nil
}

// passed notes what has left the spool.
func (w *Writer) passed(records []*Record) {
	w.mu.Lock()
	switch n := len(records); {
	case w.tally.rows.Load() == 0:
		w.oldest = time.Time{}
	case n > 0:
		w.oldest = records[n-1].Start
	}
	w.mu.Unlock()
}

// adopt takes the folders of dead processes that have something to ship.
func (w *Writer) adopt() {
	if w.o.Dir == "" || !foldersLock {
		return
	}
	entries, err := os.ReadDir(w.o.Dir)
	if err != nil {
		return // the spooling loop tells that the folder cannot be used
	}
	for _, e := range entries {
		path := filepath.Join(w.o.Dir, e.Name())
		if _, err := strconv.ParseUint(e.Name(), 10, 32); err != nil || !e.IsDir() || !hasSegments(path) {
			continue
		}
		f, err := openFolder(path, &w.tally, 0, w.log)
		if err != nil {
			w.log.Warn("folder of the history spool cannot be taken over", "folder", path, "error", err)
			continue
		}
		if f != nil {
			w.log.Info("folder of the history spool taken over", "folder", path, "rows", f.rows())
			w.adopted = append(w.adopted, f)
		}
	}
}

// close gives up the spool. What is still queued is lost.
func (w *Writer) close() {
	w.mu.Lock()
	left := len(w.queue)
	w.queue = nil
	own := w.own
	w.own = nil
	w.mu.Unlock()
	if left > 0 {
		w.lost.Add(int64(left))
		w.log.Error("history was lost: neither spool nor database took it before the end", "rows", left)
	}
	if n := w.tally.rows.Load(); n > 0 {
		w.log.Info("history waits in the spool for the next start", "rows", n)
	}
	for _, f := range w.adopted {
		f.close()
	}
	if own != nil {
		own.close()
	}
}

// isTimeout reports that an error is a matter of time.
func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}
