package tokens

import "math/bits"

// A piece of a text is encoded by merging: at first each byte is a part; the
// two neighbours whose joint bytes are the token of the lowest rank become
// one, the leftmost of equals first, until no neighbours are a token.
//
// Until the first merge across a seam, what happens on its sides is what would
// happen there alone. Hence a token is always merged from the same halves,
// those it comes from alone. And when parts are the encoding of a text and
// other parts that of the text behind it, all of them are the encoding of
// both texts if the two that meet are that of their own joint bytes.
//
// Done as it is told, merging takes the square of the piece's length. Up to
// medium bytes that does not matter. A longer piece is merged in windows, see
// long.go.

// short is how many bytes are merged by looking at all pairs for each merge.
// It is where that becomes slower than keeping the pairs in order.
const short = 32

// merger is the memory for merging. It need not be clean.
type merger struct {
	// Of a short piece: the rank of each pair and, in the low bits, where it
	// begins, so that the least key is the pair to merge; keys of no pair are
	// above all others. And the token that begins at an index.
	keys  [short]uint32
	parts [short]uint32

	window        // of a longer piece
	ends   places // where the parts of a long piece end
}

// size returns about how many bytes m takes beyond itself.
func (m *merger) size() int { return 8*cap(m.ends) + 14*cap(m.tree) }

// piece returns how many tokens a piece has.
func (m *merger) piece(v *vocabulary, s string) int {
	switch {
	case len(s) == 1 || v.rank(s) != none:
		return 1
	case len(s) <= short:
		return bits.OnesCount32(m.mergeShort(v, s))
	case len(s) <= medium:
		return m.window.merge(v, s)
	}
	return m.mergeLong(v, s)
}

// mergeShort returns where the parts of s begin, a bit for each byte. s has 1
// to short bytes.
func (m *merger) mergeShort(v *vocabulary, s string) uint32 {
	const places, last = 5, none << 5
	n := len(s)
	m.parts[0] = v.bytes[s[0]]
	for i := 1; i < n; i++ {
		m.parts[i%short] = v.bytes[s[i]]
		m.keys[(i-1)%short] = v.couples[int(s[i-1])<<8|int(s[i])]<<places | uint32(i-1)
	}
	for i := n - 1; i < (n+3)&^3; i++ {
		m.keys[i%short] = last
	}
	begins := ^uint32(0) >> (short - n)
	for {
		k0, k1, k2, k3 := m.keys[0], m.keys[1], m.keys[2], m.keys[3]
		for i := 4; i < n; i += 4 {
			k := (*[4]uint32)(m.keys[i&(short-4):])
			k0, k1, k2, k3 = min(k0, k[0]), min(k1, k[1]), min(k2, k[2]), min(k3, k[3])
		}
		least := min(min(k0, k1), min(k2, k3))
		if least >= last {
			return begins
		}
		at, token := int(least%short), least>>places
		m.parts[at] = token
		behind := begins & (^uint32(1) << at)
		gone := bits.TrailingZeros32(behind) % short
		begins &^= 1 << gone
		m.keys[gone], m.keys[at] = last, last
		if behind &= behind - 1; behind != 0 {
			end := bits.TrailingZeros32(behind) % short
			m.keys[at] = v.merged(token, m.parts[end])<<places | uint32(at)
		}
		if before := begins & (1<<at - 1); before != 0 {
			from := (bits.Len32(before) - 1) % short
			m.keys[from] = v.merged(m.parts[from], token)<<places | uint32(from)
		}
	}
}

// halves returns the two parts that a token is merged from, while v has only
// tokens of lower ranks. It reports false when there are not two.
func (m *merger) halves(v *vocabulary, token string) (left, right uint32, ok bool) {
	if len(token) > short {
		ok = m.window.merge(v, token) == 2
		return m.tokens[0], m.tokens[int(m.next[0])%len(token)], ok
	}
	begins := m.mergeShort(v, token)
	return m.parts[0], m.parts[bits.TrailingZeros32(begins&^1)%short], bits.OnesCount32(begins) == 2
}
