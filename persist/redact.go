package persist

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"unicode/utf8"
)

// redacted stands where a pattern matched.
const redacted = "[redacted]"

// Redactor takes what some patterns match out of JSON before it is stored. It
// may be used by many at once.
type Redactor struct{ patterns []*regexp.Regexp }

// NewRedactor compiles patterns in RE2 syntax, which match in time that is
// linear in the text. An error names the pattern at fault. No patterns make a
// nil Redactor, which changes nothing.
func NewRedactor(patterns []string) (*Redactor, error) {
	if len(patterns) == 0 {
		return nil, nil
	}
	r := &Redactor{}
	for i, p := range patterns {
		re, err := regexp.Compile(p)
		if err != nil {
			return nil, fmt.Errorf("redaction pattern %d, %q: %w", i, p, err)
		}
		if re.MatchString("") {
			return nil, fmt.Errorf("redaction pattern %d, %q: it matches the empty text", i, p)
		}
		r.patterns = append(r.patterns, re)
	}
	return r, nil
}

// Apply returns JSON with all that a pattern matches inside its strings
// replaced by [redacted]. Patterns see a string's text, its escapes undone;
// what overlapping matches cover is replaced as one. Log probabilities repeat a
// text in tokens, over whose borders no pattern sees: lists and objects named
// logprobs become null. Names of members, numbers and all bytes around a match
// stay; the result is text itself when nothing is replaced.
func (r *Redactor) Apply(text []byte) []byte {
	if r == nil {
		return text
	}
	var out []byte
	kept := 0 // text up to here is in out
	for i := 0; i < len(text); {
		from := bytes.IndexByte(text[i:], '"')
		if from < 0 {
			break
		}
		from += i
		i = stringEnd(text, from)
		if isName(text, i) {
			name := unquote(text[from:i])
			i = skipSpace(text, skipSpace(text, i)+1) // behind the colon
			if string(name) == "logprobs" && i < len(text) && (text[i] == '[' || text[i] == '{') {
				out = append(append(out, text[kept:i]...), "null"...)
				i = nestedEnd(text, i)
				kept = i
			}
			continue
		}
		if s, changed := r.string(text[from:i]); changed {
			out = append(append(out, text[kept:from]...), s...)
			kept = i
		}
	}
	if kept == 0 {
		return text
	}
	return append(out, text[kept:]...)
}

// Text returns text with all that a pattern matches replaced by [redacted].
func (r *Redactor) Text(text string) string {
	if r == nil {
		return text
	}
	if out, changed := r.replace([]byte(text)); changed {
		return string(out)
	}
	return text
}

// string redacts one JSON string.
func (r *Redactor) string(quoted []byte) ([]byte, bool) {
	out, changed := r.replace(unquote(quoted))
	if !changed {
		return nil, false
	}
	return quote(out), true
}

func (r *Redactor) replace(s []byte) ([]byte, bool) {
	var spans [][]int
	for _, re := range r.patterns {
		spans = append(spans, re.FindAllIndex(s, -1)...)
	}
	if len(spans) == 0 {
		return nil, false
	}
	slices.SortFunc(spans, func(a, b []int) int { return cmp.Compare(a[0], b[0]) })
	var out []byte
	kept := -1 // nothing is replaced yet
	for _, span := range spans {
		if span[0] == span[1] { // a match of no text, such as \b
			continue
		}
		if kept < 0 || span[0] >= kept {
			out = append(append(out, s[max(kept, 0):span[0]]...), redacted...)
		}
		kept = max(kept, span[1])
	}
	if kept < 0 {
		return nil, false
	}
	return append(out, s[kept:]...), true
}

// stringEnd returns where the JSON string that opens at i ends: behind its
// closing quote, or the end of the text.
func stringEnd(b []byte, i int) int {
	for from := i + 1; ; {
		n := bytes.IndexByte(b[from:], '"')
		if n < 0 {
			return len(b)
		}
		end := from + n
		slashes := 0
		for end-slashes > i+1 && b[end-slashes-1] == '\\' {
			slashes++
		}
		if from = end + 1; slashes%2 == 0 {
			return from
		}
	}
}

// nestedEnd returns where the list or object that opens at i ends: behind its
// closing bracket, or the end of the text.
func nestedEnd(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			i = stringEnd(b, i)
			continue
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		}
		if i++; depth == 0 {
			return i
		}
	}
	return i
}

// isName reports that the string that ends at i is the name of a member.
func isName(b []byte, i int) bool {
	i = skipSpace(b, i)
	return i < len(b) && b[i] == ':'
}

// skipSpace returns where the first byte is, from i on, that is no JSON space.
func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// unquote returns the text of a JSON string; of what is none, the bytes
// behind its first quote.
func unquote(quoted []byte) []byte {
	body := bytes.TrimSuffix(quoted[1:], []byte{'"'})
	if bytes.IndexByte(body, '\\') < 0 {
		return body
	}
	var s string
	if json.Unmarshal(quoted, &s) != nil {
		return body
	}
	return []byte(s)
}

// quote returns text as a JSON string, with as few escapes as can be. Bytes
// that are no UTF-8 become U+FFFD, NUL too, which no database keeps.
func quote(text []byte) []byte {
	const hex = "0123456789abcdef"
	out := append(make([]byte, 0, len(text)+2), '"')
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case c == 0:
			out = append(out, "\ufffd"...)
		case c < ' ':
			out = append(out, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		case c < utf8.RuneSelf:
			out = append(out, c)
		default:
			r, n := utf8.DecodeRune(text[i:])
			out = utf8.AppendRune(out, r)
			i += n
			continue
		}
		i++
	}
	return append(out, '"')
}
