package config

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// kind is the kind of a JSON value.
type kind byte

const (
	null kind = iota
	boolean
	number
	text
	array
	object
)

// name returns the kind as an error says it.
func (k kind) name() string {
	return [...]string{"null", "a boolean", "a number", "a string", "an array", "an object"}[k]
}

// node is one JSON value with its place in the file.
type node struct {
	kind    kind
	offset  int
	text    string // of a string decoded, of a number or boolean as written
	members []member
	items   []node
}

// member is one member of an object, in the file's order.
type member struct {
	name   string
	offset int
	node   node
}

const (
	// maxDepth bounds nesting: the deepest member of a configuration is at 5,
	// and what stands below an x- member should not be much deeper.
	maxDepth = 64
	// maxValues bounds the values in a file, so that 16 MiB of brackets do not
	// take a gigabyte: an application with ten endpoints has about 70.
	maxValues = 1 << 18
)

// scanner reads JSON as RFC 8259 has it, without leniency. Its methods return
// false when they failed, and then fault says why.
type scanner struct {
	data   []byte
	pos    int
	depth  int
	values int
	fault  *Fault
}

// scan returns the value that data holds, or the fault that says why data is
// not JSON.
func scan(data []byte) (node, *Fault) {
	s := scanner{data: data}
	switch {
	case bytes.HasPrefix(data, []byte(bom)):
		s.pos = len(bom)
	case bytes.HasPrefix(data, []byte{0xFF, 0xFE}), bytes.HasPrefix(data, []byte{0xFE, 0xFF}):
		s.fail("UTF-16 text", "UTF-8 text: save the file as UTF-8")
		return node{}, s.fault
	}
	s.space()
	if s.pos == len(data) {
		s.fail("an empty file", "an object with applications")
		return node{}, s.fault
	}
	root, ok := s.value()
	if !ok {
		return node{}, s.fault
	}
	s.space()
	if s.pos < len(data) {
		s.failHere("the end of the file after the configuration's object")
	}
	return root, s.fault
}

// bom is the byte order mark that some Windows editors begin a file with.
const bom = "\xEF\xBB\xBF"

// position returns the line and the column of an offset, both from 1, the
// column in characters.
func position(data []byte, offset int) string {
	before := bytes.TrimPrefix(data[:offset], []byte(bom))
	line := bytes.Count(before, []byte{'\n'})
	column := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])
	return fmt.Sprintf("line %d, column %d", line+1, column+1)
}

func (s *scanner) fail(seen, want string) bool {
	s.fault = &Fault{Path: position(s.data, s.pos), Seen: seen, Want: want}
	return false
}

// failHere fails at the character that comes next. No more than the character
// is shown: it may stand in a secret that lost its quotes.
func (s *scanner) failHere(want string) bool {
	if s.pos >= len(s.data) {
		return s.fail("the end of the file", want)
	}
	if c := s.data[s.pos]; c == '/' || c == '#' {
		want += " (JSON has no comments; a member whose name begins with x- is ignored)"
	}
	r, size := utf8.DecodeRune(s.data[s.pos:])
	if r == utf8.RuneError && size == 1 {
		return s.fail(fmt.Sprintf("byte 0x%02x", s.data[s.pos]), "UTF-8 text")
	}
	return s.fail(strconv.QuoteRune(r), want)
}

func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// peek returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

func (s *scanner) value() (n node, ok bool) {
	s.values++
	if s.values > maxValues {
		return n, s.fail("more values", fmt.Sprintf("at most %d values in one file", maxValues))
	}
	n.offset = s.pos
	switch c := s.peek(); {
	case c == '{':
		n.kind = object
		n.members, ok = s.object()
	case c == '[':
		n.kind = array
		n.items, ok = s.array()
	case c == '"':
		n.kind = text
		n.text, ok = s.text()
	case c == '-' || isDigit(c):
		n.kind = number
		ok = s.number()
		n.text = string(s.data[n.offset:s.pos])
	case s.word("true"), s.word("false"):
		n.kind, ok = boolean, true
		n.text = string(s.data[n.offset:s.pos])
	case s.word("null"):
		ok = true
	default:
		ok = s.failHere("a value")
	}
	return n, ok
}

func (s *scanner) word(w string) bool {
	if !bytes.HasPrefix(s.data[s.pos:], []byte(w)) {
		return false
	}
	s.pos += len(w)
	return true
}

// enter passes an opening bracket.
func (s *scanner) enter() bool {
	s.depth++
	if s.depth > maxDepth {
		return s.fail("another level", fmt.Sprintf("at most %d levels of objects and arrays", maxDepth))
	}
	s.pos++
	s.space()
	return true
}

// leave passes a closing bracket.
func (s *scanner) leave() bool {
	s.depth--
	s.pos++
	return true
}

func (s *scanner) object() (members []member, ok bool) {
	if !s.enter() {
		return nil, false
	}
	if s.peek() == '}' {
		return nil, s.leave()
	}
	for {
		if s.peek() != '"' {
			return nil, s.failHere("a member's name in double quotes")
		}
		m := member{offset: s.pos}
		if m.name, ok = s.text(); !ok {
			return nil, false
		}
		s.space()
		if s.peek() != ':' {
			return nil, s.failHere("a colon after the member's name")
		}
		s.pos++
		s.space()
		if m.node, ok = s.value(); !ok {
			return nil, false
		}
		members = append(members, m)
		s.space()
		switch s.peek() {
		case ',':
			s.pos++
			s.space()
		case '}':
			return members, s.leave()
		default:
			return nil, s.failHere("a comma or } after the member")
		}
	}
}

func (s *scanner) array() (items []node, ok bool) {
	if !s.enter() {
		return nil, false
	}
	if s.peek() == ']' {
		return nil, s.leave()
	}
	for {
		item, ok := s.value()
		if !ok {
			return nil, false
		}
		items = append(items, item)
		s.space()
		switch s.peek() {
		case ',':
			s.pos++
			s.space()
		case ']':
			return items, s.leave()
		default:
			return nil, s.failHere("a comma or ] after the value")
		}
	}
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// number passes a number.
func (s *scanner) number() bool {
	if s.peek() == '-' {
		s.pos++
	}
	if s.peek() == '0' {
		s.pos++ // and no digit may follow
	} else if !s.digits() {
		return false
	}
	if s.peek() == '.' {
		s.pos++
		if !s.digits() {
			return false
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		return s.digits()
	}
	return true
}

// digits passes one digit or more.
func (s *scanner) digits() bool {
	if !isDigit(s.peek()) {
		return s.failHere("a digit")
	}
	for isDigit(s.peek()) {
		s.pos++
	}
	return true
}

// text returns a string, decoded.
func (s *scanner) text() (string, bool) {
	s.pos++
	var b strings.Builder
	for {
		c := s.peek()
		switch {
		case s.pos >= len(s.data):
			return "", s.failHere(`a closing "`)
		case c == '"':
			s.pos++
			return b.String(), true
		case c == '\\':
			s.pos++
			r, ok := s.escape()
			if !ok {
				return "", false
			}
			b.WriteRune(r)
		case c == '\n' || c == '\r':
			return "", s.fail("a line break in a string", `a closing " or \n`)
		case c < 0x20:
			return "", s.fail(fmt.Sprintf("control character 0x%02x", c), `an escape such as \t or \u0009`)
		case c < utf8.RuneSelf:
			b.WriteByte(c)
			s.pos++
		default:
			r, size := utf8.DecodeRune(s.data[s.pos:])
			if r == utf8.RuneError && size == 1 {
				return "", s.fail(fmt.Sprintf("byte 0x%02x", c), "UTF-8 text")
			}
			b.WriteRune(r)
			s.pos += size
		}
	}
}

// escape reads what follows a backslash.
func (s *scanner) escape() (rune, bool) {
	c := s.peek()
	if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
		s.pos++
		return rune("\"\\/\b\f\n\r\t"[i]), true
	}
	if c != 'u' {
		return 0, s.failHere(`one of "\/bfnrtu after a backslash`)
	}
	r, ok := s.hex4()
	if !ok || !utf16.IsSurrogate(r) {
		return r, ok
	}
	if bytes.HasPrefix(s.data[s.pos:], []byte(`\u`)) {
		s.pos++
		low, ok := s.hex4()
		if !ok {
			return 0, false
		}
		if r := utf16.DecodeRune(r, low); r != utf8.RuneError {
			return r, true
		}
	}
	return 0, s.fail("half a surrogate pair", `both halves, such as \ud83d\ude00`)
}

// hex4 reads u and four hex digits.
func (s *scanner) hex4() (r rune, ok bool) {
	s.pos++
	for range 4 {
		d, err := strconv.ParseUint(string(rune(s.peek())), 16, 8)
		if err != nil {
			return 0, s.failHere(`four hex digits after \u`)
		}
		r = r<<4 | rune(d)
		s.pos++
	}
	return r, true
}
