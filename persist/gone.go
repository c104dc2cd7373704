package persist

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// gone reports that the files the folder has open are no longer those of its
// path: somebody has deleted or moved them, and what is written to them is
// lost with the process.
func (f *folder) gone() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if moved(f.lock, filepath.Join(f.path, "lock")) {
		return true
	}
	return f.out != nil && moved(f.out, f.segments[len(f.segments)-1].path)
}

// moved reports that an open file is not the one at path. When in doubt it is.
func moved(file *os.File, path string) bool {
	there, err := os.Stat(path)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
	}
	open, err := file.Stat()
	return err == nil && !os.SameFile(there, open)
}

// leave gives a folder up whose files are gone. It returns the rows that are
// still in memory, and how many are lost: those of segments that are nowhere.
// What segments are still there, whoever opens the folder next will find.
func (f *folder) leave() (live []*Record, lost int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.uncount()
	nowhere := map[*segment]bool{}
	for _, s := range f.segments {
		if _, err := os.Stat(s.path); err != nil {
			nowhere[s] = true
			lost += s.left
		}
	}
	for _, l := range f.live {
		live = append(live, l.record)
		if nowhere[l.segment] {
			lost--
		}
	}
	if f.out != nil {
		f.out.Close()
	}
	f.lock.Close()
	f.out, f.dirty, f.abandoned = nil, false, true
	f.segments, f.live, f.liveBytes, f.behind = nil, nil, 0, 0
	return live, lost
}

// reopen takes another folder when the one in use is gone, and brings the rows
// there that are still in memory.
func (w *Writer) reopen() {
	f := w.ownFolder()
	if f == nil || !f.gone() {
		return
	}
	w.mu.Lock()
	w.own = nil
	w.mu.Unlock()
	live, lost := f.leave()
	w.log.Warn("folder of the history spool was deleted while in use: a new one is made", "folder", f.path, "rows_in_memory", len(live))
	if lost > 0 {
		w.lost.Add(int64(lost))
		w.log.Error("rows of history were lost with the folder of the spool", "rows", lost)
	}
	w.mu.Lock()
	w.again(live)
	for _, r := range live {
		w.queued += weight(r)
	}
	w.mu.Unlock()
	if err := w.open(); err != nil {
		w.block(err)
	}
}
