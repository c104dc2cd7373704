package guard

// polarity compares what two texts deny and which of two opposites they name,
// and finds two things that have changed places. Two differences that undo each
// other agree: "not allowed" and "forbidden", "A is larger than B" and "B is
// smaller than A".
func polarity(a, b *text) string {
	denial := a.denied != b.denied && !a.soft && !b.soft
	opposed := opposed(a, b)
	swapped := crossed(a, b) || reversed(a, b)
	switch {
	case opposed == 0 && !denial && !swapped:
		return ""
	case opposed == 1 && denial != swapped:
		return ""
	case opposed > 0 || denial:
		return Negation
	}
	return Order
}

// opposed counts the pairs of opposites of which each text names another side.
func opposed(a, b *text) int {
	n := 0
	for key, side := range a.poles {
		if other := b.poles[key]; other|side == 3 && other != 3 && side != 3 {
			n++
		}
	}
	return n
}

// opposites finds denials and sides of opposites. A denial at the end of a
// question ("…, isn't it?") or before a wish ("can't you …") only asks.
func (t *text) opposites() {
	t.poles = map[string]uint8{}
	for i := range t.tokens {
		k := &t.tokens[i]
		if k.quoted {
			continue
		}
		for _, e := range k.means {
			switch e.class {
			case not:
				t.denied = t.denied || !t.asks(i)
			case soft:
				t.soft = true
			case pole:
				t.poles[e.key] |= e.side
			}
		}
	}
}

// asks says whether the denial at i only asks: its clause has no content, or
// "only" follows it.
func (t *text) asks(i int) bool {
	if i+1 < len(t.tokens) && has(t.tokens[i+1].means, conj) && t.tokens[i+1].clause == t.tokens[i].clause {
		return true
	}
	clause := t.tokens[i].clause
	for step := -1; step <= 1; step += 2 {
		for j := i + step; j >= 0 && j < len(t.tokens) && t.tokens[j].clause == clause; j += step {
			if t.tokens[j].content || t.tokens[j].value != "" || has(t.tokens[j].means, rel, now) {
				return false
			}
		}
	}
	return clause > 0 && len(t.tokens) > 4
}
