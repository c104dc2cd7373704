package openai

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	eachByte = 0x0101010101010101
	highBits = 0x8080808080808080
)

// special marks, in the high bit of each byte, the bytes of w that end a plain
// run of a JSON string: quote, backslash, control characters. Marks above the
// lowest may be wrong, because subtraction borrows; the lowest is right. The
// other bits mean nothing.
// Flipping bit 1 moves the quote, 0x22, to 0x20, next to the control
// characters, and nothing else below 0x21, so that one subtraction finds both.
func special(w uint64) uint64 {
	quoteOrControl := (w ^ 0x02*eachByte) - 0x21*eachByte
	backslash := (w ^ '\\'*eachByte) - eachByte
	return (quoteOrControl | backslash) &^ w
}

// plain returns the position of the first quote, backslash or control
// character in b from i on, or len(b). The second result has a top bit set if
// a byte on the way was not ASCII; it may count a few bytes beyond.
func plain(b []byte, i int) (int, uint64) {
	var high uint64
	for ; len(b)-i >= 8; i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		high |= w
		if m := special(w) & highBits; m != 0 {
			return i + bits.TrailingZeros64(m)/8, high
		}
		for len(b)-i >= 40 {
			c := (*[32]byte)(b[i+8:])
			w0 := binary.LittleEndian.Uint64(c[0:8])
			w1 := binary.LittleEndian.Uint64(c[8:16])
			w2 := binary.LittleEndian.Uint64(c[16:24])
			w3 := binary.LittleEndian.Uint64(c[24:32])
			if (special(w0)|special(w1)|special(w2)|special(w3))&highBits != 0 {
				break
			}
			high |= w0 | w1 | w2 | w3
			i += 32
		}
	}
	for ; i < len(b); i++ {
		c := b[i]
		if c == '"' || c == '\\' || c < ' ' {
			break
		}
		high |= uint64(c)
	}
	return i, high
}

func isSpace(c byte) bool {
	return c == ' ' || c == '\n' || c == '\r' || c == '\t'
}

// invalidAt returns the position of the first byte that is not UTF-8.
func invalidAt(b []byte) int {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n <= 1 {
			return i
		}
		i += n
	}
	return len(b)
}

// text gathers a string that arrives as the insides of several JSON strings,
// cut anywhere: in a character, or in a surrogate pair written as two escapes.
type text struct {
	b    []byte
	high rune // first half of a surrogate pair that waits for the second; 0 if none
}

// add appends the inside of one JSON string.
func (t *text) add(raw []byte) {
	if len(raw) == 0 {
		return
	}
	if t.high != 0 {
		low, n := CodeUnit(raw)
		r := utf16.DecodeRune(t.high, low)
		if r != utf8.RuneError {
			raw = raw[n:]
		}
		t.b = utf8.AppendRune(t.b, r)
		t.high = 0
	}
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			t.b = append(t.b, raw...)
			return
		}
		t.b = append(slices.Grow(t.b, len(raw)), raw[:i]...)
		if raw = raw[i:]; len(raw) < 2 {
			return
		}
		if raw[1] != 'u' {
			t.b = append(t.b, Unescape(raw[1]))
			raw = raw[2:]
			continue
		}
		r, n := CodeUnit(raw)
		raw = raw[n:]
		if utf16.IsSurrogate(r) {
			if len(raw) == 0 && r < 0xDC00 {
				t.high = r
				return
			}
			low, n := CodeUnit(raw)
			if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
				raw = raw[n:]
			}
		}
		t.b = utf8.AppendRune(t.b, r)
	}
}

// String returns the whole as valid UTF-8; what is broken becomes U+FFFD.
func (t *text) String() string {
	b := t.b
	if t.high != 0 {
		b = utf8.AppendRune(b[:len(b):len(b)], utf8.RuneError)
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}

// cut takes n bytes off the end, and what is then left of a character.
func (t *text) cut(n int) {
	t.high = 0
	t.b = t.b[:len(t.b)-n]
	for range utf8.UTFMax {
		if r, size := utf8.DecodeLastRune(t.b); r != utf8.RuneError || size != 1 {
			return
		}
		t.b = t.b[:len(t.b)-1]
	}
}

// Unescape returns what a backslash and c, which is not u, stand for in a JSON
// string.
func Unescape(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

// CodeUnit returns the UTF-16 code unit of the escape \uXXXX that b begins
// with, and its length, 6. Anything else is U+FFFD, with a length below 6 that
// makes progress.
func CodeUnit(b []byte) (rune, int) {
	if len(b) >= 6 && b[0] == '\\' && b[1] == 'u' {
		if r, ok := hex4(b[2:]); ok {
			return r, 6
		}
	}
	return utf8.RuneError, min(2, len(b))
}

// hex4 reads four hexadecimal digits at the beginning of b.
func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 4 {
		return 0, false
	}
	for _, c := range b[:4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// appendUnescaped appends what the inside of a JSON string stands for.
func appendUnescaped(dst, raw []byte) []byte {
	t := text{b: dst}
	t.add(raw)
	if t.high != 0 {
		t.b = utf8.AppendRune(t.b, utf8.RuneError)
	}
	return t.b
}

// appendQuoted appends s as a JSON string. What is not UTF-8 becomes U+FFFD.
func appendQuoted(dst []byte, s string) []byte {
	s = strings.ToValidUTF8(s, "\uFFFD")
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		default:
			const hex = "0123456789abcdef"
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

// unquote returns what a JSON string, given with its quotes, stands for.
func unquote(raw []byte) string {
	inside := raw[1 : len(raw)-1]
	if bytes.IndexByte(inside, '\\') < 0 {
		return string(inside)
	}
	return string(appendUnescaped(nil, inside))
}
