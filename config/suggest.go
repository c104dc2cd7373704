package config

import (
	"slices"
	"strings"
)

// suggestion returns the known name that is nearest to a misspelt one, as
// "; did you mean …?", and nothing when none is near.
func suggestion(name string, known map[string]int) string {
	best, least := "", 2 // a name that differs in more letters is another name
	for candidate := range known {
		n := distance(strings.ToLower(name), strings.ToLower(candidate), least+1)
		if n > least || 2*n > len(candidate) { // of a short name at most half
			continue
		}
		if n < least || best == "" || candidate < best {
			best, least = candidate, n
		}
	}
	if best == "" {
		return ""
	}
	return `; did you mean "` + best + `"?`
}

// distance returns the number of letters to insert, remove, replace or swap
// with their neighbour that make b of a, or most when it is that many or more.
func distance(a, b string, most int) int {
	if len(a)-len(b) >= most || len(b)-len(a) >= most {
		return most
	}
	var before []int // the row before last
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		if slices.Min(row) >= most {
			return most
		}
		before, last = last, row
	}
	return min(last[len(b)], most)
}
