package guard

import (
	_ "embed" // the pairs
	"strings"
)

// Pair is two texts of which people say whether one answer serves both.
type Pair struct {
	Trap     bool   // the texts are near and want different answers
	Language string // "en"
	Category string // of a trap the reason it should be refused for, of a paraphrase the subject
	A, B     string
}

//go:embed pairs.tsv
var pairsFile string

// Pairs returns the adversarial set that the guards are measured with, in the
// order of its file.
func Pairs() []Pair {
	var pairs []Pair
	for line := range strings.Lines(pairsFile) {
		f := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if len(f) != 5 || f[0] != "trap" && f[0] != "paraphrase" {
			panic("BUG: pairs.tsv: " + line)
		}
		pairs = append(pairs, Pair{f[0] == "trap", f[1], f[2], f[3], f[4]})
	}
	return pairs
}
