package openai

import "strconv"

// cursor reads what an endpoint sent. It is quicker and more lenient than
// scanner: it follows the structure, so that braces and words inside text
// mean nothing, and does not judge what it only steps over. It always moves
// on, and stands still with bad set when the structure is broken.
type cursor struct {
	b   []byte
	i   int
	key []byte // inside of the name that member found, as it was written
	bad bool
}

// enter steps into an object or array, given its opening character. When the
// value here is another, it steps over that and returns false.
func (c *cursor) enter(open byte) bool {
	c.i = skipSpace(c.b, c.i)
	if c.i < len(c.b) && c.b[c.i] == open {
		c.i++
		return true
	}
	c.skip()
	return false
}

// member moves to the value of the next member, and past the closing brace
// when there is none.
func (c *cursor) member() bool {
	if !c.element('}') {
		return false
	}
	if c.b[c.i] != '"' {
		c.bad = true
		return false
	}
	end := stringEnd(c.b, c.i+1)
	if end < 0 {
		c.bad = true
		return false
	}
	c.key = c.b[c.i+1 : end-1]
	if c.i = skipSpace(c.b, end); c.i >= len(c.b) || c.b[c.i] != ':' {
		c.bad = true
		return false
	}
	c.i = skipSpace(c.b, c.i+1)
	return true
}

// element moves to the next value before closing, and past closing when there
// is none.
func (c *cursor) element(closing byte) bool {
	if c.bad {
		return false
	}
	i := skipSpace(c.b, c.i)
	if i < len(c.b) && c.b[i] == ',' {
		i = skipSpace(c.b, i+1)
	}
	c.i = i
	if i >= len(c.b) {
		c.bad = true
		return false
	}
	if c.b[i] == closing {
		c.i++
		return false
	}
	return true
}

// raw steps over a value and returns its bytes, nil when the structure is
// broken.
func (c *cursor) raw() []byte {
	c.i = skipSpace(c.b, c.i)
	from := c.i
	c.skip()
	if c.bad {
		return nil
	}
	return c.b[from:c.i:c.i]
}

// span is where a value stands in the text.
type span struct{ from, to int }

// span steps over a value and returns where it stands.
func (c *cursor) span() span {
	raw := c.raw()
	return span{from: c.i - len(raw), to: c.i}
}

// skip steps over a value.
func (c *cursor) skip() {
	if c.bad {
		return
	}
	i := valueEnd(c.b, skipSpace(c.b, c.i))
	if i < 0 {
		c.bad = true
		return
	}
	c.i = i
}

// end reports that nothing but white space is left.
func (c *cursor) end() bool { return !c.bad && skipSpace(c.b, c.i) == len(c.b) }

// valueEnd returns the position after the value at i, or -1.
func valueEnd(b []byte, i int) int {
	if i >= len(b) {
		return -1
	}
	switch b[i] {
	case '"':
		return stringEnd(b, i+1)
	case '{', '[':
	case ',', ':', '}', ']':
		return -1
	default:
		for i++; i < len(b); i++ {
			switch b[i] {
			case ',', '}', ']', ' ', '\n', '\r', '\t':
				return i
			}
		}
		return i
	}
	for open := 0; i < len(b); {
		switch b[i] {
		case '"':
			if i = stringEnd(b, i+1); i < 0 {
				return -1
			}
			continue
		case '{', '[':
			open++
		case '}', ']':
			if open--; open == 0 {
				return i + 1
			}
		}
		i++
	}
	return -1
}

// stringEnd returns the position after the closing quote of the string whose
// inside begins at i, or -1.
func stringEnd(b []byte, i int) int {
	for {
		i, _ = plain(b, i)
		if i >= len(b) {
			return -1
		}
		switch b[i] {
		case '"':
			return i + 1
		case '\\':
			if i += 2; i > len(b) {
				return -1
			}
		default:
			i++
		}
	}
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && isSpace(b[i]) {
		i++
	}
	return i
}

// stringOf returns a string that is not empty; false for any other value.
func stringOf(raw []byte) (inside []byte, ok bool) {
	if len(raw) <= 2 || raw[0] != '"' {
		return nil, false
	}
	return raw[1 : len(raw)-1], true
}

// countOf returns a whole number from 0 to 2⁵³, the largest that every JSON
// library keeps exact (RFC 8259, section 6); false for any other value.
func countOf(raw []byte) (int64, bool) {
	if len(raw) == 0 || len(raw) > 16 || raw[0] < '0' || raw[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	return n, err == nil && n <= 1<<53
}
