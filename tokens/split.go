package tokens

// A splitter cuts a text into the pieces that are encoded one by one: it
// returns where the piece ends that begins at i. Each stands for a regular
// expression of tiktoken and tries what it tries in the same order. Every
// character is looked at a bounded number of times, whatever the text.
type splitter func(t *classes, s string, i int) int

// splitCl100k is
//
//	(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|
//	 ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
func splitCl100k(t *classes, s string, i int) int {
	if j := contraction(s, i); j > i {
		return j
	}
	c, n := t.at(s, i)
	j := i + n
	switch {
	case c&letter != 0:
		return t.run(s, j, letter)
	case c == number:
		return numbers(t, s, j)
	case c == newline:
		return spaces(t, s, i)
	}
	if end := t.run(s, j, letter); end > j {
		return end
	}
	if end := symbols(t, s, i, c, j); end > i {
		return t.run(s, end, newline)
	}
	return spaces(t, s, i)
}

// splitO200k is, with U for [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}], L for
// [\p{Ll}\p{Lm}\p{Lo}\p{M}] and C for (?i:'s|'t|'re|'ve|'m|'ll|'d),
//
//	[^\r\n\p{L}\p{N}]?U*L+C?|[^\r\n\p{L}\p{N}]?U+L*C?|\p{N}{1,3}|
//	 ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
func splitO200k(t *classes, s string, i int) int {
	c, n := t.at(s, i)
	j := i + n
	switch {
	case c&letter != 0:
		end, _ := word(t, s, i)
		return max(end, contraction(s, end))
	case c == number:
		return numbers(t, s, j)
	case c == newline:
		return spaces(t, s, i)
	}
	// The first alternative, with c in front of the word and, as a mark may be
	// both, as its beginning; then the second.
	end, first := word(t, s, j)
	if c == mark && !first {
		end, _ = word(t, s, i)
	}
	if end > j || c == mark {
		return max(end, contraction(s, end))
	}
	if end := symbols(t, s, i, c, j); end > i {
		for end < len(s) && (s[end] == '\n' || s[end] == '\r' || s[end] == '/') {
			end++
		}
		return end
	}
	return spaces(t, s, i)
}

// word returns where U*L+ ends that begins at i, and true; where there is
// none, the end of U+L*, which is i when there is no such either.
func word(t *classes, s string, i int) (end int, first bool) {
	caseful := i // after the last character of the head that L matches as well
	for i < len(s) {
		c, n := t.at(s, i)
		switch {
		case c == upper:
			i += n
		case c&head != 0:
			i += n
			caseful, first = i, true
		case c == lower:
			return t.run(s, i+n, tail), true
		default:
			if first {
				return caseful, true
			}
			return i, false
		}
	}
	if first {
		return caseful, true
	}
	return i, false
}

// contraction returns the end of the English contraction that begins at i, or
// i. Letters that are only alike, such as the long s, do not count.
func contraction(s string, i int) int {
	if i+1 >= len(s) || s[i] != '\'' {
		return i
	}
	switch s[i+1] | 0x20 {
	case 's', 't', 'm', 'd':
		return i + 2
	case 'r', 'v':
		if i+2 < len(s) && s[i+2]|0x20 == 'e' {
			return i + 3
		}
	case 'l':
		if i+2 < len(s) && s[i+2]|0x20 == 'l' {
			return i + 3
		}
	}
	return i
}

// numbers returns the end of \p{N}{1,3}, of which the first ends at i.
func numbers(t *classes, s string, i int) int {
	for range 2 {
		if i == len(s) {
			break
		}
		c, n := t.at(s, i)
		if c != number {
			break
		}
		i += n
	}
	return i
}

// symbols returns the end of " ?[^\s\p{L}\p{N}]+" or i, where a character of
// class c goes from i to j.
func symbols(t *classes, s string, i int, c class, j int) int {
	if c&^mark == 0 {
		return t.others(s, j)
	}
	if s[i] == ' ' {
		if end := t.others(s, j); end > j {
			return end
		}
	}
	return i
}

// spaces returns the end of \s*[\r\n]+|\s+(?!\S)|\s+ at i: to the last newline
// if there is one; else all of a text's last spaces; else all but the last,
// which belongs to the word behind it.
func spaces(t *classes, s string, i int) int {
	j, last, lines := i, i, i
	for j < len(s) {
		c, n := t.at(s, j)
		if c&(space|newline) == 0 {
			break
		}
		last = j
		j += n
		if c == newline {
			lines = j
		}
	}
	switch {
	case lines > i:
		return lines
	case j < len(s) && last > i:
		return last
	}
	return j
}
