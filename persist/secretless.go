package persist

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode"
)

// hidden stands where a secret was.
const hidden = `"***"`

// Secretless returns the body of a request without the secrets that its
// format has places for, which become "***":
//
//   - below data_sources (dataSources in older versions), at any depth: what
//     is under authentication, except its type, and under members named like
//     a key, token or password;
//   - below tools[*], outside the schemas of functions: what is under headers
//     and authorization, and under members named so;
//   - in the URLs below both: the user before the host goes, the query becomes
//     ***, the path stays;
//   - members of the top level that are named like a credential.
//
// The names of members stay, true, false and null too. What is no JSON becomes
// null: nothing is stored that could not be read. The result is prompt itself
// when there is nothing to hide.
func Secretless(prompt []byte) []byte {
	if !json.Valid(prompt) {
		return []byte("null")
	}
	h := hider{text: prompt}
	h.value(0, inBody)
	if h.kept == 0 {
		return prompt
	}
	return append(h.out, prompt[h.kept:]...)
}

// place is where in a request's body a value stands.
type place int

const (
	elsewhere  place = iota // nothing to hide here, but sources may be below
	inBody                  // the body itself
	inSource                // data_sources or below
	inAuth                  // the value of authentication
	inAuthType              // its type, which is no secret as long as it is one word
	inTools                 // the list of tools, or one of them
	inTool                  // below one of them
	inSecret                // a secret, with all below
	inSchema                // the schema of a function: names in it are no names of secrets
)

// hider copies valid JSON without its secrets.
type hider struct {
	text []byte
	out  []byte
	kept int // text up to here is in out
}

// value passes the value that begins at i, spaces before it aside, and returns
// where it ends. The depth that json.Valid accepts bounds the recursion.
func (h *hider) value(i int, p place) int {
	i = skipSpace(h.text, i)
	c := h.text[i]
	if p == inAuthType && (c == '{' || c == '[') {
		p = inSecret
	}
	switch c {
	case '{':
		return h.object(i, p)
	case '[':
		for i = skipSpace(h.text, i+1); h.text[i] != ']'; i = h.next(i) {
			i = h.value(i, p)
		}
		return i + 1
	case '"':
		end := stringEnd(h.text, i)
		h.hide(i, end, p)
		return end
	default:
		end := len(h.text)
		if n := bytes.IndexAny(h.text[i:], " \n\t\r,]}"); n >= 0 {
			end = i + n
		}
		if (p == inSecret || p == inAuth) && (c == '-' || c >= '0' && c <= '9') {
			h.put(i, end, hidden)
		}
		return end
	}
}

func (h *hider) object(i int, p place) int {
	for i = skipSpace(h.text, i+1); h.text[i] != '}'; i = h.next(i) {
		end := stringEnd(h.text, i)
		name := unquote(h.text[i:end])
		i = h.value(skipSpace(h.text, end)+1, p.below(name)) // behind the colon
	}
	return i + 1
}

// next returns where the next member or element begins, or the closing
// bracket stands.
func (h *hider) next(i int) int {
	if i = skipSpace(h.text, i); h.text[i] == ',' {
		i = skipSpace(h.text, i+1)
	}
	return i
}

// hide puts the mark in the place of a secret, and takes secrets out of the
// URLs of another string of a tool or data source.
func (h *hider) hide(from, to int, p place) {
	switch p {
	case elsewhere, inBody:
	case inAuth, inSecret:
		h.put(from, to, hidden)
	default:
		if bare, changed := plainURLs(unquote(h.text[from:to])); changed {
			h.put(from, to, string(quote(bare)))
		}
	}
}

// put puts something in the place of a value.
func (h *hider) put(from, to int, value string) {
	h.out = append(append(h.out, h.text[h.kept:from]...), value...)
	h.kept = to
}

// below returns the place of the member called name of an object at p.
func (p place) below(name []byte) place {
	switch p {
	case inSecret, inSchema:
		return p
	case inAuth:
		if string(name) == "type" {
			return inAuthType
		}
		return inSecret
	}
	switch string(name) {
	case "data_sources", "dataSources":
		return inSource
	case "tools":
		if p == inBody {
			return inTools
		}
	case "authentication":
		if p == inSource {
			return inAuth
		}
	}
	switch p {
	case inBody:
		if isCredential(plain(name)) {
			return inSecret
		}
	case inSource:
		if n := plain(name); isCredential(n) || isToken(n) || strings.HasSuffix(n, "key") {
			return inSecret
		}
		return inSource
	case inTools, inTool:
		switch n := plain(name); {
		case n == "function", n == "parameters", n == "inputschema":
			return inSchema
		case n == "headers", isCredential(n), isToken(n):
			return inSecret
		}
		return inTool
	}
	return elsewhere
}

// plain returns a member's name in lower case and without what joins words.
func plain(name []byte) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r == ' ' {
			return -1
		}
		return unicode.ToLower(r)
	}, string(name))
}

// isCredential reports that a plain name cannot mean anything but a secret.
func isCredential(name string) bool {
	for _, part := range [...]string{"apikey", "accesstoken", "password", "secret", "connectionstring", "authorization"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}

// isToken reports that a plain name means a secret where a connection is
// described. It leaves names such as key to filters, which have them too.
func isToken(name string) bool {
	return strings.HasSuffix(name, "token") || strings.HasSuffix(name, "credential") || strings.HasSuffix(name, "credentials")
}
