package openai

import (
	"bytes"
	"fmt"
	"sync"
	"unicode/utf8"
)

const (
	// maxDepth bounds nesting, and with it our recursion. Tool schemas, the
	// deepest thing clients send, stay under 20.
	maxDepth = 128
	// smallObject is how many members are compared one by one before a hashed
	// set, with its random seed, takes over.
	smallObject = 32
)

// kind is the type of a JSON value; 0 stands for a member that is absent.
type kind uint8

const (
	kindNull kind = iota + 1
	kindTrue
	kindFalse
	kindNumber
	kindString
	kindArray
	kindObject
)

func (k kind) String() string {
	switch k {
	case kindNull:
		return "null"
	case kindTrue, kindFalse:
		return "a boolean"
	case kindNumber:
		return "a number"
	case kindString:
		return "a string"
	case kindArray:
		return "an array"
	case kindObject:
		return "an object"
	}
	return "missing"
}

// shape says what is noted about a value while it is scanned.
type shape uint8

const (
	shapeAny shape = iota
	shapeRequest
	shapeMessages
	shapeMessage
	shapeStreamOptions
)

// scanner checks one text against RFC 8259, byte by byte and once, and notes
// on its way what the gateway wants to know. Functions that take a position
// return the one after what they read, or -1 when err is set.
type scanner struct {
	b    []byte
	req  *Request // takes the members of a shapeRequest
	high uint64   // has a top bit set when some byte is not ASCII

	keys    []key  // of all objects now open, outermost first
	decoded []byte // names of those keys that were written with escapes

	role, content kind // of the message being scanned
	count         int  // elements of messages so far
	includeUsage  bool

	fault *RequestError // the first member of a wrong type
	err   *RequestError // the first offence against syntax
}

// key is where a member's name stands, without its quotes: in the text or, if
// it was written with escapes and is kept decoded, in scanner.decoded.
type key struct {
	from, to uint32
	escaped  bool
}

// scanners saves the lists of keys from one request to the next.
var scanners = sync.Pool{New: func() any { return &scanner{keys: make([]key, 0, 64)} }}

// release returns s, without what it knows of its text, to the pool. Lists
// that a rare text made long are left to the collector.
func (s *scanner) release() {
	keys, decoded := s.keys[:0], s.decoded[:0]
	if cap(keys) > 4096 || cap(decoded) > 4096 {
		return
	}
	*s = scanner{keys: keys, decoded: decoded}
	scanners.Put(s)
}

func (s *scanner) name(k key) []byte {
	if k.escaped {
		return s.decoded[k.from:k.to]
	}
	return s.b[k.from:k.to]
}

// document scans the whole text as one value.
func (s *scanner) document(depth int, sh shape) (from, to int, k kind) {
	from = s.space(0)
	to, k = s.value(from, depth, sh)
	if to < 0 {
		return from, to, k
	}
	if i := s.space(to); i < len(s.b) {
		return from, s.fail(i, "after the end"), k
	}
	if s.high&highBits != 0 && !utf8.Valid(s.b) {
		s.err = &RequestError{Message: fmt.Sprintf("not valid JSON: byte %d is not UTF-8", invalidAt(s.b))}
		return from, -1, k
	}
	return from, to, k
}

func (s *scanner) value(i, depth int, sh shape) (end int, k kind) {
	if i >= len(s.b) {
		return s.fail(i, "where a value should be"), 0
	}
	switch c := s.b[i]; c {
	case '"':
		end, _ = s.text(i + 1)
		return end, kindString
	case '{':
		return s.object(i+1, depth+1, sh), kindObject
	case '[':
		return s.array(i+1, depth+1, sh), kindArray
	case 't':
		return s.literal(i, "true"), kindTrue
	case 'f':
		return s.literal(i, "false"), kindFalse
	case 'n':
		return s.literal(i, "null"), kindNull
	default:
		if c == '-' || '0' <= c && c <= '9' {
			return s.number(i), kindNumber
		}
		return s.fail(i, "where a value should be"), 0
	}
}

// object scans what follows an opening brace.
func (s *scanner) object(i, depth int, sh shape) int {
	if depth > maxDepth {
		return s.tooDeep()
	}
	if i = s.space(i); i < len(s.b) && s.b[i] == '}' {
		return i + 1
	}
	base, decoded := len(s.keys), len(s.decoded)
	var seen map[string]struct{} // of the names, once there are many
	for {
		if i >= len(s.b) || s.b[i] != '"' {
			return s.fail(i, "where a member's name should be")
		}
		after, escaped := s.text(i + 1)
		if after < 0 {
			return -1
		}
		written := key{from: uint32(i + 1), to: uint32(after - 1), escaped: escaped}
		name := written
		if escaped {
			name = s.decode(written)
		}
		if len(s.keys)-base >= smallObject {
			if seen == nil {
				seen = s.hash(base)
			}
			seen[string(s.name(name))] = struct{}{}
			if len(seen) == len(s.keys)-base {
				return s.repeated(name)
			}
		} else if s.known(base, name) {
			return s.repeated(name)
		}
		s.keys = append(s.keys, name)

		if i = s.space(after); i >= len(s.b) || s.b[i] != ':' {
			return s.fail(i, "where a colon should be")
		}
		from := s.space(i + 1)
		inner := shapeAny
		if sh != shapeAny {
			inner = shapeOf(sh, s.name(name))
		}
		end, k := s.value(from, depth, inner)
		if end < 0 {
			return -1
		}
		if sh != shapeAny {
			s.note(sh, s.name(name), member{name: written, from: uint32(from), to: uint32(end), kind: k})
		}

		if i = s.space(end); i >= len(s.b) {
			return s.fail(i, "inside an object")
		}
		switch s.b[i] {
		case ',':
			i = s.space(i + 1)
		case '}':
			s.keys, s.decoded = s.keys[:base], s.decoded[:decoded]
			return i + 1
		default:
			return s.fail(i, "where a comma or brace should be")
		}
	}
}

// array scans what follows an opening bracket.
func (s *scanner) array(i, depth int, sh shape) int {
	if depth > maxDepth {
		return s.tooDeep()
	}
	if i = s.space(i); i < len(s.b) && s.b[i] == ']' {
		return i + 1
	}
	inner := shapeAny
	if sh == shapeMessages {
		inner = shapeMessage
	}
	for {
		if sh == shapeMessages {
			s.role, s.content = 0, 0
		}
		end, k := s.value(i, depth, inner)
		if end < 0 {
			return -1
		}
		if sh == shapeMessages {
			s.checkMessage(k)
			s.count++
		}
		if i = s.space(end); i >= len(s.b) {
			return s.fail(i, "inside an array")
		}
		switch s.b[i] {
		case ',':
			i = s.space(i + 1)
		case ']':
			return i + 1
		default:
			return s.fail(i, "where a comma or bracket should be")
		}
	}
}

// known reports whether name is among the keys from base on.
func (s *scanner) known(base int, name key) bool {
	text := s.name(name)
	for _, k := range s.keys[base:] {
		if k.to-k.from == name.to-name.from && bytes.Equal(s.name(k), text) {
			return true
		}
	}
	return false
}

// hash returns the set of the keys from base on. A Go map is seeded at
// random, so no choice of names makes it slow.
func (s *scanner) hash(base int) map[string]struct{} {
	seen := make(map[string]struct{}, 4*smallObject)
	for _, k := range s.keys[base:] {
		seen[string(s.name(k))] = struct{}{}
	}
	return seen
}

func (s *scanner) decode(k key) key {
	from := len(s.decoded)
	s.decoded = appendUnescaped(s.decoded, s.b[k.from:k.to])
	return key{from: uint32(from), to: uint32(len(s.decoded)), escaped: true}
}

// text scans what follows an opening quote, up to and with the closing one.
func (s *scanner) text(i int) (end int, escaped bool) {
	for {
		var high uint64
		i, high = plain(s.b, i)
		s.high |= high
		if i >= len(s.b) {
			return s.fail(i, "inside a string"), escaped
		}
		switch s.b[i] {
		case '"':
			return i + 1, escaped
		case '\\':
			escaped = true
			if i = s.escape(i + 1); i < 0 {
				return -1, escaped
			}
		default:
			return s.fail(i, "inside a string"), escaped
		}
	}
}

// escape scans what follows a backslash. Half a surrogate pair is valid by
// syntax and passes.
func (s *scanner) escape(i int) int {
	if i >= len(s.b) {
		return s.fail(i, "inside a string")
	}
	switch s.b[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1
	case 'u':
		if _, ok := hex4(s.b[i+1:]); ok {
			return i + 5
		}
	}
	return s.fail(i, "in an escape sequence")
}

func (s *scanner) number(i int) int {
	if s.b[i] == '-' {
		i++
	}
	if i < len(s.b) && s.b[i] == '0' {
		i++
	} else if i = s.digits(i); i < 0 {
		return -1
	}
	if i < len(s.b) && s.b[i] == '.' {
		if i = s.digits(i + 1); i < 0 {
			return -1
		}
	}
	if i < len(s.b) && s.b[i]|0x20 == 'e' {
		if i++; i < len(s.b) && (s.b[i] == '+' || s.b[i] == '-') {
			i++
		}
		i = s.digits(i)
	}
	return i
}

// digits scans one digit or more.
func (s *scanner) digits(i int) int {
	from := i
	for i < len(s.b) && '0' <= s.b[i] && s.b[i] <= '9' {
		i++
	}
	if i == from {
		return s.fail(i, "in a number")
	}
	return i
}

func (s *scanner) literal(i int, word string) int {
	if len(s.b)-i < len(word) || string(s.b[i:i+len(word)]) != word {
		return s.fail(i, "where a value should be")
	}
	return i + len(word)
}

func (s *scanner) space(i int) int {
	for i < len(s.b) && isSpace(s.b[i]) {
		i++
	}
	return i
}

func (s *scanner) fail(i int, where string) int {
	seen := "the text ends"
	if i < len(s.b) {
		seen = fmt.Sprintf("byte %d is %q", i, s.b[i])
	}
	s.err = &RequestError{Message: "not valid JSON: " + seen + " " + where}
	return -1
}

func (s *scanner) tooDeep() int {
	s.err = &RequestError{Message: fmt.Sprintf("the JSON is nested more than %d deep", maxDepth)}
	return -1
}

func (s *scanner) repeated(name key) int {
	text := string(s.name(name))
	if len(text) > 64 {
		text = text[:64] + "..."
	}
	s.err = &RequestError{Param: text, Message: fmt.Sprintf("member %q is given twice in one object", text)}
	return -1
}
