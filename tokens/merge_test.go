package tokens

import (
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// reference returns how many parts s has, by merging as it is told.
func reference(v *vocabulary, s string) int {
	var parts []string
	for i := range len(s) {
		parts = append(parts, s[i:i+1])
	}
	for {
		best, at := uint32(none), 0
		for i := range len(parts) - 1 {
			if r := v.rank(parts[i] + parts[i+1]); r < best {
				best, at = r, i
			}
		}
		if best == none {
			return len(parts)
		}
		parts[at] += parts[at+1]
		parts = append(parts[:at+1], parts[at+2:]...)
	}
}

func TestMergingEqualsTheReferenceOnPiecesOfAnyLength(t *testing.T) {
	for encoding, load := range ours {
		v := load()
		t.Run(encoding, rapid.MakeCheck(func(t *rapid.T) {
			n := rapid.IntRange(2, 1500).Draw(t, "length")
			var s string
			if rapid.Bool().Draw(t, "of tokens") {
				s = tokensOf(v, rapid.Uint64().Draw(t, "seed"), n)
			} else {
				alphabet := rapid.SampledFrom([]string{"ab", "abc", "aab\n", " \n", "=-", "0123456789abcdef", "的一是不", allBytes()}).Draw(t, "alphabet")
				s = letters(n, alphabet)
			}
			r := &room{}
			got := r.piece(v, s)
			want := reference(v, s)
			if v.rank(s) != none {
				want = 1
			}
			if got != want {
				t.Fatalf("%q: %d tokens, want %d", s, got, want)
			}
		}))
	}
}

// tokensOf returns some n bytes of tokens that follow each other by chance:
// they merge across their seams more often than anything written.
func tokensOf(v *vocabulary, seed uint64, n int) string {
	r := rand.New(rand.NewPCG(seed, 3))
	var b strings.Builder
	for b.Len() < n {
		slot := v.slots[r.IntN(len(v.slots))]
		if slot == 0 {
			continue
		}
		place, length := int(slot>>(rankBits+lengthBits)&(1<<placeBits-1)), int(slot>>rankBits&(1<<lengthBits-1))
		b.WriteString(v.text[place : place+length])
	}
	return b.String()
}

// A chain of merges, each of which waits for the one behind it, reaches back
// as far as it is long: 1000 bytes here, of a vocabulary made for it.
func TestAWindowBeginsAsFarBackAsTheTextNeeds(t *testing.T) {
	v := chain()
	for _, n := range []int{2, 3, 100, 254, 255, 256, 257, 600, 601, 2000, 2001, 5000} {
		s := strings.Repeat(ascending(), n/200+1)[:n]
		r := &room{}
		if got, want := r.mergeLong(v, s), reference(v, s); got != want {
			t.Errorf("%d bytes are %d tokens, want %d", n, got, want)
		}
	}
}

// ascending returns the bytes from 0 to 199.
func ascending() string { return allBytes()[:200] }

// chain is a vocabulary in which two bytes that ascend are a token, of a lower
// rank the higher they are, so that what becomes of a run of them depends on
// its last byte.
func chain() *vocabulary {
	v := &vocabulary{
		classes: classTable(), slots: make([]uint64, 1<<10), shift: 64 - 10,
		pairs: make([]uint64, 1<<11), pairShift: 64 - 11, hints: make([]uint64, 1<<13/64), couples: make([]uint32, 1<<16),
	}
	for i := range v.couples {
		v.couples[i] = none
	}
	var text strings.Builder
	add := func(token string, rank int) {
		v.text = text.String() + token
		v.add(token, uint64(text.Len()), uint64(rank))
		text.WriteString(token)
	}
	for i := range 256 {
		v.bytes[i] = uint32(i)
		add(string([]byte{byte(i)}), i)
	}
	for i := 198; i >= 0; i-- {
		rank := 256 + 198 - i
		v.couples[i<<8|i+1] = uint32(rank)
		v.addPair(uint32(i), uint32(i+1), uint64(rank))
		add(string([]byte{byte(i), byte(i + 1)}), rank)
	}
	return v
}

func TestEveryTokenIsOneTokenAndMergedFromTwo(t *testing.T) {
	for encoding, want := range map[string]int{"cl100k_base": 100256, "o200k_base": 199998} {
		v := ours[encoding]()
		tokens := 0
		r := &room{}
		for _, slot := range v.slots {
			if slot == 0 {
				continue
			}
			tokens++
			place, length := int(slot>>(rankBits+lengthBits)&(1<<placeBits-1)), int(slot>>rankBits&(1<<lengthBits-1))
			token := v.text[place : place+length]
			if n := r.window.merge(v, token); n != 1 || r.tokens[0] != uint32(slot&rankMask) {
				t.Fatalf("%s: the token %q is merged to %d parts", encoding, token, n)
			}
		}
		if tokens != want {
			t.Errorf("%s has %d tokens, want %d", encoding, tokens, want)
		}
	}
}
