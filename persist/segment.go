package persist

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A segment is a file of frames: length of the payload and its CRC-32C, both
// uint32 little endian, then the payload, one encoded record. Frames are only
// ever appended; a segment whose rows are all in the database is deleted.
type segment struct {
	path string
	seq  uint64
	size int64 // bytes of whole frames
	left int   // rows not yet shipped
}

const (
	segmentSuffix = ".seg"
	badSuffix     = ".bad"
	frameHead     = 8

	// badBytes bounds what is kept of bytes that could not be read, in each
	// folder: they are for whoever looks for the cause, not for ever.
	badBytes = 64 << 20
)

// checksum is CRC-32C, which processors compute themselves. (MakeTable returns
// the same table each time.)
func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// appendFrame appends the frame of one record.
func appendFrame(dst []byte, r *Record) ([]byte, error) {
	start := len(dst)
	out, err := appendRecord(append(dst, make([]byte, frameHead)...), r)
	if err != nil {
		return dst, err
	}
	payload := out[start+frameHead:]
	if int64(len(payload)) > 1<<31 {
		return dst, fmt.Errorf("record %s is larger than 2 GiB", r.ID)
	}
	binary.LittleEndian.PutUint32(out[start:], uint32(len(payload)))
	binary.LittleEndian.PutUint32(out[start+4:], checksum(payload))
	return out, nil
}

// frameLength returns how long the frame is that begins with head, 0 when
// none can begin so: a file that lost its end to a power cut may have zeros.
func frameLength(head []byte) int64 {
	if n := binary.LittleEndian.Uint32(head); n > 0 {
		return frameHead + int64(n)
	}
	return 0
}

// parseFrame reads the record of a whole frame, which the record shares.
func parseFrame(frame []byte) (*Record, error) {
	payload := frame[frameHead:]
	if checksum(payload) != binary.LittleEndian.Uint32(frame[4:]) {
		return nil, errors.New("checksum differs")
	}
	return parseRecord(payload)
}

// openSegment measures a segment that an earlier process left: size is the
// length of its frames up to the first that cannot be one, length that of the
// file. Checksums are looked at when the rows are read.
func openSegment(path string) (s *segment, length int64, err error) {
	name := strings.TrimSuffix(filepath.Base(path), segmentSuffix)
	seq, err := strconv.ParseUint(name, 16, 64)
	if err != nil {
		return nil, 0, fmt.Errorf("%s is not the name of a segment", filepath.Base(path))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	s, length = &segment{path: path, seq: seq}, info.Size()
	var head [frameHead]byte
	for s.size+frameHead <= length {
		if _, err := f.ReadAt(head[:], s.size); err != nil {
			return nil, 0, err
		}
		n := frameLength(head[:])
		if n == 0 || s.size+n > length {
			break
		}
		s.size += n
		s.left++
	}
	return s, length, nil
}

// batch is rows in the order they were spooled, all of one segment.
type batch struct {
	records []*Record
	rows    int // rows passed by: records, and what could not be read
	lost    int // of rows
	segment *segment
	end     int64 // where the next row begins
}

// read reads up to rows records of a segment that is size bytes long, from an
// offset, about batchBytes of them; left rows should follow there. A frame that
// is damaged is passed over and set aside; when not even its length makes
// sense, so is all behind it.
func (s *segment) read(from, size int64, rows, left int) (batch, error) {
	b := batch{segment: s, end: from}
	f, err := os.Open(s.path)
	if err != nil {
		return b, err
	}
	defer f.Close()
	buf := make([]byte, min(size-from, batchBytes))
	if _, err := f.ReadAt(buf, from); err != nil {
		return b, err
	}
	for b.rows < rows {
		at := b.end - from
		n := int64(0)
		if b.end+frameHead <= size && at+frameHead <= int64(len(buf)) {
			n = frameLength(buf[at:])
		} else if b.end+frameHead <= size {
			break // its head is beyond the buffer
		}
		if n == 0 || b.end+n > size {
			s.setAside(f, b.end, size-b.end)
			b.lost += left - b.rows
			b.rows, b.end = left, size
			break
		}
		if at+n > int64(len(buf)) {
			if b.rows > 0 {
				break
			}
			buf = make([]byte, n)
			if _, err := f.ReadAt(buf, from); err != nil {
				return b, err
			}
		}
		if r, err := parseFrame(buf[at : at+n]); err == nil {
			b.records = append(b.records, r)
		} else {
			s.setAside(f, b.end, n)
			b.lost++
		}
		b.rows++
		b.end += n
	}
	return b, nil
}

// setAside copies bytes that could not be read to a file of their own, as far
// as there is room for such.
func (s *segment) setAside(f io.ReaderAt, from, n int64) {
	folder := filepath.Dir(s.path)
	held, _ := filepath.Glob(filepath.Join(folder, "*"+badSuffix)) // the pattern is well-formed
	total := n
	for _, path := range held {
		if info, err := os.Stat(path); err == nil {
			total += info.Size()
		}
	}
	if total > badBytes {
		return
	}
	path := filepath.Join(folder, fmt.Sprintf("%016x-%x%s", s.seq, from, badSuffix))
	out, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return // a copy for the curious, not worth a fault of its own
	}
	defer out.Close()
	_, _ = io.Copy(out, io.NewSectionReader(f, from, n)) // likewise
}
