package guard

import (
	"strconv"
	"strings"
)

// day is a date, time, weekday or relative day; a weak one may be missing.
type day struct {
	key  string
	weak bool
}

// dates compares the dates and times of two texts: each must be in the other.
func dates(a, b *text) string {
	if lacksDay(a.days, b.days) || lacksDay(b.days, a.days) {
		return Dates
	}
	return ""
}

func lacksDay(a, b []day) bool {
	in := make(map[string]bool, len(b))
	for _, d := range b {
		in[d.key] = true
	}
	for _, d := range a {
		if !d.weak && !in[d.key] {
			return true
		}
	}
	return false
}

// calendar finds the dates and times, and takes their numbers from the amounts.
func (t *text) calendar(l language) {
	for i := range t.tokens {
		k := &t.tokens[i]
		if k.kind == number {
			if key := numeric(k.raw, l); key != "" {
				t.days = append(t.days, day{key: key})
				k.used = true
			}
			continue
		}
		for _, e := range k.means {
			switch e.class {
			case month:
				if k.folded != "may" && k.folded != "march" || k.capital && !k.first || t.beside(i) {
					t.days = append(t.days, day{key: t.dated(i, e.key)})
				}
			case weekday:
				t.days = append(t.days, day{key: "weekday " + e.key})
			case rel:
				t.days = append(t.days, day{key: e.key})
			case now:
				t.days = append(t.days, day{key: e.key, weak: true})
			}
		}
	}
	t.clock()
	kept := t.amounts[:0]
	for _, k := range t.amounts {
		if !k.used {
			kept = append(kept, k)
		}
	}
	t.amounts = kept
}

// beside says whether a number stands beside a token.
func (t *text) beside(i int) bool {
	return i > 0 && t.tokens[i-1].value != "" || i+1 < len(t.tokens) && t.tokens[i+1].value != ""
}

// dated joins the day and year beside a month's name to it.
func (t *text) dated(i int, m string) string {
	y, d := "", ""
	take := func(j int) bool {
		k := &t.tokens[j]
		n, err := strconv.Atoi(k.value)
		switch {
		case err != nil || k.used:
			return k.key == "" || has(k.means, stop, role) || k.glued && ordinalEnding(k.folded)
		case n >= 1000 && n < 3000 && y == "":
			y, k.used = k.value, true
		case n >= 1 && n <= 31 && d == "":
			d, k.used = k.value, true
		default:
			return false
		}
		return true
	}
	for j := i - 1; j >= max(0, i-3) && t.tokens[j].clause == t.tokens[i].clause; j-- {
		if !take(j) || d != "" {
			break
		}
	}
	for j := i + 1; j < min(len(t.tokens), i+4); j++ {
		if has(t.tokens[j].means, role, verbal) && !has(t.tokens[j].means, stop) || !take(j) || y != "" {
			break
		}
	}
	return y + "-" + m + "-" + d
}

// numeric is the date or time that a number in digits is: 2024-05-01,
// 1.5.2024, 9:30. With a slash, English may mean either order: it stays as it
// is. "" when it is neither.
func numeric(raw string, l language) string {
	s := plainDigits(raw)
	if strings.Contains(s, ":") {
		return "at " + strings.TrimPrefix(s, "0")
	}
	parts := strings.FieldsFunc(s, func(r rune) bool { return r == '-' || r == '/' || r == '.' })
	if len(parts) != 3 {
		return ""
	}
	for i, p := range parts {
		if !digitsOnly(p) {
			return ""
		}
		parts[i] = trimZeros(p)
	}
	switch {
	case len(parts[0]) == 4:
		return parts[0] + "-" + parts[1] + "-" + parts[2]
	case len(parts[2]) != 4 && len(parts[2]) > 2:
		return ""
	case strings.Contains(s, "/") && l == en && atMost12(parts[0]) && atMost12(parts[1]):
		return s
	case atMost12(parts[1]):
		return parts[2] + "-" + parts[1] + "-" + parts[0]
	}
	return parts[2] + "-" + parts[0] + "-" + parts[1]
}

func atMost12(s string) bool {
	n, _ := strconv.Atoi(s)
	return n >= 1 && n <= 12
}

// dayFirst says whether s is a date such as 31.12.2024.
func dayFirst(s string) bool {
	return len(s) >= 8 && strings.Count(s, ".") == 2 && numeric(s, de) != ""
}

// clock joins am, pm and the like to the number or time before them.
func (t *text) clock() {
	for i := 1; i < len(t.tokens); i++ {
		h, ok := keyOf(t.tokens[i].means, half)
		k := &t.tokens[i-1]
		if !ok || k.kind != number && k.value == "" {
			continue
		}
		hour, minute, _ := strings.Cut(plainDigits(k.raw), ":")
		if k.kind != number {
			hour = k.value
		}
		n, _ := strconv.Atoi(hour)
		if h != "clock" { // "17 Uhr" counts to 24
			n %= 12
		}
		if h == "pm" {
			n += 12
		}
		if minute == "" {
			minute = "00"
		}
		at := "at " + strconv.Itoa(n) + ":" + minute
		if k.used {
			for j := range t.days {
				if t.days[j].key == "at "+strings.TrimPrefix(plainDigits(k.raw), "0") {
					t.days[j].key = at
				}
			}
			continue
		}
		k.used = true
		t.days = append(t.days, day{key: at})
	}
}
