package openai

import "bytes"

// maxPattern bounds the events that are remembered as a pattern; a chunk of
// chat with Azure's filter results has some 500 bytes.
const maxPattern = 4 << 10

// pattern is an event like which most events of a stream are: all have the
// same bytes, but for the text that they add and some padding. To compare them
// costs a small part of what it costs to read them. An event fits when it is
// equal outside the holes and has exactly a string in each.
type pattern struct {
	data   []byte
	holes  [2]hole
	count  int // of holes; 0 when there is no pattern
	choice int // position in answer.choices that the text belongs to
	// unfit: the event being read does more than add text, or is not one
	// that the holes can describe.
	unfit bool
}

// hole is where the inside of a string stands in pattern.data.
type hole struct {
	from, to int
	text     bool // it is the text that counts, not padding
}

// begin forgets the pattern, because an event is read that does not fit.
func (p *pattern) begin() { p.count, p.unfit = 0, false }

// add notes a hole in the event being read. They come in order.
func (p *pattern) add(h hole) {
	if p.count == len(p.holes) {
		p.unfit = true
		return
	}
	p.holes[p.count] = h
	p.count++
}

// end makes the event that was read the pattern, if it is fit for that.
func (p *pattern) end(data []byte) {
	texts := 0
	for _, h := range p.holes[:p.count] {
		if h.text {
			texts++
		}
	}
	if p.unfit || texts != 1 || len(data) > maxPattern {
		p.count = 0
		return
	}
	p.data = append(p.data[:0], data...)
}

// match returns the text of an event that fits. The text is not empty: whether
// an event without text says anything depends on the rest of it.
func (p *pattern) match(data []byte) (inside []byte, ok bool) {
	if p.count == 0 {
		return nil, false
	}
	at, seen := 0, 0 // in data, in p.data
	for _, h := range p.holes[:p.count] {
		same := p.data[seen:h.from]
		if !bytes.HasPrefix(data[at:], same) {
			return nil, false
		}
		at += len(same)
		end := stringEnd(data, at)
		if end < 0 {
			return nil, false
		}
		if h.text {
			if inside = data[at : end-1]; len(inside) == 0 {
				return nil, false
			}
		}
		at, seen = end-1, h.to
	}
	return inside, bytes.Equal(data[at:], p.data[seen:])
}
