package guard

import (
	"slices"
	"strings"
)

// found is what the rules compare.
type found struct {
	words   int             // tokens that are words, numbers or code
	keys    map[string]bool // every token's key and folded form
	amounts []*token        // numbers that are no part of a date, in order
	days    []day
	binds   []bind
	poles   map[string]uint8 // sides of opposites that occur, 1 | 2
	denied  bool             // says "not"
	soft    bool             // says "fails" or the like
	lang    language         // that both texts are read in
	shouted bool             // capitals say nothing: most words have one
}

// bind says that a marker ("to", "not", a number) stands with a word.
type bind struct{ marker, key string }

// read finds the meanings of the tokens in a language.
func (t *text) read(l language) {
	x := lexicons().of(l)
	t.lang = l
	t.phrases(x)
	t.keys = make(map[string]bool, 2*len(t.tokens))
	capitals, words := 0, 0
	for i := range t.tokens {
		k := &t.tokens[i]
		k.describe(x)
		t.keys[k.key], t.keys[k.folded] = true, true
		if k.kind != sign {
			t.words++
		}
		if k.kind == word && !dense([]rune(k.raw)[0]) && len(k.raw) > 1 {
			words++
			if k.capital {
				capitals++
			}
		}
	}
	t.shouted = words > 4 && capitals*10 > words*8
	t.quantities(l)
	t.calendar(l)
	t.opposites()
	t.bindings()
}

// phrases joins the words of a phrase of the lexicon into one token.
func (t *text) phrases(x *lexicon) {
	out := t.tokens[:0]
	var buf []byte
	for i := 0; i < len(t.tokens); {
		taken := 1
		first := t.tokens[i]
		if most := x.starts[first.folded]; most > 1 {
			buf = append(buf[:0], first.folded...)
			for n := 2; n <= most && i+n <= len(t.tokens) && t.tokens[i+n-1].clause == first.clause; n++ {
				buf = append(append(buf, ' '), t.tokens[i+n-1].folded...)
				if _, ok := x.words[string(buf)]; ok {
					taken = n
					first.folded, first.kind = string(buf), word
				}
			}
		}
		if model := t.model(i); taken == 1 && model != "" {
			first.folded, first.mixed = model, true
			taken = 2
		}
		out = append(out, first)
		i += taken
	}
	t.tokens = slices.Clip(out)
}

// model is a letter with the number joined to it, "s23", when they stand at i;
// "" when not. A letter between two numbers is a unit. Longer words and their
// numbers stay two: "LH400" is "LH 400".
func (t *text) model(i int) string {
	k := &t.tokens[i]
	if k.kind != word || len(k.folded) > 1 || k.glued || i+1 == len(t.tokens) {
		return ""
	}
	if n := &t.tokens[i+1]; n.kind == number && n.glued && digitsOnly(n.raw) {
		return k.folded + n.raw
	}
	return ""
}

// describe gives a token its meanings, its key and whether it is content.
func (k *token) describe(x *lexicon) {
	k.key = k.folded
	switch k.kind {
	case snippet:
		k.content = true
		return
	case number:
		return
	}
	if k.capital {
		k.means = x.words[k.raw]
	}
	if k.means == nil {
		k.means = x.look(k.folded)
	}
	if k.kind == sign {
		return
	}
	k.key = x.stem(k.folded)
	for _, c := range [...]class{same, unit} {
		if key, ok := keyOf(k.means, c); ok {
			k.key = key
			break
		}
	}
	k.content = !has(k.means, stop, verbal, filler, role, post, conj, not, num, scale, month, weekday, rel, now, half)
}

// lacks says whether the other text has no word for a token that it must have.
func (t *text) lacks(other *text, must func(*token) bool) bool {
	for i := range t.tokens {
		k := &t.tokens[i]
		if must(k) && !other.keys[k.key] && !other.keys[k.folded] {
			return true
		}
	}
	return false
}

// bindings finds which word stands with each marker: the next content word or
// number of its clause, for postpositions the one before.
func (t *text) bindings() {
	const reach = 4 // tokens between a marker and its word
	for i := range t.tokens {
		k := &t.tokens[i]
		if m, ok := keyOf(k.means, post); ok {
			if j := t.content(i, -1, reach); j >= 0 {
				t.binds = append(t.binds, bind{m, t.tokens[j].key})
			}
		}
		m := t.marker(k)
		if m == "" {
			continue
		}
		if j := t.content(i, 1, reach); j >= 0 {
			t.binds = append(t.binds, bind{m, t.tokens[j].key})
		}
	}
}

// marker is what a token says about the word after it; one side of a pair of
// opposites only where the other side is named too.
func (t *text) marker(k *token) string {
	if m, ok := keyOf(k.means, role); ok {
		return m
	}
	if m, ok := keyOf(k.means, not); ok {
		return "not" + m
	}
	if k.value != "" && !k.used {
		return k.value
	}
	for _, e := range k.means {
		if e.class == pole && t.poles[e.key] == 3 {
			return e.key + string('0'+rune(e.side))
		}
	}
	return ""
}

// content is the nearest content word or number from a token on, in a
// direction and the same clause; -1 when there is none within reach.
func (t *text) content(i, step, reach int) int {
	clause := t.tokens[i].clause
	for j := i + step; j >= 0 && j < len(t.tokens) && reach > 0 && t.tokens[j].clause == clause; j += step {
		if k := &t.tokens[j]; k.content || k.value != "" && !k.used && t.tokens[i].value == "" {
			return j
		}
		reach--
	}
	return -1
}

// crossed says whether a marker stands with one word in a and with another in
// b, though both texts have both words: the two have changed places.
func crossed(a, b *text) bool {
	bound := func(t *text) map[string][]string {
		m := make(map[string][]string, len(t.binds))
		for _, x := range t.binds {
			if len(m[x.marker]) < 8 && !slices.Contains(m[x.marker], x.key) {
				m[x.marker] = append(m[x.marker], x.key)
			}
		}
		return m
	}
	of := bound(b)
	for marker, in := range bound(a) {
		for _, x := range in {
			for _, y := range of[marker] {
				if x != y && b.keys[x] && a.keys[y] && !slices.Contains(of[marker], x) && !slices.Contains(in, y) {
					return true
				}
			}
		}
	}
	return false
}

// ordinalEnding says whether s is "st", "nd" or the like behind a number.
func ordinalEnding(s string) bool {
	return s != "" && strings.Contains(" st nd rd th er ere eme e re o a os as ste de ten ter gi inci nci uncu ", " "+s+" ")
}
