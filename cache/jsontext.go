package cache

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"

	"aigateway/openai"
)

// The functions of this file step over JSON that openai.ParseRequest has
// checked. Of other bytes they make no sense, but they end and do not panic.

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// opens reports that c is what b has at i.
func opens(b []byte, i int, c byte) bool { return i < len(b) && b[i] == c }

// stringEnd returns the position after the closing quote of the string whose
// opening quote is at i, or -1.
func stringEnd(b []byte, i int) int {
	for from := i + 1; ; {
		n := bytes.IndexByte(b[from:], '"')
		if n < 0 {
			return -1
		}
		quote := from + n
		slashes := 0
		for quote-slashes > from && b[quote-slashes-1] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return quote + 1
		}
		from = quote + 1
	}
}

// valueEnd returns the position after the value at i, or -1.
func valueEnd(b []byte, i int) int {
	for open := 0; i < len(b); {
		switch b[i] {
		case '"':
			if i = stringEnd(b, i); i < 0 {
				return -1
			}
		case '{', '[':
			open++
			i++
		case '}', ']':
			open--
			i++
		case ',', ':', ' ', '\n', '\r', '\t':
			i++
			continue // the end of nothing
		default:
			i = wordEnd(b, i)
		}
		if open <= 0 {
			return i
		}
	}
	return -1
}

// wordEnd returns the position after the number or literal at i.
func wordEnd(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case ',', ':', '}', ']', '{', '[', '"', ' ', '\n', '\r', '\t':
			return i
		}
	}
	return i
}

// list walks the elements of an array, or the members of an object.
type list struct {
	b     []byte
	i     int // of the element; between elements, where the last one ended
	close byte
	bad   bool // the text is broken
}

// open enters the array or object at i.
func open(b []byte, i int) list {
	l := list{b: b, i: i + 1, close: ']'}
	if b[i] == '{' {
		l.close = '}'
	}
	return l
}

// next moves to the next element, and past the closing character when there is
// none. Whoever uses the element sets i to its end.
func (l *list) next() bool {
	l.i = skipSpace(l.b, l.i)
	if opens(l.b, l.i, ',') {
		l.i = skipSpace(l.b, l.i+1)
	}
	if l.bad = l.bad || l.i >= len(l.b); l.bad {
		return false
	}
	if l.b[l.i] == l.close {
		l.i++
		return false
	}
	return true
}

// member is next for objects. It returns the inside of the member's name, as
// it is written, and leaves i at the value.
func (l *list) member() (name []byte, ok bool) {
	if !l.next() {
		return nil, false
	}
	from, to := l.i, -1
	if l.b[from] == '"' {
		to = stringEnd(l.b, from)
	}
	if to < 0 {
		l.bad = true
		return nil, false
	}
	if l.i = skipSpace(l.b, to); !opens(l.b, l.i, ':') {
		l.bad = true
		return nil, false
	}
	if l.i = skipSpace(l.b, l.i+1); l.i >= len(l.b) {
		l.bad = true
		return nil, false
	}
	return l.b[from+1 : to-1], true
}

// skip moves to the end of the element.
func (l *list) skip() {
	end := valueEnd(l.b, l.i)
	if end <= l.i {
		l.bad, end = true, len(l.b)
	}
	l.i = end
}

// named reports that the inside of a string, as it is written, stands for
// name, which is ASCII.
func named(written []byte, name string) bool {
	if bytes.IndexByte(written, '\\') < 0 {
		return string(written) == name
	}
	return string(appendUnescaped(nil, written)) == name
}

// appendUnescaped appends what the inside of a JSON string stands for. Half a
// surrogate pair, which is no character, becomes the three bytes that UTF-8
// would have for it: they differ from those of every text.
func appendUnescaped(dst, raw []byte) []byte {
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 || i+1 >= len(raw) {
			return append(dst, raw...)
		}
		dst = append(dst, raw[:i]...)
		c := raw[i+1]
		raw = raw[i:]
		if c != 'u' {
			dst = append(dst, openai.Unescape(c))
			raw = raw[2:]
			continue
		}
		r, n := openai.CodeUnit(raw)
		if n < 6 {
			return append(dst, raw...)
		}
		raw = raw[n:]
		if utf16.IsSurrogate(r) {
			low, n := openai.CodeUnit(raw)
			if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
				dst = utf8.AppendRune(dst, pair)
				raw = raw[n:]
				continue
			}
			dst = append(dst, 0xE0|byte(r>>12), 0x80|byte(r>>6)&0x3F, 0x80|byte(r)&0x3F)
			continue
		}
		dst = utf8.AppendRune(dst, r)
	}
}
