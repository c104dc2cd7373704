package openai

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// maxMarks bounds the marks of one answer. An answer of 4,096 tokens, which
// most models' limits were for long, has one for each.
const maxMarks = 4096

// Mark is how far the text of choice 0 had come at a time.
type Mark struct {
	At   time.Duration // since the answer's first event; whole microseconds
	Text int           // bytes of the text up to here
}

// marker notes the marks of a stream: one for each event that brings text to
// choice 0, and when there are too many, one for each two, four, eight, …
type marker struct {
	now   func() time.Time // nil: nothing is noted
	read  time.Time        // when the events at hand were read
	begun time.Time        // when the first event of the answer was read
	list  []Mark
	each  int // events that a mark stands for
	last  int // events that the last mark stands for so far
}

// tick is told that events have been read.
func (m *marker) tick() {
	if m.now != nil {
		m.read = m.now()
	}
}

// note is told of each event, with the length that the text has after it.
func (m *marker) note(text int) {
	if m.begun.IsZero() {
		m.begun = m.read
	}
	before := 0
	if n := len(m.list); n > 0 {
		before = m.list[n-1].Text
	}
	if text <= before {
		return
	}
	mark := Mark{At: max(m.read.Sub(m.begun), 0).Truncate(time.Microsecond), Text: text}
	if m.last < m.each { // a mark stands for several, and the last has room
		m.list[len(m.list)-1] = mark
		m.last++
		return
	}
	if len(m.list) == maxMarks {
		m.halve()
	}
	m.each = max(m.each, 1)
	m.list, m.last = append(m.list, mark), 1
}

// halve puts each two marks together in the later of them, when text was
// there for certain.
func (m *marker) halve() {
	for i := range len(m.list) / 2 {
		m.list[i] = m.list[2*i+1]
	}
	m.list = m.list[:len(m.list)/2]
	m.each *= 2
}

// EncodeMarks returns marks in a compact form to be stored: for each the
// microseconds and the bytes since the one before, as two unsigned varints.
// Times and lengths that go backwards are stored as standing still. No marks
// are nil.
func EncodeMarks(marks []Mark) []byte {
	if len(marks) == 0 {
		return nil
	}
	b := make([]byte, 0, 4*len(marks)) // most pauses take two or three bytes, most texts one
	var at, text int64
	for _, m := range marks {
		nextAt, nextText := max(m.At.Microseconds(), at), max(int64(m.Text), text)
		b = binary.AppendUvarint(b, uint64(nextAt-at))
		b = binary.AppendUvarint(b, uint64(nextText-text))
		at, text = nextAt, nextText
	}
	return b
}

var errMarks = errors.New("not what EncodeMarks makes")

// DecodeMarks returns the marks that EncodeMarks made b of. The error says
// that b is something else.
func DecodeMarks(b []byte) ([]Mark, error) {
	var marks []Mark
	var at, text uint64
	for len(b) > 0 {
		pause, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, fmt.Errorf("reading mark %d: %w", len(marks), errMarks)
		}
		more, k := binary.Uvarint(b[n:])
		if k <= 0 || len(marks) == maxMarks ||
			pause > math.MaxInt64/uint64(time.Microsecond)-at || more > math.MaxInt-text {
			return nil, fmt.Errorf("reading mark %d: %w", len(marks), errMarks)
		}
		b = b[n+k:]
		at += pause
		text += more
		marks = append(marks, Mark{At: time.Duration(at) * time.Microsecond, Text: int(text)})
	}
	return marks, nil
}
