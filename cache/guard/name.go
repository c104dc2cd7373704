package guard

import "slices"

// names compares the names of two texts: each must be in the other in any case.
func names(a, b *text) string {
	if a.lacks(b, a.named()) || b.lacks(a, b.named()) {
		return Names
	}
	return ""
}

// named says which tokens are names: capitals within a sentence where the
// language gives them to names only, acronyms, runs of katakana, and what the
// lexicon lists.
func (t *text) named() func(*token) bool {
	german := t.lang == de
	return func(k *token) bool {
		if k.kind != word || k.value != "" {
			return false
		}
		if has(k.means, name) || k.mixed && (!k.first || !t.shouted) {
			return true
		}
		if !k.content || t.shouted || has(k.means, month, weekday, pole) {
			return false
		}
		return k.upper || k.capital && !k.first && !german
	}
}

// reversed says whether two names that both texts have stand in another order
// in each: who did it to whom is told by order alone, unless each has the same
// preposition in both texts, or "and" joins them.
func reversed(a, b *text) bool {
	x, y := a.line(), b.line()
	x = slices.DeleteFunc(x, func(k string) bool { return !slices.Contains(y, k) })
	y = slices.DeleteFunc(y, func(k string) bool { return !slices.Contains(x, k) })
	if slices.Equal(x, y) || a.joined() && b.joined() {
		return false
	}
	free := 0
	for _, k := range x {
		if !a.shares(b, k) {
			free++
		}
	}
	return free > 1
}

// line is the names of a text in their order, each once.
func (t *text) line() []string {
	const most = 32 // a text with more names is no question about two
	var line []string
	named := t.named()
	for i := range t.tokens {
		if k := &t.tokens[i]; named(k) && !slices.Contains(line, k.key) {
			if line = append(line, k.key); len(line) == most {
				break
			}
		}
	}
	return line
}

// shares says whether a marker stands with a name in both texts.
func (t *text) shares(other *text, key string) bool {
	for _, x := range t.binds {
		if x.key == key && slices.Contains(other.binds, x) {
			return true
		}
	}
	return false
}

// joined says whether a conjunction stands between two names.
func (t *text) joined() bool {
	named := t.named()
	for i := range t.tokens {
		if !has(t.tokens[i].means, conj) {
			continue
		}
		before, after := t.content(i, -1, 3), t.content(i, 1, 3)
		if before >= 0 && after >= 0 && named(&t.tokens[before]) && named(&t.tokens[after]) {
			return true
		}
	}
	return false
}
