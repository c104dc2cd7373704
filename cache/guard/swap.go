package guard

// transposed finds two things that have changed places around what stands
// between them, whatever they are: "the cat chased the dog", "the dog chased the
// cat". Grammar counts here: "does A pay B" has nothing else.
func transposed(a, b *text) string {
	const most = 64 // words: the work grows with their cube, and questions are shorter
	x, y := middles(a.tokens, b.tokens)
	n := len(x)
	if n != len(y) || n < 3 || n > most {
		return ""
	}
	for p := 1; p < n-1; p++ { // x is P X Q, y is Q X P
		if !sameWords(x[:p], y[n-p:]) {
			continue
		}
		for q := 1; p+q < n; q++ {
			if !sameWords(x[n-q:], y[:q]) || !sameWords(x[p:n-q], y[q:n-p]) {
				continue
			}
			if !joins(x[p:n-q]) && !joins(y[q:n-p]) && !a.movable(x[:p], x[n-q:]) {
				return Order
			}
		}
	}
	return ""
}

// middles is two texts without the words that they begin and end with alike.
func middles(a, b []token) ([]token, []token) {
	for len(a) > 0 && len(b) > 0 && a[0].key == b[0].key {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1].key == b[len(b)-1].key {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	return a, b
}

func sameWords(a, b []token) bool {
	for i := range a {
		if a[i].key != b[i].key {
			return false
		}
	}
	return true
}

// joins says whether words only join equals: "and", or the sign of a sum or
// product.
func joins(words []token) bool {
	for i := range words {
		k := &words[i]
		commutes := k.kind == sign && (k.raw == "+" || k.raw == "*" || k.raw == "×" || k.raw == "=")
		if !commutes && !has(k.means, conj) {
			return false
		}
	}
	return true
}

// movable says whether one of two groups may go to either side of the verb: in
// German and Dutch a pronoun and a day may, "morgen muss ich", "ich muss morgen".
func (t *text) movable(groups ...[]token) bool {
	if t.lang != de && t.lang != nl {
		return false
	}
	for _, words := range groups {
		loose := true
		for i := range words {
			loose = loose && has(words[i].means, verbal, rel, now, weekday)
		}
		if loose {
			return true
		}
	}
	return false
}
