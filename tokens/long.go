package tokens

import "math/bits"

// A long piece is merged in windows, from left to right. A window begins some
// parts before the end of what is done. When its first part would not stay
// apart from the one before it, what is done changes, and the window begins
// earlier, twice as far each time. As a window also goes forward at least as
// far as the one before had to go back, the whole takes n log n steps even if
// every window goes back to the beginning. A text that needs more than a few
// bytes has to be made for it.
const (
	medium = 256         // bytes that are merged at once
	reach  = 16          // bytes that a window goes back at first
	step   = medium - 24 // bytes that it goes forward: there is room for most of a part
)

// mergeLong returns how many parts s has.
func (m *merger) mergeLong(v *vocabulary, s string) int {
	m.ends = m.ends.cleared(len(s))
	for done, back := 0, 0; done < len(s); {
		to := min(len(s), done+max(step, back))
		for back = reach; !m.encode(v, s, done-back, done, to); {
			back *= 2
		}
		done = m.repeat(v, s, to)
	}
	return m.ends.count()
}

// encode does s up to to, from the last end that is at most from; it was done
// up to done. It reports false, and changes nothing, when it has to begin
// earlier.
func (m *merger) encode(v *vocabulary, s string, from, done, to int) bool {
	from = m.ends.upTo(from)
	m.window.merge(v, s[from:to])
	if from > 0 {
		before, first := m.ends.upTo(from-1), from+int(m.next[0])
		if !m.apart(v, s[before:first], from-before) {
			return false
		}
		if first-before > short { // then that was done in the window
			m.window.merge(v, s[from:to])
		}
	}
	m.ends.remove(from+1, done)
	for i := 0; i < to-from; {
		i = int(m.next[i])
		m.ends.add(from + i)
	}
	return true
}

// apart reports whether the encoding of s is two parts, the second at i.
func (m *merger) apart(v *vocabulary, s string, i int) bool {
	if len(s) <= short {
		return m.mergeShort(v, s) == 1|1<<i
	}
	return m.window.merge(v, s) == 2 && int(m.next[0]) == i
}

// repeat steps over a part that repeats, in runs of one character above all: s
// is done up to done, and then up to what repeat returns. When a part stays
// apart from itself, any number of it are their own encoding.
func (m *merger) repeat(v *vocabulary, s string, done int) int {
	at := m.ends.upTo(done - reach)
	if at == 0 {
		return done
	}
	part := s[m.ends.upTo(at-1):at]
	worth := done + step
	if at+repeated(s[at:min(len(s), worth+len(part))], part) < worth ||
		!m.apart(v, s[at-len(part):at+len(part)], len(part)) {
		return done
	}
	end := at + repeated(s[at:], part)
	m.ends.remove(at+1, done)
	for at < end {
		at += len(part)
		m.ends.add(at)
	}
	return end
}

// repeated returns how many bytes at the beginning of s are part, again and
// again.
func repeated(s, part string) int {
	n := 0
	for n+len(part) <= len(s) && s[n:n+len(part)] == part {
		n += len(part)
	}
	return n
}

// places is a set of places in a text, from 1: a bit for each.
type places []uint64

// cleared returns an empty set for places up to n, in p if there is room.
func (p places) cleared(n int) places {
	words := n/64 + 1
	if cap(p) < words {
		return make(places, words)
	}
	clear(p[:words])
	return p[:words]
}

func (p places) add(i int) { p[i/64] |= 1 << (i % 64) }

func (p places) remove(i, to int) {
	for ; i <= to; i++ {
		p[i/64] &^= 1 << (i % 64)
	}
}

// upTo returns the last place that is at most i, or 0.
func (p places) upTo(i int) int {
	if i <= 0 {
		return 0
	}
	w := i / 64
	set := p[w] & (^uint64(0) >> (63 - i%64))
	for set == 0 {
		if w == 0 {
			return 0
		}
		w--
		set = p[w]
	}
	return w*64 + bits.Len64(set) - 1
}

func (p places) count() int {
	n := 0
	for _, w := range p {
		n += bits.OnesCount64(w)
	}
	return n
}
