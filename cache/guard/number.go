package guard

import (
	"strconv"
	"strings"
	"unicode"
)

// numbers compares the numbers of two texts: each must be in the other, with
// the same unit where both name one, and in the same order unless each stands
// with the same word in both.
func numbers(a, b *text) string {
	if lacksAmount(a, b) || lacksAmount(b, a) || otherUnits(a, b) || otherSigns(a, b) || otherSigns(b, a) || reordered(a, b) {
		return Numbers
	}
	return ""
}

// lacksAmount says whether a has a number that b has not, or of another unit.
func lacksAmount(a, b *text) bool {
	taken := make([]bool, len(b.amounts))
	from := make(map[string]int, 4) // where to go on looking for a value and unit
	for _, k := range a.amounts {
		exact := k.value + " " + k.unit
		i := find(b.amounts, taken, from[exact], k, false)
		if i < 0 {
			i = find(b.amounts, taken, 0, k, true)
		}
		switch {
		case i >= 0:
			taken[i] = true
			from[exact] = i
		case !k.weak:
			return true
		}
	}
	return false
}

// find is the first free number of the same value from a place on, of the same
// unit or, loosely, where one of the two has none.
func find(in []*token, taken []bool, from int, k *token, loose bool) int {
	const reach = 64 // long lists of numbers are compared in their order
	for i := from; i < min(len(in), from+reach); i++ {
		x := in[i]
		if !taken[i] && x.value == k.value && (x.unit == k.unit || loose && (x.unit == "" || k.unit == "")) {
			return i
		}
	}
	return -1
}

// otherUnits says whether each text names a unit without a number that the
// other does not name at all: "a week", "a month".
func otherUnits(a, b *text) bool {
	return a.lacks(b, looseUnit) && b.lacks(a, looseUnit)
}

func looseUnit(k *token) bool { return k.unit == "" && has(k.means, unit) && !has(k.means, pole) }

// otherSigns says whether a has an arithmetical sign between two numbers that
// b has nowhere.
func otherSigns(a, b *text) bool {
	for i := 1; i+1 < len(a.tokens); i++ {
		k := &a.tokens[i]
		if (k.kind == sign || k.key == "+" || k.key == "-") && len(k.means) < 2 && a.tokens[i-1].value != "" && a.tokens[i+1].value != "" &&
			!has(k.means, unit) && !b.keys[k.key] {
			return true
		}
	}
	return false
}

// reordered says whether numbers stand in another order and with other words.
func reordered(a, b *text) bool {
	x, y := firm(a.amounts), firm(b.amounts)
	for i := range min(len(x), len(y)) {
		if x[i].value != y[i].value {
			return !tagged(x, a) || !tagged(y, b) || crossed(a, b)
		}
	}
	return false
}

// tagged says whether every number stands with a word.
func tagged(in []*token, t *text) bool {
	with := 0
	for _, b := range t.binds {
		for _, k := range in[:min(len(in), 16)] {
			if k.value == b.marker {
				with++
				break
			}
		}
	}
	return with >= len(in)
}

func firm(in []*token) []*token {
	out := make([]*token, 0, len(in))
	for _, k := range in {
		if !k.weak {
			out = append(out, k)
		}
	}
	return out
}

// quantities gives the numbers their values and units, whether in digits, in
// words or Roman.
func (t *text) quantities(l language) {
	for i := 0; i < len(t.tokens); i++ {
		k := &t.tokens[i]
		switch {
		case k.kind == number:
			k.value = decimal(k.raw, l)
			t.negative(i)
		case k.kind == word && has(k.means, num, ord, scale) && t.counts(i):
			i = t.spelled(i)
		case k.upper && i > 0 && t.tokens[i-1].capital && roman(k.raw) > 0:
			k.value, k.content = strconv.Itoa(roman(k.raw)), false
		}
		if k.value != "" {
			t.scaled(k, i)
			t.units(k, i)
		}
	}
	for i := range t.tokens {
		if k := &t.tokens[i]; k.value != "" {
			t.amounts = append(t.amounts, k)
		}
	}
}

// counts says whether a number word counts here: a Chinese or Japanese numeral
// only before what is counted, for most words that begin with one do not count.
func (t *text) counts(i int) bool {
	r := []rune(t.tokens[i].folded)
	if !unicode.Is(unicode.Han, r[0]) {
		return true
	}
	for i++; i < len(t.tokens) && t.tokens[i].glued; i++ {
		if has(t.tokens[i].means, unit) {
			return true
		}
		if !has(t.tokens[i].means, num, scale) {
			return false
		}
	}
	return false
}

// spelled reads a number in words from a token on and returns its last token:
// "two hundred and five", "vingt-cinq", "drei".
func (t *text) spelled(i int) int {
	first, last := &t.tokens[i], i
	total, cur, seen := 0, 0, false
	for ; i < len(t.tokens); i++ {
		k := &t.tokens[i]
		if has(k.means, conj) && seen && cur >= 20 && i+1 < len(t.tokens) && has(t.tokens[i+1].means, num) && !has(k.means, num) {
			v := keyInt(t.tokens[i+1].means, num)
			if fits(cur, v) {
				continue
			}
			break
		}
		if zeros, ok := keyOf(k.means, scale); ok {
			n, _ := strconv.Atoi(zeros)
			p := pow10(n)
			if p == 100 {
				cur = max(cur, 1) * p
			} else {
				total, cur = total+max(cur, 1)*p, 0
			}
		} else if v := keyInt(k.means, num, ord); v >= 0 && (!seen || fits(cur, v)) {
			if cur == 4 && v == 20 {
				cur = 80 // quatre-vingts
			} else {
				cur += v
			}
		} else {
			break
		}
		seen, last = true, i
		k.content = false
		if has(k.means, ord) {
			break
		}
	}
	first.value = strconv.Itoa(total + cur)
	if f, ok := keyOf(first.means, num); ok && strings.Contains(f, ".") {
		first.value = f
	}
	first.weak = first.value == "1"
	return last
}

// fits says whether v goes on a number that stands at cur.
func fits(cur, v int) bool {
	switch {
	case cur == 0, cur == 4 && v == 20:
		return v > 0
	case cur%100 == 0:
		return v < 100
	case cur%10 == 0:
		return v < 10 || cur%100 == 60 && v < 20 || cur%100 == 80 && v < 20
	}
	return false
}

// keyInt is the key of the first of the classes that a word has, as a number;
// -1 when it has none.
func keyInt(means []entry, cs ...class) int {
	for _, c := range cs {
		if s, ok := keyOf(means, c); ok {
			if n, err := strconv.Atoi(s); err == nil {
				return n
			}
			return 0
		}
	}
	return -1
}

func pow10(n int) int {
	p := 1
	for range min(n, 12) {
		p *= 10
	}
	return p
}

// scaled multiplies a number in digits by what follows: "10k", "2.5 million".
func (t *text) scaled(k *token, i int) {
	if k.kind != number || i+1 >= len(t.tokens) {
		return
	}
	next := &t.tokens[i+1]
	zeros := keyInt(next.means, scale)
	if next.glued && next.folded == "k" {
		zeros = 3
	}
	if zeros > 0 {
		k.value = shift(k.value, zeros)
		next.content = false
		next.glued = false
		next.means = nil
		next.key = ""
	}
}

// units finds what a number counts: a sign before it, a sign or word after.
func (t *text) units(k *token, i int) {
	if i > 0 && t.tokens[i-1].kind == sign {
		if u, ok := keyOf(t.tokens[i-1].means, unit); ok && (i < 2 || t.tokens[i-2].kind != number) {
			k.unit = u
			return
		}
	}
	for j := i + 1; j < min(len(t.tokens), i+3); j++ {
		next := &t.tokens[j]
		if next.glued && ordinalEnding(next.folded) {
			next.content = false
			continue
		}
		if u, ok := keyOf(next.means, unit); ok {
			k.unit = u
			next.unit = u
			next.content = false
			return
		}
		if next.key != "" {
			return
		}
	}
}

// negative joins a sign to its number.
func (t *text) negative(i int) {
	if i == 0 {
		return
	}
	before := &t.tokens[i-1]
	if (before.raw == "-" || before.raw == "−" || before.folded == "minus") && (i == 1 || t.tokens[i-2].value == "") {
		t.tokens[i].value = "-" + t.tokens[i].value
	}
}

// decimal is the plain form of a number in digits: "10,000.50" is "10000.50".
// Between three digits a comma parts thousands; a stop does so only in
// languages that write decimals with a comma. What is no decimal stays as it
// is, with the digits of its script made ours.
func decimal(raw string, l language) string {
	s := plainDigits(raw)
	if !strings.ContainsAny(s, ".,'’٫٬") {
		return trimZeros(s)
	}
	s = strings.NewReplacer("٫", ".", "٬", ",", "’", "'").Replace(s)
	s = strings.ReplaceAll(s, "'", ",")
	comma := l != en && l != zh && l != ja && l != ko && l != hi && l != ar
	stops, commas := strings.Count(s, "."), strings.Count(s, ",")
	last := strings.LastIndexAny(s, ".,")
	three := len(s)-last == 4 && s[0] != '0'
	switch {
	case stops > 0 && commas > 0: // the last is the decimal one
		whole := strings.NewReplacer(".", "", ",", "").Replace(s[:last])
		return whole + fraction(s[last+1:])
	case stops+commas > 1:
		if three {
			return strings.NewReplacer(".", "", ",", "").Replace(s)
		}
		return s
	case three && (commas == 1 || comma):
		return s[:last] + s[last+1:]
	}
	return s[:last] + fraction(s[last+1:])
}

// fraction is the decimals with their point; none when all are zero. Other
// zeros stay: version 3.10 is not 3.1.
func fraction(s string) string {
	if strings.Trim(s, "0") == "" {
		return ""
	}
	return "." + s
}

// trimZeros takes the zero off "05"; longer runs of digits are codes.
func trimZeros(s string) string {
	if len(s) == 2 && s[0] == '0' {
		return s[1:]
	}
	return s
}

// groupsOfThree says whether a number's stops part thousands.
func groupsOfThree(s string) bool {
	for i, part := range strings.Split(s, ".") {
		if i > 0 && len(part) != 3 || i == 0 && (len(part) > 3 || part == "0") || !digitsOnly(part) {
			return false
		}
	}
	return true
}

func digitsOnly(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// plainDigits makes the digits of any script ours.
func plainDigits(s string) string {
	if isASCII(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r < 0x80 || !unicode.IsDigit(r) {
			return r
		}
		for zero := r; ; zero-- { // digits of a script stand in a row
			if !unicode.IsDigit(zero-1) || r-zero == 9 {
				return '0' + r - zero
			}
		}
	}, s)
}

// shift moves the decimal point of a plain number to the right.
func shift(s string, zeros int) string {
	whole, frac, _ := strings.Cut(s, ".")
	if len(frac) < zeros {
		frac += strings.Repeat("0", zeros-len(frac))
	}
	whole += frac[:zeros]
	if trimmed := strings.TrimLeft(whole, "0"); trimmed != "" {
		whole = trimmed
	}
	return whole + fraction(frac[zeros:])
}

// roman is the value of a Roman numeral up to 39, 0 when it is none: larger
// ones are rather abbreviations.
func roman(s string) int {
	for i, tens := range [...]string{"XXX", "XX", "X", ""} {
		rest, ok := strings.CutPrefix(s, tens)
		if !ok {
			continue
		}
		for v, ones := range [...]string{"", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX"} {
			if rest == ones {
				return (3-i)*10 + v
			}
		}
		return 0
	}
	return 0
}
