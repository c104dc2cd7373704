package guard

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// fold makes a word lower case and takes the accents off Latin, Cyrillic and
// Arabic letters: people leave them out. Other scripts' marks are letters.
func fold(s string) string {
	plain := true
	for i := range len(s) {
		if c := s[i]; c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for _, r := range s {
		foldRune(&b, unicode.ToLower(r))
	}
	return b.String()
}

func foldRune(b *strings.Builder, r rune) {
	switch {
	case r < utf8.RuneSelf:
		b.WriteByte(byte(r))
	case r == 'ß':
		b.WriteString("ss")
	case r == 'æ':
		b.WriteString("ae")
	case r == 'œ':
		b.WriteString("oe")
	case r == 'ı':
		b.WriteByte('i')
	case r == 'ł':
		b.WriteByte('l')
	case r == 'ø':
		b.WriteByte('o')
	case r < 0x250, r == 'ё', r == 'й':
		d := norm.NFD.String(string(r))
		first, _ := utf8.DecodeRuneInString(d)
		b.WriteRune(first)
	case 0x300 <= r && r <= 0x36f, 0x64b <= r && r <= 0x652, r == 'ـ': // accents, harakat, tatweel
	case r == 'أ', r == 'إ', r == 'آ':
		b.WriteRune('ا')
	case r == 'ة':
		b.WriteRune('ه')
	case r == 'ى':
		b.WriteRune('ي')
	default:
		b.WriteRune(r)
	}
}

// endings are the plurals, cases and verb forms that stem takes off, longer
// ones first. They are few on purpose: two words made one is worse than one
// word left two.
var (
	english  = []string{"ies", "ing", "ed", "es", "s", "e", "y"}
	european = []string{"ing", "ed", "es", "s", "en", "er", "em", "e", "n", "a", "o", "i", "u", "t"}
	russian  = []string{
		"ами", "ями", "ого", "ему", "ому", "ить", "ать", "ов", "ев", "еи", "ам", "ям", "ах", "ях", "ом", "ем",
		"ои", "ую", "ы", "и", "а", "я", "у", "ю", "е", "ь",
	}
)

// endingsOf are the endings of a language; scripts that have none there keep
// their words whole.
func endingsOf(l language) []string {
	switch l {
	case en:
		return english
	case ru:
		return russian
	case zh, ja, ko, ar, hi:
		return nil
	}
	return european
}

// stem takes at most two endings off a folded word ("settings" has "s" and
// "ing"), and one of two equal letters that then end it ("cancelled").
func stem(w string, endings []string) string {
	for range 2 {
		cut := shorten(w, endings)
		if cut == w {
			break
		}
		w = cut
	}
	if n := len(w); n > 3 && w[n-1] == w[n-2] && w[n-1] < utf8.RuneSelf {
		w = w[:n-1]
	}
	return w
}

func shorten(w string, endings []string) string {
	const least = 3 // letters that must stay, one more before the shortest endings
	for _, e := range endings {
		if rest, ok := strings.CutSuffix(w, e); ok {
			if n := utf8.RuneCountInString(rest); n > least || n == least && (e == "s" || e == "ing" || e == "ed") {
				return rest
			}
		}
	}
	return w
}

// arabicStem takes the article and the joined conjunction or preposition off.
func arabicStem(w string) string {
	for _, p := range [...]string{"وال", "بال", "لل", "ال"} {
		if rest, ok := strings.CutPrefix(w, p); ok && utf8.RuneCountInString(rest) > 2 {
			return rest
		}
	}
	return w
}
