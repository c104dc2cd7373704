package tokens

import (
	"sync"
	"unicode"
	"unicode/utf8"
)

// class is what the patterns of the vocabularies tell characters apart by.
// Each character has one; zero is everything else, such as punctuation.
type class uint8

const (
	upper    class = 1 << iota // \p{Lu} \p{Lt}
	lower                      // \p{Ll}
	caseless                   // \p{Lm} \p{Lo}
	mark                       // \p{M}
	number                     // \p{N}
	newline                    // \r \n
	space                      // \s but newlines

	letter = upper | lower | caseless
	head   = upper | caseless | mark // what a word begins with
	tail   = lower | caseless | mark // what it goes on with
)

// block is how many characters the class table shares or keeps together.
const block = 128

// classes holds the class of every character: most blocks are alike, and one
// copy of them stands for all.
type classes struct {
	of     [block]class // the first block, ASCII, without the detour
	blocks []([block]class)
	index  [(unicode.MaxRune + 1) / block]uint16
}

var classTable = sync.OnceValue(func() *classes {
	all := make([]class, unicode.MaxRune+1)
	for c, tables := range map[class][]*unicode.RangeTable{
		upper:    {unicode.Lu, unicode.Lt},
		lower:    {unicode.Ll},
		caseless: {unicode.Lm, unicode.Lo},
		mark:     {unicode.M},
		number:   {unicode.N},
		space:    {unicode.White_Space},
	} {
		for _, t := range tables {
			for _, r := range t.R16 {
				for i := int(r.Lo); i <= int(r.Hi); i += int(r.Stride) {
					all[i] = c
				}
			}
			for _, r := range t.R32 {
				for i := int(r.Lo); i <= int(r.Hi); i += int(r.Stride) {
					all[i] = c
				}
			}
		}
	}
	all['\r'], all['\n'] = newline, newline

	t := &classes{}
	seen := map[[block]class]uint16{}
	for i := range t.index {
		b := [block]class(all[i*block:])
		at, ok := seen[b]
		if !ok {
			at = uint16(len(t.blocks))
			seen[b] = at
			t.blocks = append(t.blocks, b)
		}
		t.index[i] = at
	}
	t.of = t.blocks[0]
	return t
})

// at returns the class of the character at i and its length.
func (t *classes) at(s string, i int) (class, int) {
	if c := s[i]; c < utf8.RuneSelf {
		return t.of[c], 1
	}
	r, n := utf8.DecodeRuneInString(s[i:])
	return t.blocks[t.index[r/block]][r%block], n
}

// run returns the end of the characters of set that begin at i.
func (t *classes) run(s string, i int, set class) int {
	for i < len(s) {
		if c := s[i]; c < utf8.RuneSelf {
			if t.of[c]&set == 0 {
				return i
			}
			i++
			continue
		}
		c, n := t.at(s, i)
		if c&set == 0 {
			return i
		}
		i += n
	}
	return i
}

// others returns the end of the characters that are neither space, letter nor
// number and begin at i.
func (t *classes) others(s string, i int) int {
	for i < len(s) {
		c, n := t.at(s, i)
		if c&^mark != 0 {
			return i
		}
		i += n
	}
	return i
}
