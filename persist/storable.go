package persist

import (
	"encoding/json"
	"unicode/utf8"
)

// Storable returns bytes fit for a JSON column: text itself when it is valid
// JSON in UTF-8. Bytes that are no UTF-8 become U+FFFD; what is no JSON even
// then becomes a JSON string that holds it. Empty text becomes nil.
func Storable(text []byte) []byte {
	if len(text) == 0 {
		return nil
	}
	valid := json.Valid(text)
	switch {
	case valid && utf8.Valid(text):
		return text
	case valid: // it is within strings that UTF-8 is broken: elsewhere JSON is ASCII
		return replaceInvalid(text)
	}
	return quote(text)
}

// replaceInvalid returns text with each byte that is no UTF-8 replaced.
func replaceInvalid(text []byte) []byte {
	out := make([]byte, 0, len(text)+8)
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		out = utf8.AppendRune(out, r)
		text = text[n:]
	}
	return out
}

// fitToStore takes out of a record what must not be stored: secrets, what its
// Redactor hides, and what was said when that is for no history.
func (r *Record) fitToStore() {
	if r.NoHistory {
		r.Prompt, r.Completion = nil, nil
	}
	r.Prompt = r.Redactor.fit(r.Prompt)
	r.Completion = r.Redactor.fit(r.Completion)
	r.User = r.Redactor.Text(r.User)
	r.Redactor = nil
}

func (r *Redactor) fit(content []byte) []byte {
	if len(content) == 0 {
		return nil
	}
	return Storable(r.Apply(Secretless(content)))
}
