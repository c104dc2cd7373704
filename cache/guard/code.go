package guard

import (
	"strings"
	"unicode"
)

// code compares what must be the same to the letter: snippets, and the words
// that either text quotes.
func code(a, b *text) string {
	if a.lacks(b, exact) || b.lacks(a, exact) {
		return Code
	}
	return ""
}

// exact are the tokens that the other text must have too.
func exact(t *token) bool { return t.kind == snippet || t.quoted && t.kind == word }

// codeLike says whether a run without spaces is an identifier, path, address,
// flag, version or the like rather than a word.
func codeLike(s string) bool {
	if len(s) < 2 || !isASCII(s) {
		return false
	}
	switch {
	case strings.Contains(s, "://"), strings.Contains(s, "::"), strings.Contains(s, "->"), strings.Contains(s, "=>"),
		strings.Contains(s, "=="), strings.HasSuffix(s, "()"), strings.Contains(s, `\`):
		return hasLetter(s)
	case s[0] == '-', s[0] == '$', s[0] == '@':
		name := strings.TrimLeft(s, "-$@{")
		return name != "" && isASCIILetter(name[0]) && !strings.ContainsAny(s, ",")
	case s[0] == '<':
		return strings.HasSuffix(s, ">")
	case strings.HasPrefix(s, "./"), strings.HasPrefix(s, "~/"), s[0] == '/' && hasLetter(s), s[0] == '.' && isASCIILetter(s[1]):
		return true
	}
	return inner(s, '_') || inner(s, '@') && strings.Contains(s, ".") || inner(s, '=') && hasLetter(s) ||
		strings.Count(s, "/") > 1 && hasLetter(s) || strings.Contains(s, "/") && strings.Contains(s, ".") && hasLetter(s) ||
		member(s) || version(s) || camel(s) || digest(s) || serial(s)
}

// inner says whether a mark stands between letters or digits.
func inner(s string, mark byte) bool {
	i := strings.IndexByte(s, mark)
	return i > 0 && i < len(s)-1
}

// member finds a stop between letters: a file, a domain, a field.
func member(s string) bool {
	for i := 1; i+1 < len(s); i++ {
		if s[i] == '.' && isASCIILetter(s[i+1]) && 'a' <= s[i+1] && (isASCIILetter(s[i-1]) || s[i-1] >= '0' && s[i-1] <= '9' && hasLetter(s[:i])) {
			return dotted(s) == 0
		}
	}
	return false
}

// version finds v1.2, 1.2.3, addresses of four numbers, and numbers in
// hexadecimal.
func version(s string) bool {
	if strings.HasPrefix(s, "0x") {
		return true
	}
	v := strings.TrimLeft(s, "vV")
	if len(s)-len(v) > 1 || v == "" || v[0] < '0' || v[0] > '9' {
		return false
	}
	if v != s {
		return true
	}
	return strings.Count(s, ".") > 1 && !groupsOfThree(s) && !dayFirst(s)
}

// camel finds identifiers such as getUser; a capital after one small letter is
// a brand's.
func camel(s string) bool {
	for i := 2; i < len(s); i++ {
		if 'A' <= s[i] && s[i] <= 'Z' && 'a' <= s[i-1] && s[i-1] <= 'z' && 'a' <= s[0] && s[0] <= 'z' && 'a' <= s[1] && s[1] <= 'z' {
			return true
		}
	}
	return false
}

// digest finds letters and digits in turns, as in a hash or a serial number.
func digest(s string) bool {
	turns, was := 0, byte(0)
	for i := range len(s) {
		var is byte
		switch {
		case isASCIILetter(s[i]):
			is = 'a'
		case '0' <= s[i] && s[i] <= '9':
			is = '0'
		case s[i] != '-':
			return false
		default:
			continue
		}
		if was != 0 && is != was {
			turns++
		}
		was = is
	}
	return turns > 2
}

// serial finds several numbers and letters in one run, as in order-12-34-b:
// the place of each number tells.
func serial(s string) bool {
	groups := 0
	for part := range strings.SplitSeq(s, "-") {
		if part != "" && '0' <= part[0] && part[0] <= '9' {
			groups++
		}
	}
	return groups > 1 && hasLetter(s)
}

func hasLetter(s string) bool { return strings.IndexFunc(s, unicode.IsLetter) >= 0 }

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
