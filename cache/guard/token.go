package guard

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// kind is what a token is by its letters alone.
type kind uint8

const (
	word    kind = iota
	number       // digits, with their separators
	snippet      // an identifier, path, address, flag, version
	sign         // an arithmetical sign
)

// token is one word of a text. Its raw and its folded form are the same
// stretch of the text, in two buffers.
type token struct {
	raw    string
	folded string // lower case, no accents
	key    string // folded without its ending, or what it is another word for
	kind   kind
	clause int // counts commas and stops before it
	means  []entry

	capital bool   // begins with a capital
	upper   bool   // at least two letters, all capitals
	first   bool   // begins a sentence: its capital says nothing
	glued   bool   // nothing stands between it and the token before
	quoted  bool   // within quotation marks
	mixed   bool   // capitals within, or a run of katakana
	content bool   // neither grammar nor politeness
	value   string // of a number, plain decimal
	unit    string // of a number, "" when it has none
	weak    bool   // a number that may be missing: "one", "first"
	used    bool   // a number that is part of a date
}

// text is a text cut into tokens, and what read found in them.
type text struct {
	tokens []token
	script script
	votes  ballot
	found
}

// scanner cuts one text.
type scanner struct {
	text
	in     string // normalised
	at     int
	clause int
	first  bool
	glued  bool
	quote  rune // the mark that ends the quotation we are in, or 0
	tried  int  // up to where a run without spaces was found to be no code
	lex    *lexicon
}

// scan cuts a text into tokens. Compatibility forms (full-width digits,
// half-width katakana, ligatures) are made plain first.
func scan(s string) text {
	s = strings.ToValidUTF8(s, " ")
	sc := scanner{in: norm.NFKC.String(s), first: true}
	sc.script = scriptOf(sc.in)
	sc.lex = lexicons().of(sc.script.language())
	sc.tokens = make([]token, 0, len(sc.in)/5+4)
	for sc.at < len(sc.in) {
		sc.next()
	}
	sc.vote()
	return sc.text
}

// next takes the next token, or passes over one rune.
func (sc *scanner) next() {
	rest := sc.in[sc.at:]
	r, size := utf8.DecodeRuneInString(rest)
	switch {
	case r == '`':
		sc.backticks()
	case sc.chunk(rest):
	case dense(r):
		sc.denseRun()
	case unicode.IsDigit(r):
		sc.digits()
	case unicode.IsLetter(r):
		sc.letters()
	default:
		sc.punctuation(r, size)
	}
}

// add appends a token of n bytes.
func (sc *scanner) add(k kind, n int) *token {
	raw := sc.in[sc.at : sc.at+n]
	sc.at += n
	sc.tokens = append(sc.tokens, token{
		raw: raw, folded: fold(raw), kind: k, clause: sc.clause,
		first: sc.first, glued: sc.glued, quoted: sc.quote != 0,
	})
	sc.first, sc.glued = false, true
	return &sc.tokens[len(sc.tokens)-1]
}

// backticks takes what stands between backticks as one snippet.
func (sc *scanner) backticks() {
	rest := sc.in[sc.at:]
	ticks := len(rest) - len(strings.TrimLeft(rest, "`"))
	end := strings.Index(rest[ticks:], rest[:ticks])
	sc.at += ticks
	if end <= 0 {
		return
	}
	sc.glued = false
	sc.add(snippet, end)
	sc.at += ticks
	sc.glued = false
}

// chunk takes a whole run without spaces when it looks like code.
func (sc *scanner) chunk(rest string) bool {
	if sc.at < sc.tried || !isASCIILetter(rest[0]) && !strings.ContainsRune("0123456789-$@<./~", rune(rest[0])) {
		return false
	}
	end := strings.IndexFunc(rest, func(r rune) bool { return unicode.IsSpace(r) || dense(r) || r == '`' || r == '"' })
	if end < 0 {
		end = len(rest)
	}
	sc.tried = sc.at + end
	s := strings.TrimRight(rest[:end], ".,;:!?)]}'»”’…")
	if strings.HasSuffix(rest[:end], "()") {
		s = rest[:end]
	}
	if !codeLike(s) {
		return false
	}
	sc.add(snippet, len(s))
	return true
}

// letters takes a word. Apostrophes part it, and "n't" becomes "not".
func (sc *scanner) letters() {
	rest := sc.in[sc.at:]
	var n, letters, capitals int
	capital, inner := false, false
	for i, r := range rest {
		if !unicode.IsLetter(r) && !unicode.IsMark(r) || dense(r) {
			break
		}
		n = i + utf8.RuneLen(r)
		if unicode.IsLetter(r) {
			letters++
		}
		if unicode.IsUpper(r) {
			capitals++
			capital = capital || i == 0
			inner = inner || i > 0
		}
	}
	if initials := dotted(rest); initials > n {
		t := sc.add(word, initials)
		t.folded = strings.ReplaceAll(t.folded, ".", "")
		t.capital, t.upper = capital, capital
		return
	}
	if sc.denial(rest, n) {
		return
	}
	if after := rest[n:]; len(after) > 0 && (after[0] == '+' || after[0] == '#') && letters < 3 {
		n += len(after) - len(strings.TrimLeft(after, "+#"))
	}
	t := sc.add(word, n)
	t.capital, t.upper = capital, letters > 1 && capitals == letters
	t.mixed = inner && !t.upper
}

// denial takes a word that ends in "n't" as the word and "not".
func (sc *scanner) denial(rest string, n int) bool {
	after := rest[n:]
	for _, mark := range [...]string{"'t", "’t"} {
		if n > 1 && rest[n-1] == 'n' && strings.HasPrefix(after, mark) {
			if n > 1 {
				sc.add(word, n-1)
			}
			t := sc.add(word, 1+len(mark))
			t.folded = "not"
			return true
		}
	}
	return false
}

// dotted is the length of an abbreviation such as "U.S." or "e.g." at the
// start of s, without its last stop; 0 when there is none.
func dotted(s string) int {
	n := 0
	for i := 0; i+1 < len(s) && isASCIILetter(s[i]) && s[i+1] == '.'; i += 2 {
		n = i + 1
		if i+2 < len(s) && isASCIILetter(s[i+2]) && (i+3 >= len(s) || !isASCIILetter(s[i+3])) {
			n = i + 3
		}
	}
	if n < 3 {
		return 0
	}
	return n
}

// digits takes a number with the separators between its digits.
func (sc *scanner) digits() {
	rest := sc.in[sc.at:]
	n := 0
	for n < len(rest) {
		r, size := utf8.DecodeRuneInString(rest[n:])
		if unicode.IsDigit(r) {
			n += size
			continue
		}
		after, _ := utf8.DecodeRuneInString(rest[n+size:])
		if strings.ContainsRune(".,:'’٫٬-/", r) && unicode.IsDigit(after) && !(sc.glued && r == '-') {
			n += size
			continue
		}
		break
	}
	sc.add(number, n)
}

// punctuation passes over one rune that is no part of a token.
func (sc *scanner) punctuation(r rune, size int) {
	before, _ := utf8.DecodeLastRuneInString(sc.in[:sc.at])
	after, _ := utf8.DecodeRuneInString(sc.in[sc.at+size:])
	loose := unicode.IsSpace(after) && (sc.at == 0 || unicode.IsSpace(before))
	switch {
	case strings.ContainsRune("+*×÷^=<>≤≥≠", r),
		(r == '-' || r == '−' || r == '/') && loose,
		(r == '-' || r == '−') && unicode.IsDigit(after) && !unicode.IsLetter(before) && !unicode.IsDigit(before),
		(unicode.Is(unicode.Sc, r) || r == '%' || r == '٪' || r == '°'):
		glued := sc.glued
		sc.add(sign, size).glued = glued
		return
	}
	sc.at += size
	switch r {
	case '.', '?', '!', '\n', '。', '？', '！', '؟', '।', '¿', '¡':
		sc.clause++
		sc.first = true
	case ':', ';':
		sc.clause++
		sc.first = true
	case ',', '，', '、', '،', '(', ')', '؛':
		sc.clause++
	}
	sc.quotation(r, before, after)
	sc.glued = r == '-' || r == '‐' || r == '\'' || r == '’'
}

// quotation follows the quotation marks. An apostrophe opens only after a space
// and closes only before something that is no letter.
func (sc *scanner) quotation(r, before, after rune) {
	if sc.quote != 0 {
		if r == sc.quote && (r != '\'' && r != '’' || !unicode.IsLetter(after)) || r == '\n' {
			sc.quote = 0
		}
		return
	}
	i := strings.IndexRune(`"“«„「『‘`, r)
	if i >= 0 {
		sc.quote = closing(r, sc.in[sc.at:])
	} else if r == '\'' && !unicode.IsLetter(before) && !unicode.IsDigit(before) && !unicode.IsSpace(after) {
		sc.quote = closing(r, sc.in[sc.at:])
	}
	sc.first = sc.first || sc.quote != 0
}

// closing is the mark that ends a quotation begun by r, 0 when none follows
// within a sentence's length.
func closing(r rune, rest string) rune {
	end := map[rune]rune{'"': '"', '“': '”', '«': '»', '„': '“', '「': '」', '『': '』', '‘': '’', '\'': '\''}[r]
	const reach = 400
	if len(rest) > reach {
		rest = rest[:reach]
	}
	if r == '„' && !strings.ContainsRune(rest, end) {
		end = '”'
	}
	if !strings.ContainsRune(rest, end) {
		return 0
	}
	return end
}

func isASCIILetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
