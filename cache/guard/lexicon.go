package guard

import (
	"embed"
	"fmt"
	"path"
	"strings"
	"sync"
	"unicode"
)

// class is what a word does in a sentence, as far as the rules care.
type class uint8

const (
	stop    class = iota // grammar: tells the language, says nothing
	verbal               // grammar that a verb follows: "I", "to", "can", "how"
	filler               // politeness and padding
	role                 // direction: the word after it stands at one side (key)
	post                 // direction, said after its word
	conj                 // joins equals: "and", "or"
	not                  // denies
	soft                 // denies by its meaning: "fail"; agrees with a denial
	num                  // a number (key)
	ord                  // an ordinal (key)
	scale                // multiplies: thousand (key: how many zeros)
	unit                 // what is counted (key)
	month                // key 1 to 12
	weekday              // key 1 to 7
	rel                  // a relative day (key)
	now                  // a relative day that goes without saying (key)
	half                 // half of the day: am, pm, or "clock" for either (key)
	pole                 // one side of a pair of opposites (key, side)
	same                 // another word for (key)
	name                 // a name even without a capital
)

var classes = map[string]class{
	"stop": stop, "verbal": verbal, "filler": filler, "role": role, "post": post, "conj": conj, "not": not,
	"soft": soft, "num": num, "ord": ord, "scale": scale, "unit": unit, "month": month, "weekday": weekday,
	"rel": rel, "now": now, "half": half, "pole": pole, "same": same, "name": name,
}

// entry is one meaning of a word.
type entry struct {
	class class
	key   string
	side  uint8 // of a pole: 1 or 2
}

// language numbers the lexicons; none is the shared one.
type language uint8

const (
	en language = iota
	de
	fr
	es
	it
	pt
	nl
	pl
	tr
	ru
	zh
	ja
	ko
	ar
	hi
	languages int = iota
)

var codes = [languages]string{"en", "de", "fr", "es", "it", "pt", "nl", "pl", "tr", "ru", "zh", "ja", "ko", "ar", "hi"}

// lexicon is the words of one language, with the shared ones. Phrases are
// joined by single spaces. It is not changed after it is built.
type lexicon struct {
	words  map[string][]entry
	starts map[string]int // words in the longest phrase that a word begins
	parts  []part
	lang   language
}

// part is a piece that means something within a word: "~" in the files, for
// languages that deny by an ending.
type part struct {
	text    string
	meaning entry
}

// dictionary is every lexicon, and which languages have a word.
type dictionary struct {
	lexicons [languages]lexicon
	speakers map[string]uint16
}

func (d *dictionary) of(l language) *lexicon { return &d.lexicons[l] }

//go:embed lexicon/*.txt
var lexiconFiles embed.FS

// lexicons reads the files once. They are part of the program: a fault in them
// is a broken build.
var lexicons = sync.OnceValue(func() *dictionary {
	d := &dictionary{speakers: map[string]uint16{}}
	shared := readFile("shared")
	for l := range language(languages) {
		d.lexicons[l] = lexicon{words: map[string][]entry{}, starts: map[string]int{}, lang: l}
		d.lexicons[l].load(shared, nil)
		d.lexicons[l].load(readFile(codes[l]), func(w string) { d.speakers[w] |= 1 << l })
	}
	return d
})

func readFile(name string) string {
	b, err := lexiconFiles.ReadFile(path.Join("lexicon", name+".txt"))
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return string(b)
}

// load reads lines of "class [key]: words | words of the other side". A phrase
// has "_" for its spaces; "=" before a word keeps its capitals, "~" finds it
// within longer words.
func (x *lexicon) load(file string, heard func(string)) {
	for line := range strings.Lines(file) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		head, list, ok := strings.Cut(line, ":")
		kind, key, _ := strings.Cut(head, " ")
		c, known := classes[kind]
		if !ok || !known {
			panic(fmt.Sprintf("BUG: lexicon line %q", line))
		}
		side := uint8(1)
		for _, w := range strings.Fields(list) {
			if w == "|" {
				side = 2
				continue
			}
			x.learn(w, entry{class: c, key: key, side: side})
			if heard != nil {
				heard(fold(w))
			}
		}
	}
}

func (x *lexicon) learn(w string, e entry) {
	if inner, found := strings.CutPrefix(w, "~"); found {
		x.parts = append(x.parts, part{fold(inner), e})
		return
	}
	if exact, found := strings.CutPrefix(w, "="); found {
		x.words[exact] = append(x.words[exact], e)
		return
	}
	w = fold(strings.ReplaceAll(w, "_", " "))
	x.words[w] = append(x.words[w], e)
	if first, _, phrase := strings.Cut(w, " "); phrase {
		x.starts[first] = max(x.starts[first], 1+strings.Count(w, " "))
	}
	if s := x.stem(w); s != w && (e.class == pole || e.class == same || e.class == soft || e.class == unit) {
		if _, taken := x.words[s]; !taken {
			x.words[s] = []entry{e}
		}
	}
}

// stem is a folded word without its endings.
func (x *lexicon) stem(w string) string {
	if x.lang == ar {
		return arabicStem(w)
	}
	return stem(w, endingsOf(x.lang))
}

// look finds the meanings of a folded word, by its stem when the word itself
// has none, or by a part of it.
func (x *lexicon) look(w string) []entry {
	if e, ok := x.words[w]; ok {
		return e
	}
	if e, ok := x.words[x.stem(w)]; ok && has(e, pole, same, soft, unit, name) {
		return e
	}
	for _, p := range x.parts {
		if len(w) > len(p.text) && strings.Contains(w, p.text) {
			return []entry{p.meaning}
		}
	}
	return nil
}

// has says whether a word has a meaning of one of the classes.
func has(means []entry, cs ...class) bool {
	for _, e := range means {
		for _, c := range cs {
			if e.class == c {
				return true
			}
		}
	}
	return false
}

// keyOf is the key of a word's meaning in a class.
func keyOf(means []entry, c class) (string, bool) {
	for _, e := range means {
		if e.class == c {
			return e.key, true
		}
	}
	return "", false
}

// script is the letters that a text is written in.
type script uint8

const (
	latin script = iota
	cyrillic
	han
	kana
	hangul
	arabic
	devanagari
)

// language is the one that a script stands for; Latin letters need the votes.
func (s script) language() language {
	return [...]language{latin: en, cyrillic: ru, han: zh, kana: ja, hangul: ko, arabic: ar, devanagari: hi}[s]
}

// scriptOf finds a text's script: the most letters, where one of Han, kana or
// Hangul says as much as two, and kana tell Japanese from Chinese.
func scriptOf(s string) script {
	var n [devanagari + 1]int
	for _, r := range s {
		switch {
		case r < 0x250:
			if unicode.IsLetter(r) {
				n[latin]++
			}
		case unicode.Is(unicode.Han, r):
			n[han] += 3
		case unicode.In(r, unicode.Hiragana, unicode.Katakana):
			n[kana] += 3
		case unicode.Is(unicode.Hangul, r):
			n[hangul] += 3
		case unicode.Is(unicode.Cyrillic, r):
			n[cyrillic]++
		case unicode.Is(unicode.Arabic, r):
			n[arabic]++
		case unicode.Is(unicode.Devanagari, r):
			n[devanagari]++
		}
	}
	if n[kana] > 0 {
		n[kana] += n[han]
	}
	best := latin
	for s, count := range n {
		if count > n[best] {
			best = script(s)
		}
	}
	return best
}

// vote counts, for each language, the words that it has.
func (sc *scanner) vote() {
	const enough = 400 // words tell a language
	d := lexicons()
	if strings.ContainsAny(sc.in[:min(len(sc.in), enough)], "¿¡") {
		sc.votes[es] += 2
	}
	if sc.script != latin {
		sc.votes[sc.script.language()] = enough
		return
	}
	for i := range sc.tokens[:min(len(sc.tokens), enough)] {
		t := &sc.tokens[i]
		if mask := d.speakers[t.folded]; mask != 0 && !t.quoted {
			for l := range languages {
				sc.votes[l] += int(mask >> l & 1)
			}
		}
		sc.accents(t.raw)
	}
}

// accents counts letters that one language has and few others.
func (sc *scanner) accents(raw string) {
	for _, r := range raw {
		switch r {
		case 'ß', 'ä', 'Ä':
			sc.votes[de] += 2
		case 'ñ':
			sc.votes[es] += 2
		case 'ã', 'õ':
			sc.votes[pt] += 2
		case 'ł', 'ą', 'ę', 'ż', 'ś', 'ź', 'ć', 'ń':
			sc.votes[pl] += 2
		case 'ğ', 'ş', 'ı', 'Ş', 'İ':
			sc.votes[tr] += 2
		case 'è', 'ê', 'œ':
			sc.votes[fr]++
		}
	}
}

// common is the language in which two texts are compared, by the votes of
// both. They are not comparable when each is sure of another one.
func common(a, b *text) (language, bool) {
	const sure = 2 // votes beyond the next language's
	l, votes, margin := a.votes.first()
	k, kvotes, kmargin := b.votes.first()
	if l == k {
		return l, true
	}
	if min(margin, kmargin) >= sure && b.votes[l]*2 < kvotes && a.votes[k]*2 < votes {
		return l, false
	}
	both := a.votes
	for i, n := range b.votes {
		both[i] += n
	}
	l, _, _ = both.first()
	return l, true
}

// ballot is how many words speak for each language.
type ballot [languages]int

// first is the language with the most votes, the earlier among equals, with
// its votes and how many it has beyond the next.
func (v ballot) first() (l language, votes, margin int) {
	second := 0
	for i, n := range v {
		switch {
		case n > v[l]:
			second = v[l]
			l = language(i)
		case language(i) != l:
			second = max(second, n)
		}
	}
	return l, v[l], v[l] - second
}
