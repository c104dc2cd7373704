// Package guard finds the differences between two texts that an embedding does
// not see. To an embedding "from Paris to London on 5 May" and "from London to
// Paris on 6 May" are one question; the semantic layer of the cache asks Agree
// before it answers one text with what was answered to a near one.
//
// The rules are of wording, not of meaning: numbers with their units, dates,
// negation and opposites, code and quoted words, names, which of two things
// stands at which side of a direction or a verb, and one thing put in another's
// place. They refuse rather than guess: a refusal costs one call to a model, a
// wrong hit a wrong answer. The words of each language stand in lexicon/; the
// pairs in pairs.tsv measure the rules, see Measure.
package guard

// Why Agree refused; the values are stable, they are labels of metrics.
const (
	Length   = "length"   // one is far longer, or either is too long to compare
	Language = "language" // the answer would come in another language
	Numbers  = "numbers"  // other numbers, units, or numbers in another order
	Dates    = "dates"    // other dates, times, weekdays, relative days
	Negation = "negation" // one denies what the other says, or says the opposite
	Code     = "code"     // other identifiers, paths, flags, addresses, quoted words
	Names    = "names"    // other names, acronyms, katakana words
	Order    = "order"    // the same things, at the other side: "A to B", "B to A"
	Subject  = "subject"  // the same sentence about another thing
)

const (
	// most is the longest text that is compared, in bytes: questions to a
	// chatbot are shorter, and the work stays a few milliseconds.
	most = 32 << 10
	// short is the length below which texts may differ by any ratio:
	// "reset password" and its polite form do.
	short = 256
	// ratio is the least ratio of two lengths at which a long text says more
	// than a short one whatever their embeddings.
	ratio = 3
)

// Agree says whether the answer to one text may serve the other as far as their
// wording tells; if not, reason is one of the constants, the first that was
// found. Equal texts agree, and Agree(a, b) is Agree(b, a). Time and memory are
// linear in the lengths. It may be called at once.
func Agree(a, b string) (ok bool, reason string) {
	if a == b {
		return true, ""
	}
	if !commensurate(len(a), len(b)) {
		return false, Length
	}
	x, y := scan(a), scan(b)
	l, same := common(&x, &y)
	if !same {
		return false, Language
	}
	x.read(l)
	y.read(l)
	if (x.words == 0) != (y.words == 0) {
		return false, Length
	}
	for _, rule := range []func(a, b *text) string{
		numbers, dates, code, names, polarity, substitution, transposed,
	} {
		if reason := rule(&x, &y); reason != "" {
			return false, reason
		}
	}
	return true, ""
}

// commensurate says whether texts of two lengths in bytes are short enough, and
// enough alike in length.
func commensurate(a, b int) bool {
	long, less := max(a, b), min(a, b)
	return long <= most && (long <= short || long <= ratio*less)
}
