package guard

import (
	"slices"
	"strings"
)

// substitution finds one sentence about two things: all words are the same but
// one or two in a row, where a thing stands and not a verb. Verbs are left to
// the embedding: "cancel" and "annul" are often one.
func substitution(a, b *text) string {
	x, y := a.only(b), b.only(a)
	if len(x) == 0 && len(y) == 0 {
		return ""
	}
	if len(x) == 0 || len(y) == 0 {
		if a.added(x) || b.added(y) {
			return Subject
		}
		return ""
	}
	if len(x) > 2 || len(y) > 2 || !row(x) || !row(y) || alike(a.tokens[x[0]].key, b.tokens[y[0]].key) {
		return ""
	}
	if denies(a.tokens[x[0]].folded, b.tokens[y[0]].folded) {
		return Negation
	}
	if opposite(&a.tokens[x[0]], &b.tokens[y[0]]) {
		return "" // weighed by polarity
	}
	framed := a.frame(x) == b.frame(y)
	before, first := &a.tokens[max(0, x[0]-1)], &b.tokens[max(0, y[0]-1)]
	if a.thing(x, b, framed) && b.thing(y, a, framed) && before.content == first.content && (framed || a.shared(b) && b.shared(a)) {
		return Subject
	}
	return ""
}

// only is where the content words stand that the other text has not.
func (t *text) only(other *text) []int {
	const most = 8 // more differences are other words, not another thing
	var at []int
	for i := range t.tokens {
		k := &t.tokens[i]
		if k.content && k.kind != sign && !other.keys[k.key] && !other.keys[k.folded] {
			if at = append(at, i); len(at) == most {
				break
			}
		}
	}
	return at
}

// row says whether places follow each other.
func row(at []int) bool {
	for i := 1; i < len(at); i++ {
		if at[i] != at[i-1]+1 {
			return false
		}
	}
	return true
}

// alike says whether two words are forms of one.
func alike(a, b string) bool {
	if dense([]rune(a + " ")[0]) {
		return false
	}
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n >= 4 && max(len(a), len(b))-n <= 5
}

// denies says whether one word is the other with a prefix that turns its
// meaning: "mute", "unmute".
func denies(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	prefix, ok := strings.CutSuffix(b, a)
	return ok && len(a) > 2 && slices.Contains([]string{
		"un", "dis", "de", "in", "im", "ir", "il", "non", "anti", // English and Romance
		"des", "s", "re", "ent", "ont", "an", "od", "roz", "ver", "не", "раз", "от", "без",
	}, prefix)
}

// opposite says whether two words belong to one pair of opposites.
func opposite(a, b *token) bool {
	for _, x := range a.means {
		for _, y := range b.means {
			if x.class == pole && y.class == pole && x.key == y.key {
				return true
			}
		}
	}
	return false
}

// thing says whether a thing, not a verb, stands at some places in a row: after an article or
// preposition, or after another word that both texts have if the thing ends its
// group or all else is the same.
func (t *text) thing(at []int, other *text, framed bool) bool {
	i, last := at[0], at[len(at)-1]
	k := &t.tokens[i]
	if has(k.means, soft) {
		return false
	}
	if k.kind == word && dense([]rune(k.raw)[0]) {
		return i+1 < len(t.tokens) && has(t.tokens[i+1].means, post) ||
			i > 0 && has(t.tokens[i-1].means, role)
	}
	switch t.lang {
	case de:
		if !k.capital {
			return false
		}
	case tr, ko, hi, nl: // the verb stands last
		if t.content(last, 1, 4) < 0 && (t.lang != nl || t.tokens[max(0, i-1)].content) {
			return false
		}
	}
	if i == 0 {
		return false
	}
	before := &t.tokens[i-1]
	switch {
	case has(before.means, verbal), before.clause != k.clause:
		return false
	case before.content:
		return other.keys[before.key] && (framed || last+1 == len(t.tokens) || !t.tokens[last+1].content)
	}
	return has(before.means, stop, role, conj)
}

// frame is the words of a text but those at some places and politeness.
func (t *text) frame(but []int) string {
	var b strings.Builder
	for i := range t.tokens {
		if !slices.Contains(but, i) && !has(t.tokens[i].means, filler) {
			b.WriteString(t.tokens[i].key)
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// shared says whether a content word of the text is in the other.
func (t *text) shared(other *text) bool {
	for i := range t.tokens {
		if t.tokens[i].content && other.keys[t.tokens[i].key] {
			return true
		}
	}
	return false
}

// added says whether what one text says beyond the other narrows it: words
// after a preposition.
func (t *text) added(at []int) bool {
	for _, i := range at {
		for j := i - 1; j >= max(0, i-2); j-- {
			if t.tokens[j].content {
				break
			}
			if has(t.tokens[j].means, role) {
				return true
			}
		}
	}
	return false
}
