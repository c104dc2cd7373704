package azure

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// line is an item as JSON in the making. Members end with a comma; shut takes
// back the last.
type line []byte

// open begins an object that is a member.
func (l *line) open(key string) { *l = append(appendKey(*l, key), '{') }

// shut ends an object.
func (l *line) shut() {
	b := *l
	if b[len(b)-1] == ',' {
		b = b[:len(b)-1]
	}
	*l = append(b, '}', ',')
}

// text writes a member of at most so many characters; an empty one is left out.
func (l *line) text(key, value string, most int) {
	if value != "" {
		*l = append(appendText(appendKey(*l, key), value, most), ',')
	}
}

func (l *line) number(key string, n float64) {
	*l = append(strconv.AppendFloat(appendKey(*l, key), n, 'f', -1, 64), ',')
}

func (l *line) flag(key string, on bool) {
	*l = append(strconv.AppendBool(appendKey(*l, key), on), ',')
}

// duration writes the form d.hh:mm:ss.fffffff, of less than 1,000 days.
func (l *line) duration(key string, d time.Duration) {
	const day = 24 * time.Hour
	d = min(max(d, 0), 1000*day-1)
	b := append(appendKey(*l, key), '"')
	b = strconv.AppendInt(b, int64(d/day), 10)
	b = append(b, '.')
	b = appendDigits(b, int64(d%day/time.Hour), 2)
	b = append(b, ':')
	b = appendDigits(b, int64(d%time.Hour/time.Minute), 2)
	b = append(b, ':')
	b = appendDigits(b, int64(d%time.Minute/time.Second), 2)
	b = append(b, '.')
	b = appendDigits(b, int64(d%time.Second/100), 7)
	*l = append(b, '"', ',')
}

// appendDigits appends n with zeros before it.
func appendDigits(b []byte, n int64, width int) []byte {
	for range width {
		b = append(b, '0')
	}
	for i := len(b) - 1; n > 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
	return b
}

// appendKey appends the name of a member, which is one of ours.
func appendKey(b []byte, key string) []byte {
	b = append(b, '"')
	b = append(b, key...)
	return append(b, '"', ':')
}

// appendText appends a JSON string of at most so many characters, counted as
// .NET does: those beyond the basic plane are two. What is not UTF-8, and
// control characters except white space, become U+FFFD; so no character takes
// more than three bytes.
func appendText(b []byte, s string, most int) []byte {
	b = append(b, '"')
	for i := 0; i < len(s) && most > 0; {
		c := s[i]
		if c < utf8.RuneSelf {
			i++
			most--
			switch {
			case c == '"' || c == '\\':
				b = append(b, '\\', c)
			case c >= ' ' && c != 0x7f:
				b = append(b, c)
			case c == '\n':
				b = append(b, '\\', 'n')
			case c == '\r':
				b = append(b, '\\', 'r')
			case c == '\t':
				b = append(b, '\\', 't')
			default:
				b = utf8.AppendRune(b, utf8.RuneError)
			}
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r > 0xffff {
			if most--; most == 0 {
				break
			}
		}
		most--
		i += size
		b = utf8.AppendRune(b, r)
	}
	return append(b, '"')
}
