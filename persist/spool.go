package persist

import (
	"context"
	"errors"
	"math"
	"time"
)

// errFull says that the spool has reached its bound.
var errFull = errors.New("the history spool is full")

// writeBytes bounds one write to the spool, and so the buffer for it.
const writeBytes = 1 << 20

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
			for w.spool() {
			}
			w.sync()
			return
		case <-w.wake:
			if w.blocked.Load() && w.now().Sub(w.blockedAt) < syncEvery { // not with each record
				signal(w.ready)
				continue
			}
			w.spool()
		case <-tick.C:
			w.reopen()
			w.spool()
			w.sync()
		}
	}
}

// spool writes what is queued to the spool, about writeBytes of it, and
// reports that it did. For the rest it wakes Run again.
func (w *Writer) spool() bool {
	if w.o.Dir == "" {
		signal(w.ready)
		return false
	}
	room := w.o.SpoolBytes - w.tally.bytes.Load()
	records := w.take(math.MaxInt, min(room, w.o.SegmentBytes, writeBytes))
	if len(records) == 0 {
		return false
	}
	defer signal(w.ready)
	if err := w.append(records); err != nil {
		w.back(records)
		w.block(err)
		return false
	}
	w.release(records)
	w.unblock()
	signal(w.wake)
	return true
}

// append writes records to the spool, all or none. Some that cannot be encoded
// are lost.
func (w *Writer) append(records []*Record) error {
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
	if cap(frames) > 2*writeBytes { // that of a large row is not kept
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
	w.blockedAt = w.now()
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
