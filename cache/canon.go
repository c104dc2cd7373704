package cache

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"slices"
	"strconv"
)

const (
	// maxDepth bounds our recursion. openai.ParseRequest refuses deeper texts.
	maxDepth = 128
	// maxKept is how much room for bytes is kept from one request to the next:
	// a long conversation has less.
	maxKept = 256 << 10
	// longText is the length from which a string is hashed where it stands
	// instead of being copied: copying 256 bytes costs less than a digest.
	longText = 256
)

// canon writes JSON in its canonical form, in which texts that mean the same
// are the same: white space, the order of members, escapes, and the spelling
// of numbers (1, 1.0, 10e-1) do not show; the order of elements does, and a
// member that is null differs from one that is absent. Each object becomes its
// digest as soon as it is read, so every byte is read once whatever the
// nesting.
//
// The form of a value is one of these, none the beginning of another:
//
//	n t f         null, true, false
//	# digits FF   a number: see appendNumber
//	" text FF     a string in UTF-8, which has no byte FF
//	L digest      a string longer than longText
//	Q             a string that is masked
//	[ values ]    an array
//	{ digest      an object: of its members, a string and a value, in order
type canon struct {
	h   hash.Hash // SHA-256, of whatever is being digested
	sum Hash      // room for what h says

	b     []byte // the text
	out   []byte // the form of what is read of the open objects and arrays
	spans []span // of the members of the open objects, in out
	masks []span // strings to be masked, in the order of the text
}

// span is where something stands: from and up to, not including, to.
type span struct{ from, to int }

// request returns the digest of the request in b with the strings of masks
// masked. Members that shape no answer are left out: see shapesNoAnswer.
func (c *canon) request(b []byte, masks []span) (Hash, bool) {
	c.b, c.masks, c.out, c.spans = b, masks, c.out[:0], c.spans[:0]
	i := skipSpace(b, 0)
	if !opens(b, i, '{') || c.object(i, 1) < 0 {
		return Hash{}, false
	}
	return Hash(c.out[1:]), true
}

// shapesNoAnswer reports that a member of the top level of a request says how
// to deliver, bill or file an answer, not what it should be. These are
// documented in OpenAI's reference of chat completions. user, too, is only an
// identifier; who shares an answer is the scope's affair.
func shapesNoAnswer(name []byte) bool {
	switch string(name) {
	case "stream", "stream_options", "user", "metadata", "store", "safety_identifier",
		"prompt_cache_key", "prompt_cache_retention", "service_tier":
		return true
	}
	return false
}

// value reads the value at i and returns the position after it, or -1.
func (c *canon) value(i, depth int) int {
	if i >= len(c.b) || depth > maxDepth {
		return -1
	}
	switch first := c.b[i]; first {
	case '{':
		return c.object(i, depth+1)
	case '[':
		return c.array(i, depth+1)
	case '"':
		end := stringEnd(c.b, i)
		switch {
		case end < 0:
			return -1
		case len(c.masks) > 0 && c.masks[0].from == i:
			c.masks = c.masks[1:]
			c.out = append(c.out, 'Q')
		default:
			c.text(c.b[i+1 : end-1])
		}
		return end
	case ',', ':', ']', '}':
		return -1
	default:
		end := wordEnd(c.b, i)
		switch word := c.b[i:end]; string(word) {
		case "null", "true", "false":
			c.out = append(c.out, first)
		default:
			c.out = appendNumber(c.out, word)
		}
		return end
	}
}

func (c *canon) array(i, depth int) int {
	c.out = append(c.out, '[')
	l := open(c.b, i)
	for l.next() {
		if l.i = c.value(l.i, depth); l.i < 0 {
			return -1
		}
	}
	c.out = append(c.out, ']')
	if l.bad {
		return -1
	}
	return l.i
}

func (c *canon) object(i, depth int) int {
	first, start := len(c.spans), len(c.out)
	l := open(c.b, i)
	for {
		written, ok := l.member()
		if !ok {
			break
		}
		from := len(c.out)
		c.text(written)
		if depth == 1 && shapesNoAnswer(c.out[from+1:len(c.out)-1]) {
			c.out = c.out[:from]
			l.skip()
			continue
		}
		if l.i = c.value(l.i, depth); l.i < 0 {
			return -1
		}
		c.spans = append(c.spans, span{from, len(c.out)})
	}
	if l.bad {
		return -1
	}

	out := c.out
	members := c.spans[first:]
	slices.SortFunc(members, func(a, b span) int { return bytes.Compare(out[a.from:a.to], out[b.from:b.to]) })
	c.h.Reset()
	for _, m := range members {
		c.h.Write(out[m.from:m.to])
	}
	c.spans = c.spans[:first]
	c.out = append(c.out[:start], '{')
	c.out = c.h.Sum(c.out)
	return l.i
}

// text writes the string whose inside is raw.
func (c *canon) text(raw []byte) {
	if bytes.IndexByte(raw, '\\') < 0 {
		if len(raw) > longText {
			c.out = append(c.out, 'L')
			c.out = append(c.out, c.digest(raw)...)
			return
		}
		c.out = append(c.out, '"')
		c.out = append(c.out, raw...)
		c.out = append(c.out, 0xFF)
		return
	}
	start := len(c.out)
	c.out = append(c.out, '"')
	c.out = appendUnescaped(c.out, raw)
	if text := c.out[start+1:]; len(text) > longText {
		sum := c.digest(text)
		c.out = append(c.out[:start], 'L')
		c.out = append(c.out, sum...)
		return
	}
	c.out = append(c.out, 0xFF)
}

// digest returns a digest that is good until the next.
func (c *canon) digest(b []byte) []byte {
	c.h.Reset()
	c.h.Write(b)
	return c.h.Sum(c.sum[:0])
}

// release forgets the text. Room that a rare text made long is left to the
// collector.
func (c *canon) release() {
	c.b, c.masks = nil, nil
	if cap(c.out) > maxKept {
		c.out = nil
	}
	if cap(c.spans) > 4<<10 {
		c.spans = nil
	}
}

func newCanon() canon {
	return canon{h: sha256.New(), out: make([]byte, 0, 2<<10), spans: make([]span, 0, 64)}
}

// appendNumber appends a number as its sign, its digits without zeros at
// either end, and where the point belongs, counted from the first digit: 120
// and 1.2e2 are both #12e3. Every zero is #0. Exponents beyond nine digits
// are of no use to anyone and stay as they are written.
func appendNumber(out, raw []byte) []byte {
	rest := raw
	negative := opens(rest, 0, '-')
	if negative {
		rest = rest[1:]
	}
	whole, rest := cutDigits(rest)
	var fraction []byte
	if opens(rest, 0, '.') {
		fraction, rest = cutDigits(rest[1:])
	}
	exponent, ok := 0, true
	if len(rest) > 0 {
		exponent, ok = exponentOf(rest)
	}
	if !ok || len(whole) == 0 {
		out = append(out, '#', '?')
		out = append(out, raw...)
		return append(out, 0xFF)
	}

	point := len(whole) + exponent
	before := len(whole) + len(fraction)
	if whole = bytes.TrimLeft(whole, "0"); len(whole) == 0 {
		fraction = bytes.TrimLeft(fraction, "0")
	}
	point -= before - len(whole) - len(fraction)
	if fraction = bytes.TrimRight(fraction, "0"); len(fraction) == 0 {
		whole = bytes.TrimRight(whole, "0")
	}
	out = append(out, '#')
	if len(whole)+len(fraction) == 0 {
		return append(out, '0', 0xFF)
	}
	if negative {
		out = append(out, '-')
	}
	out = append(out, whole...)
	out = append(out, fraction...)
	out = append(out, 'e')
	out = strconv.AppendInt(out, int64(point), 10)
	return append(out, 0xFF)
}

// cutDigits splits b after the digits that it begins with.
func cutDigits(b []byte) (digits, rest []byte) {
	i := 0
	for i < len(b) && '0' <= b[i] && b[i] <= '9' {
		i++
	}
	return b[:i], b[i:]
}

// exponentOf reads e and a whole number of at most nine digits.
func exponentOf(b []byte) (n int, ok bool) {
	if b[0]|0x20 != 'e' {
		return 0, false
	}
	sign := 1
	if b = b[1:]; len(b) > 0 && (b[0] == '+' || b[0] == '-') {
		if b[0] == '-' {
			sign = -1
		}
		b = b[1:]
	}
	digits, rest := cutDigits(b)
	if len(digits) == 0 || len(rest) > 0 {
		return 0, false
	}
	if digits = bytes.TrimLeft(digits, "0"); len(digits) > 9 {
		return 0, false
	}
	for _, d := range digits {
		n = n*10 + int(d-'0')
	}
	return sign * n, true
}
