package persist

import (
	"context"
	"errors"
	"time"
)

// errFull says that the spool has reached its bound.
var errFull = errors.New("the history spool is full")

// syncEvery bounds what a power cut takes. It is also how often a spool that
// could not be written is tried again.
const syncEvery = time.Second

// Run writes what is queued to the spool as it comes, until ctx ends: then it
// writes all that is still queued and returns.
func (w *Writer) Run(ctx context.Context) {
	defer close(w.spooled)
	tick := time.NewTicker(syncEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			w.mu.Lock()
			w.closed = true
			w.mu.Unlock()
			w.spool()
			w.sync()
			return
		case <-w.wake:
			if w.blocked.Load() { // the tick tries again, not each record
				signal(w.ready)
				continue
			}
			w.spool()
		case <-w.room:
			w.spool()
		case <-tick.C:
			w.spool()
			w.sync()
		}
	}
}

// spool writes all that is queued to the spool, as far as it takes it.
func (w *Writer) spool() {
	if w.o.Dir == "" {
		signal(w.ready)
		return
	}
	for {
		room := w.o.SpoolBytes - w.tally.bytes.Load()
		records := w.take(1<<20, min(room, w.o.SegmentBytes))
		if len(records) == 0 {
			return
		}
		err := w.append(records)
		if err != nil {
			w.back(records)
			w.block(err)
		} else {
			w.release(records)
			w.unblock()
		}
		signal(w.ready)
		if err != nil {
			return
		}
	}
}

// append writes records to the spool, all or none. Some that cannot be encoded
// are lost.
func (w *Writer) append(records []*Record) error {
	if w.tally.bytes.Load() >= w.o.SpoolBytes {
		return errFull
	}
	f := w.ownFolder()
	if f == nil {
		if err := w.open(); err != nil {
			return err
		}
		f = w.ownFolder()
	}
	frames, ends := w.frames[:0], w.ends[:0]
	encoded := make([]*Record, 0, len(records))
	var unfit error
	for _, r := range records {
		var err error
		if frames, err = appendFrame(frames, r); err != nil {
			unfit = err
			continue
		}
		encoded, ends = append(encoded, r), append(ends, int64(len(frames)))
	}
	w.frames, w.ends = frames, ends
	if cap(frames) > 1<<20 { // a burst's buffer is not kept
		w.frames = nil
	}
	if w.tally.bytes.Load()+int64(len(frames)) > w.o.SpoolBytes {
		return errFull
	}
	if len(encoded) > 0 {
		if err := f.append(encoded, frames, ends, w.o.SegmentBytes); err != nil {
			return err
		}
		w.mu.Lock()
		if w.oldest.IsZero() {
			w.oldest = encoded[0].Start
		}
		w.mu.Unlock()
	}
	if n := len(records) - len(encoded); n > 0 {
		w.lost.Add(int64(n))
		w.log.Error("rows of history cannot be encoded and are lost", "rows", n, "error", unfit)
	}
	return nil
}

// sync makes what was spooled outlive a power cut.
func (w *Writer) sync() {
	f := w.ownFolder()
	if f == nil {
		return
	}
	if err := f.sync(); err != nil {
		w.fault("spool", err)
		w.log.Error("history spool cannot be synced: a power cut would lose what it holds", "error", err)
	}
}

// block notes that the spool takes nothing for now.
func (w *Writer) block(err error) {
	w.fault("spool", err)
	if !w.blocked.Swap(true) {
		w.log.Warn("history spool cannot be written: rows wait in memory", "error", err)
	}
}

// unblock notes that it does again.
func (w *Writer) unblock() {
	if w.blocked.Swap(false) {
		w.log.Info("history spool is written again")
	}
}
