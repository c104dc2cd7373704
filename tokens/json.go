package tokens

import (
	"iter"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// A raw value is the text of one JSON value, without space around it. All that
// reads one takes it for valid; of what is not, it reads something, in the
// same time.

// members yields the members of an object, none of another value. Names are
// decoded.
func members(raw string) iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		if kindOf(raw) != '{' {
			return
		}
		for i := skipSpace(raw, 1); i < len(raw) && raw[i] == '"'; {
			colon := endOf(raw, i)
			name := raw[i:colon]
			if strings.IndexByte(name, '\\') < 0 {
				name = unquoted(name)
			} else {
				name = string(appendText(nil, name))
			}
			i = skipSpace(raw, skipSpace(raw, colon)+1)
			end := endOf(raw, i)
			if i >= end || !yield(name, raw[i:end]) {
				return
			}
			i = skipSpace(raw, skipSpace(raw, end)+1)
		}
	}
}

// elements yields the elements of an array, none of another value.
func elements(raw string) iter.Seq[string] {
	return func(yield func(string) bool) {
		if kindOf(raw) != '[' {
			return
		}
		for i := skipSpace(raw, 1); i < len(raw) && raw[i] != ']'; {
			end := endOf(raw, i)
			if i >= end || !yield(raw[i:end]) {
				return
			}
			i = skipSpace(raw, skipSpace(raw, end)+1)
		}
	}
}

// member returns a member of an object, or "".
func member(raw, name string) string {
	for n, value := range members(raw) {
		if n == name {
			return value
		}
	}
	return ""
}

// kindOf returns the first byte of a raw value, which tells what it is; of
// none, 0.
func kindOf(raw string) byte {
	if raw == "" {
		return 0
	}
	return raw[0]
}

// skipSpace returns the first place from i on that is not space.
func skipSpace(s string, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\n' || s[i] == '\t' || s[i] == '\r') {
		i++
	}
	return i
}

// endOf returns where the value ends that begins at i.
func endOf(s string, i int) int {
	if i >= len(s) {
		return len(s)
	}
	switch s[i] {
	case '"':
		return endOfString(s, i)
	case '{', '[':
		for depth := 0; i < len(s); {
			switch s[i] {
			case '"':
				i = endOfString(s, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
			i++
		}
		return i
	}
	for i < len(s) && strings.IndexByte(" \n\t\r,]}", s[i]) < 0 {
		i++
	}
	return i
}

// endOfString returns where the string ends whose quote is at i.
func endOfString(s string, i int) int {
	for i++; i < len(s); {
		n := strings.IndexByte(s[i:], '"')
		if n < 0 {
			break
		}
		quote := i + n
		for i <= quote { // unless an escape goes over it
			escape := strings.IndexByte(s[i:quote], '\\')
			if escape < 0 {
				return quote + 1
			}
			i += escape + 2
		}
	}
	return len(s)
}

// unquoted returns the inside of a string.
func unquoted(raw string) string {
	if len(raw) < 2 || raw[0] != '"' {
		return ""
	}
	return raw[1 : len(raw)-1]
}

// appendText appends what a string says. Half a surrogate pair says U+FFFD.
func appendText(to []byte, raw string) []byte {
	s := unquoted(raw)
	for {
		i := strings.IndexByte(s, '\\')
		if i < 0 || i+1 >= len(s) {
			return append(to, s...)
		}
		to = append(to, s[:i]...)
		c := s[i+1]
		s = s[i+2:]
		switch c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			r := hex4(s)
			s = s[min(4, len(s)):]
			if utf16.IsSurrogate(r) {
				low := rune(-1)
				if strings.HasPrefix(s, `\u`) {
					low = hex4(s[2:])
				}
				if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
					s = s[6:]
				}
			}
			to = utf8.AppendRune(to, r)
			continue
		}
		to = append(to, c)
	}
}

// hex4 returns the number that s begins with, or -1.
func hex4(s string) rune {
	if len(s) < 4 {
		return -1
	}
	var n rune
	for i := range 4 {
		c := s[i]
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return -1
		}
		n = n<<4 | rune(c)
	}
	return n
}

// compact appends a value without the space between its tokens.
func compact(to []byte, raw string) []byte {
	for i := 0; i < len(raw); {
		end := i + 1
		switch raw[i] {
		case '"':
			end = endOfString(raw, i)
			to = append(to, raw[i:end]...)
		case ' ', '\n', '\t', '\r':
		default:
			to = append(to, raw[i])
		}
		i = end
	}
	return to
}
