package tokens

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/bits"
	"strconv"
	"sync"

	"github.com/pkoukk/tiktoken-go-loader/assets"
)

// none is the rank of a text that is no token. It is above all ranks.
const none = 1<<20 - 1

// vocabulary knows the tokens of one encoding. A token is known by its rank:
// the lower, the earlier are its two halves merged. A vocabulary does not
// change once it is loaded, except for its spare memory.
type vocabulary struct {
	split   splitter
	classes *classes
	bytes   [256]uint32 // the rank of each byte

	// The tokens by their bytes: a hash table with open addressing. A slot that
	// is not zero holds, from its low bits, a token's rank, its length, its
	// place in text, and some bits of its hash, so that what is no token is
	// mostly known without a look at text.
	slots []uint64
	shift uint // hash >> shift is where a token's slot is looked for first
	text  string

	// The tokens by their halves, in the same manner: a slot holds the rank of
	// the whole, of the right half and of the left, plus one. However a token
	// comes about, it is from the same halves (see merge.go), so there is one
	// slot for each. Of two bytes, the most frequent by far, the rank is also
	// in couples, at a<<8|b. Most of what is asked for is no pair: that is
	// found, in much less memory, by a bit of hints which is not set.
	pairs     []uint64
	pairShift uint
	hints     []uint64
	couples   []uint32

	longest int // bytes

	spare sync.Pool // of *room
}

const (
	rankBits   = 18
	lengthBits = 8
	placeBits  = 21
	tagBits    = 64 - rankBits - lengthBits - placeBits

	rankMask = 1<<rankBits - 1
	compared = (1<<lengthBits-1)<<rankBits | (1<<tagBits-1)<<(64-tagBits) // of a slot
)

// The vocabularies that are embedded, each loaded when first asked for.
var (
	cl100k = sync.OnceValue(func() *vocabulary { return load("cl100k_base.tiktoken", splitCl100k) })
	o200k  = sync.OnceValue(func() *vocabulary { return load("o200k_base.tiktoken", splitO200k) })
)

// load reads an embedded vocabulary: a line for each token in the order of
// their ranks, which has its bytes in base64, a space, and its rank. It panics
// when the embedded file is not one.
func load(file string, split splitter) *vocabulary {
	lines, err := assets.Assets.ReadFile(file)
	if err != nil {
		panic("BUG: the vocabulary is not embedded: " + err.Error())
	}
	damaged := func(rank int) { panic(fmt.Sprintf("BUG: %s is damaged at token %d", file, rank)) }

	// What is asked by bytes is mostly a token, what is asked by halves mostly
	// is none and searched to the next free slot: it has more of them.
	size := bits.Len(uint(bytes.Count(lines, []byte("\n"))))
	v := &vocabulary{
		split:     split,
		classes:   classTable(),
		slots:     make([]uint64, 1<<size),
		shift:     64 - uint(size),
		pairs:     make([]uint64, 2<<size),
		pairShift: 63 - uint(size),
		hints:     make([]uint64, 8<<size/64),
		couples:   make([]uint32, 1<<16),
	}
	for i := range v.couples {
		v.couples[i] = none
	}
	text := make([]byte, 0, base64.StdEncoding.DecodedLen(len(lines)))
	m, rank := &merger{}, 0
	for line := range bytes.Lines(lines) {
		encoded, number, _ := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
		from := len(text)
		text, err = base64.StdEncoding.AppendDecode(text, encoded)
		token := view(text[from:])
		if err != nil || string(number) != strconv.Itoa(rank) || rank >= 1<<rankBits ||
			token == "" || len(token) >= 1<<lengthBits || len(text) >= 1<<placeBits {
			damaged(rank)
		}
		v.add(token, uint64(from), uint64(rank))
		if len(token) == 1 {
			v.bytes[token[0]] = uint32(rank)
		} else if left, right, ok := m.halves(v, token); ok {
			v.addPair(left, right, uint64(rank))
			if len(token) == 2 {
				v.couples[int(token[0])<<8|int(token[1])] = uint32(rank)
			}
		} else {
			damaged(rank)
		}
		rank++
	}
	v.text = string(text)
	return v
}

func (v *vocabulary) add(token string, place, rank uint64) {
	h := hash(token)
	i := h >> v.shift
	for v.slots[i] != 0 {
		i = (i + 1) & uint64(len(v.slots)-1)
	}
	v.slots[i] = rank | uint64(len(token))<<rankBits | place<<(rankBits+lengthBits) | h<<(64-tagBits)
	v.longest = max(v.longest, len(token))
}

func (v *vocabulary) addPair(left, right uint32, rank uint64) {
	key := pairKey(left, right)
	h := key * spread
	i := h >> v.pairShift
	for v.pairs[i] != 0 {
		i = (i + 1) & uint64(len(v.pairs)-1)
	}
	v.pairs[i] = key<<rankBits | rank
	hint := h >> (v.pairShift - 2)
	v.hints[hint/64] |= 1 << (hint % 64)
}

// merged returns the rank of the token whose halves are left and right, or
// none.
func (v *vocabulary) merged(left, right uint32) uint32 {
	key := pairKey(left, right)
	h := key * spread
	hint := h >> (v.pairShift - 2)
	if v.hints[hint/64]>>(hint%64)&1 == 0 {
		return none
	}
	for i := h >> v.pairShift; ; i++ {
		slot := v.pairs[i&uint64(len(v.pairs)-1)]
		if slot>>rankBits == key {
			return uint32(slot & rankMask)
		}
		if slot == 0 {
			return none
		}
	}
}

// pairKey is never zero.
func pairKey(left, right uint32) uint64 { return uint64(left+1)<<rankBits | uint64(right) }

// spread is 2^64 divided by the golden ratio: the high bits of what it is
// multiplied by are as good as random.
const spread = 0x9e3779b97f4a7c15

// rank returns the rank of a token, or none. The time is bounded for any s:
// the table does not change, so nobody can crowd it.
func (v *vocabulary) rank(s string) uint32 {
	if len(s) > v.longest {
		return none
	}
	h := hash(s)
	want := uint64(len(s))<<rankBits | h<<(64-tagBits)
	for i := h >> v.shift; ; i++ {
		slot := v.slots[i&uint64(len(v.slots)-1)]
		if slot&compared == want {
			place := int(slot >> (rankBits + lengthBits) & (1<<placeBits - 1))
			if v.text[place:place+len(s)] == s {
				return uint32(slot & rankMask)
			}
		}
		if slot == 0 {
			return none
		}
	}
}

// hash mixes the bytes of s, which is not empty. Its high bits choose a slot
// and its low bits tell tokens in neighbouring slots apart.
func hash(s string) uint64 {
	n := len(s)
	h := uint64(n) * 0xd1b54a32d192ed03 // odd and random
	for i := 0; i+8 < n; i += 8 {
		hi, lo := bits.Mul64(h^load8(s, i), spread)
		h = hi ^ lo
	}
	var last uint64
	switch {
	case n >= 8:
		last = load8(s, n-8)
	case n >= 4:
		last = load4(s, 0) | load4(s, n-4)<<32
	default:
		last = uint64(s[0]) | uint64(s[n/2])<<8 | uint64(s[n-1])<<16
	}
	hi, lo := bits.Mul64(h^last, spread)
	return hi ^ lo
}

func load8(s string, i int) uint64 {
	s = s[i : i+8]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

func load4(s string, i int) uint64 {
	s = s[i : i+4]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24
}
