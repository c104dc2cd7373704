package openai

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/sjson"
)

// Clone returns a copy that can be edited apart from r. It shares r's bytes.
func (r *Request) Clone() *Request {
	c := *r
	c.members = append(c.small[:0], r.members...)
	return &c
}

// AskUsage makes the endpoint report usage at the end of a stream. Other
// members of stream_options stay.
func (r *Request) AskUsage() error {
	if r.WantsUsage {
		return nil
	}
	return r.Set("stream_options.include_usage", true)
}

// Set replaces the value at path, or adds it behind the last member. path is
// the name of a member of the top level, or such a name, a dot and a path
// within that member in sjson's syntax; a dot that belongs to a name is
// written \. there. v is any value that encoding/json knows; json.RawMessage
// goes in as it is. All other members keep their bytes. After an error, a
// *RequestError when the value is of a type that ParseRequest would refuse,
// nothing has changed.
func (r *Request) Set(path string, v any) error {
	name, rest := cutPath(path)
	if !utf8.ValidString(name) {
		return fmt.Errorf("the member's name %q is not UTF-8", name)
	}
	value, err := encode(v)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", name, err)
	}
	if rest != "" {
		if value, err = r.within(name, rest, value); err != nil {
			return fmt.Errorf("setting %s: %w", path, err)
		}
	}

	// What is learnt of the new value is kept only if it is right. The copy's
	// members are r's own.
	next := *r
	s := scanner{b: value}
	from, to, k := s.document(1, shapeOf(shapeRequest, []byte(name)))
	if to < 0 {
		return fmt.Errorf("setting %s: %w", path, s.err)
	}
	value = value[from:to]
	if s.learn(&next, []byte(name), value, k); s.fault != nil {
		return s.fault
	}
	if int64(len(r.body))+int64(len(name))*6+int64(len(value)) > math.MaxInt32-8 {
		return &RequestError{Param: name, Message: "the body is larger than 2 GiB"}
	}
	*r = next
	if i := r.find(name); i >= 0 {
		r.replace(i, value, k)
	} else {
		r.add(name, value, k)
	}
	return nil
}

// within returns the member called name with value set at path inside it.
func (r *Request) within(name, path string, value []byte) ([]byte, error) {
	old := r.Raw(name)
	switch {
	case old == nil || old[0] == 'n':
		old = []byte("{}")
	case old[0] != '{' && old[0] != '[':
		return nil, &RequestError{Param: name, Message: name + " is neither an object nor an array"}
	}
	return sjson.SetRawBytes(old, path, value)
}

// replace puts value where member i has its value.
func (r *Request) replace(i int, value []byte, k kind) {
	m := &r.members[i]
	b := make([]byte, 0, len(r.body)-int(m.to-m.from)+len(value))
	b = append(b, r.body[:m.from]...)
	b = append(b, value...)
	b = append(b, r.body[m.to:]...)

	moved := uint32(len(b) - len(r.body)) // modulo 2³²: it may be negative
	m.to += moved
	m.kind = k
	for i++; i < len(r.members); i++ {
		m := &r.members[i]
		m.name.from += moved
		m.name.to += moved
		m.from += moved
		m.to += moved
	}
	r.body = b
}

// add puts a new member before the last brace.
func (r *Request) add(name string, value []byte, k kind) {
	written, _ := encode(name) // a string can always be encoded
	brace := bytes.LastIndexByte(r.body, '}')
	b := make([]byte, 0, len(r.body)+len(written)+len(value)+2)
	b = append(b, r.body[:brace]...)
	if len(r.members) > 0 {
		b = append(b, ',')
	}
	b = append(b, written...)
	m := member{kind: k, name: key{
		from:    uint32(len(b) - len(written) + 1),
		to:      uint32(len(b) - 1),
		escaped: bytes.IndexByte(written, '\\') >= 0,
	}}
	b = append(b, ':')
	m.from = uint32(len(b))
	b = append(b, value...)
	m.to = uint32(len(b))
	r.body = append(b, r.body[brace:]...)
	r.members = append(r.members, m)
}

// cutPath splits path at its first dot that has no backslash before it. The
// name is returned without backslashes, the rest as it was.
func cutPath(path string) (name, rest string) {
	if strings.IndexByte(path, '\\') < 0 {
		name, rest, _ = strings.Cut(path, ".")
		return name, rest
	}
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		switch {
		case path[i] == '\\' && i+1 < len(path):
			i++
		case path[i] == '.':
			return b.String(), path[i+1:]
		}
		b.WriteByte(path[i])
	}
	return b.String(), ""
}

// encode returns v as JSON, with <, > and & as they are.
func encode(v any) ([]byte, error) {
	switch v := v.(type) {
	case json.RawMessage:
		return v, nil
	case bool:
		if v {
			return []byte("true"), nil
		}
		return []byte("false"), nil
	case []byte:
		return nil, fmt.Errorf("%d bytes that are not marked as json.RawMessage", len(v))
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
