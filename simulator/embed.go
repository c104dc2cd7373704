package simulator

import (
	"math"
	"strings"
	"unicode"
)

// Weights of what a text's embedding is made of, set by trial on the pairs of the test: a stop word tells little, a name
// or a number tells most, and the trigrams bring words near that a stemmer keeps apart.
const (
	stopWeight    = 0.07
	wordWeight    = 1.0
	nameWeight    = 1.5
	trigramWeight = 0.25 // of all of a word's trigrams together
)

// Embed is the simulator's embedding of text: unit length, the same for the same text. Texts of the same words, in any
// order, inflection or politeness, lie near each other (cosine above 0.9), texts with few words in common far
// (below 0.6). It knows a few synonyms and no meaning. dims below 1 is [Dimensions]; fewer than [Dimensions] is the
// beginning of the whole vector, made unit length again.
func Embed(text string, dims int) []float32 {
	if dims < 1 {
		dims = Dimensions
	}
	sum := make([]float64, max(dims, Dimensions))
	words := features(text)
	for _, w := range words {
		// A word said often says little more.
		weight := w.weight * (1 + math.Log(float64(w.count)))
		spread(sum, hash(w.stem), weight)
		if w.weight < wordWeight || len(w.stem) < 4 {
			continue
		}
		padded := "^" + w.stem + "$"
		each := weight * trigramWeight / math.Sqrt(float64(len(padded)-2))
		for i := 0; i+3 <= len(padded); i++ {
			spread(sum, hash(padded[i:i+3])^0x5bd1e995, each)
		}
	}
	return unit(sum[:dims])
}

// unit is v made unit length; a vector of nothing points along the first axis.
func unit(v []float64) []float32 {
	var square float64
	for _, x := range v {
		square += x * x
	}
	out := make([]float32, len(v))
	if square == 0 {
		out[0] = 1
		return out
	}
	scale := 1 / math.Sqrt(square)
	for i, x := range v {
		out[i] = float32(x * scale)
	}
	return out
}

// feature is one word of a text in its stem.
type feature struct {
	stem   string
	weight float64
	count  int
}

// features are the text's words in the order they first appear.
func features(text string) []feature {
	var list []feature
	at := make(map[string]int)
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		first := list == nil
		lower := strings.ToLower(word)
		f := feature{stem: canonical(stem(lower)), weight: wordWeight, count: 1}
		switch {
		case isStop(lower):
			f.stem, f.weight = lower, stopWeight
		case word[0] >= '0' && word[0] <= '9', !first && word != lower:
			f.weight = nameWeight
		}
		i, known := at[f.stem]
		if !known {
			at[f.stem] = len(list)
			list = append(list, f)
			continue
		}
		list[i].count++
		list[i].weight = max(list[i].weight, f.weight)
	}
	return list
}

// spread adds a feature to 24 of the dimensions, with a sign each: enough that two features seldom look alike.
func spread(sum []float64, h uint64, weight float64) {
	const places = 24
	for i := range uint64(places) {
		x := mix(h + i)
		if x>>63 == 0 {
			sum[x%uint64(len(sum))] += weight
		} else {
			sum[x%uint64(len(sum))] -= weight
		}
	}
}

// hash is FNV-1a.
func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// stem takes the commonest English endings off.
func stem(w string) string {
	if len(w) < 4 {
		return w
	}
	for _, e := range [...]struct{ end, instead string }{
		{"ies", "y"},
		{"sses", "ss"},
		{"ations", "ate"},
		{"ation", "ate"},
		{"ments", ""},
		{"ment", ""},
		{"ingly", ""},
		{"edly", ""},
		{"ings", ""},
		{"ing", ""},
		{"ied", "y"},
		{"ers", ""},
		{"er", ""},
		{"ed", ""},
		{"es", ""},
		{"ly", ""},
		{"s", ""},
		{"e", ""},
	} {
		rest, found := strings.CutSuffix(w, e.end)
		if !found || len(rest) < 3 || e.end == "s" && strings.HasSuffix(rest, "s") {
			continue
		}
		rest += e.instead
		if n := len(rest); n > 3 && rest[n-1] == rest[n-2] && e.instead == "" && !strings.ContainsRune("ls", rune(rest[n-1])) {
			rest = rest[:n-1] // running, run
		}
		return strings.TrimSuffix(rest, "e")
	}
	return w
}

// canonical is one of several stems that mean much the same in questions to a support bot.
func canonical(stem string) string {
	switch stem {
	case "buy", "acquir", "bought":
		return "purchas"
	case "auto", "automobil", "vehicl":
		return "car"
	case "begin", "began", "commenc":
		return "start"
	case "repair", "mend", "correct":
		return "fix"
	case "delet", "eras":
		return "remov"
	case "alter", "modify":
		return "chang"
	case "quick", "rapid":
		return "fast"
	case "assist", "aid":
		return "help"
	case "show", "displ", "display":
		return "list"
	case "cost", "pric", "charg":
		return "cost"
	case "photo", "pictur", "imag":
		return "imag"
	case "error", "fault", "failur":
		return "fail"
	case "holiday", "vacat":
		return "vacat"
	}
	return stem
}

// isStop knows the words that questions are made of whatever they ask.
func isStop(w string) bool {
	switch w {
	case "a", "an", "the", "this", "that", "these", "those", "and", "or", "but", "if", "then", "so", "as", "of", "at", "by", "for",
		"with", "about", "to", "from", "in", "on", "into", "up", "out", "is", "are", "was", "were", "be", "been", "am", "do", "does",
		"did", "done", "doing", "have", "has", "had", "can", "could", "would", "should", "will", "shall", "may", "might", "must", "i", "you", "he",
		"she", "it", "we", "they", "me", "him", "her", "us", "them", "my", "your", "his", "its", "our", "their", "what", "which",
		"who", "when", "where", "why", "how", "there", "here", "please", "tell", "give", "know", "want", "need", "like", "get",
		"let", "just", "some", "any", "s", "t", "m", "re", "ll", "d", "hi", "hello", "thanks", "thank", "also", "explain", "say":
		return true
	}
	return false
}
