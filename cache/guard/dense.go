package guard

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// dense says whether a letter is of a script without spaces, or of Korean,
// whose words carry their particles: both are cut by the lexicon.
func dense(r rune) bool {
	return r >= 0x2e80 && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul) || r == 'ー'
}

// denseRun takes the next piece of a run without spaces: the longest word of
// the lexicon, else a katakana word, else one letter.
func (sc *scanner) denseRun() {
	rest := sc.in[sc.at:]
	const longest = 8 // letters of the longest word in the lexicon
	var ends [longest]int
	n := 0
	for i, r := range rest {
		if n == longest || !dense(r) {
			break
		}
		ends[n] = i + utf8.RuneLen(r)
		n++
	}
	r, size := utf8.DecodeRuneInString(rest)
	if k := katakana(rest); k > size {
		t := sc.add(word, k)
		t.mixed = true
		return
	}
	for ; n > 0; n-- {
		if _, ok := sc.lex.words[rest[:ends[n-1]]]; ok {
			sc.add(word, ends[n-1])
			return
		}
	}
	if unicode.Is(unicode.Hangul, r) {
		sc.add(word, sc.korean(rest))
		return
	}
	sc.add(word, size)
}

// katakana is the length of the katakana word at the start of s.
func katakana(s string) int {
	n := strings.IndexFunc(s, func(r rune) bool { return !unicode.Is(unicode.Katakana, r) && r != 'ー' })
	if n < 0 {
		return len(s)
	}
	return n
}

// korean is the length of the stem at the start of s: up to where the rest of
// its word, from the second letter on, stands in the lexicon.
func (sc *scanner) korean(s string) int {
	const letter = 3 // bytes of one
	const longest = 12 * letter
	end := letter
	for end < min(len(s), longest) {
		r, size := utf8.DecodeRuneInString(s[end:])
		if !unicode.Is(unicode.Hangul, r) {
			break
		}
		end += size
	}
	for i := letter; i < end; i += letter {
		if _, ok := sc.lex.words[s[i:end]]; ok {
			return i
		}
	}
	return end
}
