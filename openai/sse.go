package openai

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
)

const (
	// MaxEvent is the longest event, in bytes, that is held to be read. Model
	// output comes in events of some hundred bytes; the largest seen, an image
	// in base64, is megabytes and passes in pieces that are not read.
	MaxEvent = 64 << 10
	// firstBuffer holds what one read of a stream usually brings.
	firstBuffer = 4 << 10
	// maxEmptyReads in a row make a reader broken, as in package bufio.
	maxEmptyReads = 100
)

// Events reads server-sent events, as the WHATWG HTML standard defines them,
// section "Server-sent events": lines end with \r\n, \n or \r, an empty line
// ends an event. It keeps every byte for Relay. Not safe for concurrent use.
type Events struct {
	r      io.Reader
	buf    []byte // all of it is room
	pooled *[]byte
	start  int // first byte not yet passed on
	end    int // end of what was read
	split  splitter
	long   bool  // in an event too long to be read
	err    error // of r; sticky
	joined []byte
}

// buffers saves the buffers of streams that have ended.
var buffers = sync.Pool{New: func() any {
	b := make([]byte, firstBuffer)
	return &b
}}

// NewEvents returns the events that r brings. Release it after use.
func NewEvents(r io.Reader) *Events {
	b := buffers.Get().(*[]byte)
	return &Events{r: r, buf: *b, pooled: b}
}

// Release gives the buffer back. The Events must not be used any more. A
// second call does nothing.
func (e *Events) Release() {
	if e.pooled == nil {
		return
	}
	if len(e.buf) <= MaxEvent {
		*e.pooled = e.buf
	}
	buffers.Put(e.pooled)
	*e = Events{err: errReleased}
}

var errReleased = errors.New("the events were released")

// Peek reads ahead, keeping at most limit bytes, until it is clear whether
// there is an answer, and passes nothing on. It returns nil as soon as an
// event brings content, or [DONE], or when limit bytes have brought neither.
// It returns a *StreamError when an error event came first, and an error that
// is io.ErrUnexpectedEOF when the stream ended before content; any other error
// is the reader's. After an error another endpoint may be asked: nothing has
// been written.
//
// Content is everything but comments, events without data, Azure's first event
// (choices empty, with prompt_filter_results) and deltas that name a role and
// say nothing.
func (e *Events) Peek(limit int) error {
	e.compact()
	var a answer
	split, from := e.split, 0
	for {
		for {
			end := split.next(e.buf[:e.end])
			if end < 0 {
				break
			}
			if verdict, err := e.judge(&a, e.buf[from:end], split.single); verdict {
				return err
			}
			from = end
		}
		if e.end >= limit {
			return nil
		}
		if err := e.fill(limit); errors.Is(err, io.EOF) {
			if verdict, err := e.judge(&a, e.buf[from:e.end], false); verdict {
				return err
			}
			return fmt.Errorf("the stream ended before any content: %w", io.ErrUnexpectedEOF)
		} else if err != nil {
			return fmt.Errorf("reading the first event: %w", err)
		}
	}
}

// Begun reports whether anything of the stream has come.
func (e *Events) Begun() bool { return e.end > 0 }

// judge reports whether an event settles the question that Peek asks, and how.
func (e *Events) judge(a *answer, block []byte, single bool) (verdict bool, err error) {
	name, data := e.fields(block, single)
	if len(data) == 0 {
		return false, nil
	}
	if isDone(data) {
		return true, nil
	}
	ev := a.read(data)
	if ev.failed || string(name) == "error" {
		return true, streamError(data)
	}
	return ev.content, nil
}

// part says what next returned.
type part uint8

const (
	noPart    part = iota // more must be read
	wholePart             // one event
	longPart              // a piece of an event longer than MaxEvent
)

// next passes on the next event of what was read, with the empty line that
// ends it. The bytes stay where they are until fill is called.
func (e *Events) next() ([]byte, part) {
	from := e.start
	end := e.split.next(e.buf[:e.end])
	if end < 0 {
		if e.long && e.end > from || from == 0 && e.end >= MaxEvent {
			e.long = true
			e.start = e.end
			e.split.cut(e.end)
			return e.buf[from:e.end], longPart
		}
		return nil, noPart
	}
	e.start = end
	if e.long {
		e.long = false
		return e.buf[from:end], longPart
	}
	return e.buf[from:end], wholePart
}

// fill reads once, into a buffer that grows to limit bytes at most. It returns the reader's error once all that came
// before has been read.
func (e *Events) fill(limit int) error {
	if e.err != nil {
		return e.err
	}
	e.compact()
	if e.end == len(e.buf) {
		grown := make([]byte, min(2*len(e.buf), limit))
		copy(grown, e.buf)
		e.buf = grown
	}
	room := e.buf[e.end:]
	if e.end < limit && limit < len(e.buf) {
		room = e.buf[e.end:limit]
	}
	for range maxEmptyReads {
		n, err := e.r.Read(room)
		e.end += n
		e.err = err
		if n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	e.err = io.ErrNoProgress
	return e.err
}

// compact moves what was not passed on to the front of the buffer.
func (e *Events) compact() {
	if e.start == 0 {
		return
	}
	copy(e.buf, e.buf[e.start:e.end])
	e.split.shift(e.start)
	e.end -= e.start
	e.start = 0
}

// fields returns the event field and the data of one event, without the white
// space around them. What it returns is good until it is called again. single
// says that at most one line of block is not empty.
func (e *Events) fields(block []byte, single bool) (name, data []byte) {
	if single {
		if value, ok := bytes.CutPrefix(block, dataField); ok {
			return nil, bytes.TrimSpace(value)
		}
	}
	lines := 0
	for len(block) > 0 {
		line := block
		if i := indexLineEnd(block); i >= 0 {
			line, block = block[:i], block[i+1:]
		} else {
			block = nil
		}
		line = bytes.TrimPrefix(line, byteOrderMark)
		if value, ok := bytes.CutPrefix(line, dataField); ok {
			if len(value) > 0 && value[0] == ' ' {
				value = value[1:]
			}
			switch lines++; lines {
			case 1:
				data = value
			case 2:
				e.joined = append(e.joined[:0], data...)
				fallthrough
			default:
				e.joined = append(append(e.joined, '\n'), value...)
				data = e.joined
			}
		} else if value, ok := bytes.CutPrefix(line, eventField); ok {
			name = value
		}
	}
	return bytes.TrimSpace(name), bytes.TrimSpace(data)
}

// byteOrderMark may begin a stream. Anywhere else it begins a field that
// nobody knows, so taking it off there does no harm.
var (
	byteOrderMark = []byte("\uFEFF")
	dataField     = []byte("data:")
	eventField    = []byte("event:")
)

// indexLineEnd returns the position of the first \n or \r, or -1. An empty
// line between \r and \n does not matter to fields.
func indexLineEnd(b []byte) int {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		return bytes.IndexByte(b, '\r')
	}
	if j := bytes.IndexByte(b[:i], '\r'); j >= 0 {
		return j
	}
	return i
}

// isDone reports that data is the terminator of a stream.
func isDone(data []byte) bool { return string(data) == "[DONE]" }

// splitter finds the empty lines that end events, in a buffer that grows at
// its end. It looks at each byte once for each kind of line end.
type splitter struct {
	line   int  // where the line being read begins
	lf, cr int  // no \n, no \r from line up to here
	inLine bool // the line began before the buffer
	lines  int  // that were not empty, of the event being read
	single bool // of the event returned, at most one line was not empty
	// afterCR: the buffer ended with \r. A \n that comes next belongs to it,
	// but an event that it completed is not held back for that.
	afterCR bool
}

// next returns the position after the empty line that ends the next event, or
// -1 when it has not come yet.
func (s *splitter) next(b []byte) int {
	for {
		if s.afterCR && s.line < len(b) {
			s.afterCR = false
			if b[s.line] == '\n' {
				s.line++
			}
		}
		s.lf = seek(b, max(s.lf, s.line), '\n')
		s.cr = seek(b, max(s.cr, s.line), '\r')
		i := min(s.lf, s.cr)
		if i >= len(b) {
			return -1
		}
		empty := i == s.line && !s.inLine
		s.inLine = false
		s.line = i + 1
		if b[i] == '\r' {
			if s.line == len(b) {
				s.afterCR = true
			} else if b[s.line] == '\n' {
				s.line++
			}
		}
		if empty {
			s.single, s.lines = s.lines <= 1, 0
			return s.line
		}
		s.lines++
	}
}

// seek returns the position of the first c from i on, or len(b).
func seek(b []byte, i int, c byte) int {
	if i >= len(b) || b[i] == c {
		return i
	}
	if j := bytes.IndexByte(b[i:], c); j >= 0 {
		return i + j
	}
	return len(b)
}

// shift follows the buffer when its first n bytes go.
func (s *splitter) shift(n int) {
	s.line -= n
	s.lf = max(s.lf-n, 0)
	s.cr = max(s.cr-n, 0)
}

// cut is told that all n bytes of the buffer go though no event has ended.
func (s *splitter) cut(n int) {
	s.inLine = s.inLine || s.line < n
	s.line, s.lf, s.cr = n, n, n
}
