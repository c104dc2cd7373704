package persist

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
)

// folder is the part of the spool that one process writes: rows go in at the
// end and come out at the front. A process that has died leaves its folder to
// whichever takes the lock next, which then only reads it.
//
// One goroutine may append and sync while another reads and passes rows by.
type folder struct {
	path    string
	lock    *os.File
	spooled *tally
	keep    int64 // bytes of rows kept in memory to spare reading them back
	misread int   // times that the first segment could not be read; of the reader

	mu        sync.Mutex
	segments  []*segment // oldest first; rows come out of the first
	out       *os.File   // of the last segment, when it is written to
	next      uint64     // seq of the next segment
	dirty     bool       // out has bytes that a power cut may take
	at        int64      // where the next row begins in the first segment
	behind    int        // rows that come out before those in memory
	live      []liveRow  // the last rows, in memory
	abandoned bool       // nobody uses the folder any more
	liveBytes int64
}

// liveRow is a spooled row that is still in memory.
type liveRow struct {
	record     *Record
	segment    *segment
	start, end int64
}

// tally counts what is in the folders that this process holds.
type tally struct{ rows, bytes atomic.Int64 }

const (
	// batchBytes bounds the rows of one insert: what a database takes well.
	batchBytes = 4 << 20
	// misreads is how often reading a segment is tried, with the pauses of the
	// shipping loop between, before its rows are given up.
	misreads = 8
)

// openFolder takes a folder and measures what was left in it. A nil folder
// without an error means that another process has it.
func openFolder(path string, spooled *tally, keep int64, log *slog.Logger) (*folder, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	lock, ok, err := lockFile(filepath.Join(path, "lock"))
	if !ok {
		return nil, err
	}
	f := &folder{path: path, lock: lock, spooled: spooled, keep: keep}
	paths, _ := filepath.Glob(filepath.Join(path, "*"+segmentSuffix)) // the pattern is well-formed
	slices.Sort(paths)
	for _, p := range paths {
		s, length, err := openSegment(p)
		if err != nil {
			log.Error("segment of the history spool cannot be read and stays where it is", "segment", p, "error", err)
			continue
		}
		f.next = s.seq + 1
		if s.size < length {
			log.Warn("segment of the history spool has no whole row at its end; cut", "segment", p, "bytes", length-s.size, "rows_before", s.left)
			s.cut(length)
		}
		if s.left == 0 {
			_ = os.Remove(p) // or the next process does
			continue
		}
		f.segments = append(f.segments, s)
		f.behind += s.left
		spooled.rows.Add(int64(s.left))
		spooled.bytes.Add(s.size)
	}
	return f, nil
}

// cut sets aside what follows the whole frames of a file.
func (s *segment) cut(length int64) {
	f, err := os.OpenFile(s.path, os.O_RDWR, 0)
	if err != nil {
		return // the reader stops at size anyway
	}
	defer f.Close()
	s.setAside(f, s.size, length-s.size)
	_ = f.Truncate(s.size) // likewise
}

// hasSegments reports that a folder has something to ship.
func hasSegments(path string) bool {
	paths, _ := filepath.Glob(filepath.Join(path, "*"+segmentSuffix)) // the pattern is well-formed
	return len(paths) > 0
}

// append writes the frames of records, whose ends are given, in one write.
// After an error none of them is there. A segment that has reached full bytes
// is followed by a new one.
func (f *folder) append(records []*Record, frames []byte, ends []int64, full int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.out != nil && f.segments[len(f.segments)-1].size >= full {
		f.seal()
	}
	if f.out == nil {
		if err := f.begin(); err != nil {
			return err
		}
	}
	s := f.segments[len(f.segments)-1]
	if _, err := f.out.WriteAt(frames, s.size); err != nil {
		if f.out.Truncate(s.size) != nil {
			f.seal()
		}
		return fmt.Errorf("writing the history spool: %w", err)
	}
	start := s.size
	for i, r := range records {
		f.live = append(f.live, liveRow{r, s, start, s.size + ends[i]})
		start = s.size + ends[i]
	}
	f.liveBytes += int64(len(frames))
	s.size = start
	s.left += len(records)
	f.dirty = true
	f.spooled.rows.Add(int64(len(records)))
	f.spooled.bytes.Add(int64(len(frames)))
	if f.liveBytes > f.keep {
		f.behind += len(f.live)
		f.live, f.liveBytes = nil, 0
	}
	return nil
}

// begin starts a new segment. f.mu is held.
func (f *folder) begin() error {
	for {
		s := &segment{path: filepath.Join(f.path, fmt.Sprintf("%016x%s", f.next, segmentSuffix)), seq: f.next}
		out, err := os.OpenFile(s.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if errors.Is(err, fs.ErrExist) { // one that could not be opened stands there
			f.next++
			continue
		}
		if err != nil {
			return fmt.Errorf("writing the history spool: %w", err)
		}
		f.next++
		f.out = out
		f.segments = append(f.segments, s)
		return nil
	}
}

// seal ends the segment being written. f.mu is held.
func (f *folder) seal() {
	if f.dirty {
		_ = f.out.Sync() // a power cut may then take the segment's end, as it may within any second
	}
	f.out.Close()
	f.out, f.dirty = nil, false
	if f.segments[len(f.segments)-1].left == 0 {
		f.remove(len(f.segments) - 1)
	}
}

// remove deletes a segment that is not written to. f.mu is held.
func (f *folder) remove(i int) {
	s := f.segments[i]
	_ = os.Remove(s.path) // if it stays, its rows come again and the database knows them
	f.spooled.bytes.Add(-s.size)
	f.segments = slices.Delete(f.segments, i, i+1)
	if i == 0 {
		f.at = 0
	}
}

// sync makes sure that what was written outlives a power cut.
func (f *folder) sync() error {
	f.mu.Lock()
	out, dirty := f.out, f.dirty
	f.dirty = false
	f.mu.Unlock()
	if !dirty {
		return nil
	}
	// Unlocked, or what a slow disk does here would hold up reading. Only the
	// caller's own goroutine closes out.
	if err := out.Sync(); err != nil {
		return fmt.Errorf("syncing the history spool: %w", err)
	}
	if dir, err := os.Open(f.path); err == nil {
		_ = dir.Sync() // the segment's name; some systems cannot and need not
		dir.Close()
	}
	return nil
}

// read returns the next rows, at most as many as given; no rows when there are
// none. done passes them by.
func (f *folder) read(rows int) (batch, error) {
	f.mu.Lock()
	if f.behind == 0 {
		defer f.mu.Unlock()
		return f.readLive(rows), nil
	}
	s := f.segments[0]
	from, size, left := f.at, s.size, min(f.behind, s.left)
	f.mu.Unlock()
	b, err := s.read(from, size, min(rows, left), left)
	if err == nil {
		f.misread = 0
		return b, nil
	}
	if f.misread++; f.misread < misreads && !errors.Is(err, fs.ErrNotExist) {
		return batch{}, fmt.Errorf("reading the history spool: %w", err)
	}
	f.misread = 0
	_ = os.Rename(s.path, s.path+badSuffix) // out of the way of the next process, if it can be
	return batch{segment: s, rows: left, lost: left, end: size}, nil
}

// readLive returns the next rows from memory. f.mu is held.
func (f *folder) readLive(rows int) batch {
	var b batch
	size := int64(0)
	for _, l := range f.live[:min(rows, len(f.live))] {
		size += l.end - l.start
		if b.rows > 0 && (l.segment != b.segment || size > batchBytes) {
			break
		}
		b.records = append(b.records, l.record)
		b.segment, b.end = l.segment, l.end
		b.rows++
	}
	return b
}

// done passes by the rows of a batch that read returned: they are in the
// database, or lost. It reports false when the folder was left meanwhile: then
// they are counted already, or come again.
func (f *folder) done(b batch) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.abandoned {
		return false
	}
	f.spooled.rows.Add(-int64(b.rows))
	b.segment.left -= b.rows
	f.at = b.end
	if f.behind >= b.rows {
		f.behind -= b.rows
	} else {
		for i, l := range f.live[:b.rows] {
			f.liveBytes -= l.end - l.start
			f.live[i] = liveRow{}
		}
		if f.live = f.live[b.rows:]; len(f.live) == 0 {
			f.live = nil
		}
	}
	for len(f.segments) > 0 && f.segments[0].left == 0 {
		if len(f.segments) > 1 || f.out == nil {
			f.remove(0)
			continue
		}
		s := f.segments[0] // everything is shipped; what it holds is not kept for the next start
		f.at = s.size
		if f.out.Truncate(0) == nil {
			f.spooled.bytes.Add(-s.size)
			s.size, f.at, f.dirty = 0, 0, false
		}
		break
	}
	if f.behind == 0 && len(f.live) > 0 {
		f.at = f.live[0].start
	}
	return true
}

// rows returns how many rows are to come out.
func (f *folder) rows() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.behind + len(f.live)
}

// close gives the folder to whoever comes next.
func (f *folder) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.out != nil {
		f.seal()
	}
	f.uncount()
	f.lock.Close()
}

// uncount takes the folder out of the tally. f.mu is held.
func (f *folder) uncount() {
	for _, s := range f.segments {
		f.spooled.rows.Add(-int64(s.left))
		f.spooled.bytes.Add(-s.size)
	}
}
