// Package openai is the wire format of OpenAI and Azure OpenAI, and knows
// nothing else. It checks and edits the body of a request before an endpoint
// is asked, and passes the answer on, event by event, while it notes what the
// gateway wants to know of it: text, tool calls, finish reason, usage.
//
// Bytes are kept as they came. Few members are read and fewer are changed;
// nothing of a vendor's schema is modelled that the gateway does not use.
package openai

import (
	"math"
	"strconv"

	"github.com/tidwall/gjson"
)

// Request is the body of one request. It keeps the bytes it was made from and
// shares them with its clones; edits make new bytes. It is not safe for
// concurrent edits.
type Request struct {
	// Facts, to be read only; edits keep them true.

	Model, User    string // empty when absent
	Stream         bool
	WantsUsage     bool // stream_options.include_usage is true
	HasMessages    bool
	HasPrompt      bool
	HasInput       bool
	HasDataSources bool // data_sources is an array that is not empty

	body    []byte
	members []member   // of the top level, in their order
	small   [20]member // room for members; a chat request rarely has more
}

// member is where one member of the top level stands in body. Its name is
// kept as it is written.
type member struct {
	name     key
	from, to uint32
	kind     kind
}

// RequestError says why a body is refused, in words for the caller.
type RequestError struct {
	Param   string // path of the member at fault, such as messages[2].role; empty for the body as a whole
	Message string
}

func (e *RequestError) Error() string { return e.Message }

// ParseRequest checks that raw is one JSON object (RFC 8259, UTF-8, at most
// 128 levels deep, no object with a member given twice, names compared after
// decoding) and that the members which the gateway reads have the type that
// OpenAI documents. Other members are not looked at. Every error is a
// *RequestError. The Request keeps raw, which must not change as long as it
// is in use.
func ParseRequest(raw []byte) (*Request, error) {
	if int64(len(raw)) > math.MaxInt32 {
		return nil, &RequestError{Message: "the body is larger than 2 GiB"}
	}
	r := &Request{body: raw}
	r.members = r.small[:0]
	s := scanners.Get().(*scanner)
	defer s.release()
	s.b, s.req = raw, r
	switch _, end, k := s.document(0, shapeRequest); {
	case end < 0:
		return nil, s.err
	case k != kindObject:
		return nil, &RequestError{Message: "the body must be a JSON object, not " + k.String()}
	case s.fault != nil:
		return nil, s.fault
	}
	return r, nil
}

// Bytes returns the body as it is now. It must not be changed.
func (r *Request) Bytes() []byte { return r.body }

// Get returns what is at path, in gjson's syntax, in the body as it is now.
func (r *Request) Get(path string) gjson.Result { return gjson.GetBytes(r.body, path) }

// Raw returns the bytes of a member of the top level, or nil when it is
// absent. They must not be changed.
func (r *Request) Raw(member string) []byte {
	i := r.find(member)
	if i < 0 {
		return nil
	}
	m := r.members[i]
	return r.body[m.from:m.to:m.to]
}

// find returns the position of a member among members, or -1.
func (r *Request) find(name string) int {
	for i, m := range r.members {
		written := r.body[m.name.from:m.name.to]
		if m.name.escaped {
			written = appendUnescaped(nil, written)
		}
		if string(written) == name {
			return i
		}
	}
	return -1
}

// shapeOf returns how the member called name of a value of shape sh is scanned.
func shapeOf(sh shape, name []byte) shape {
	if sh == shapeRequest {
		switch string(name) {
		case "messages":
			return shapeMessages
		case "stream_options":
			return shapeStreamOptions
		}
	}
	return shapeAny
}

// note takes what was found about a member of a value of shape sh.
func (s *scanner) note(sh shape, name []byte, m member) {
	switch sh {
	case shapeRequest:
		s.req.members = append(s.req.members, m)
		s.learn(s.req, name, s.b[m.from:m.to], m.kind)
	case shapeMessage:
		switch string(name) {
		case "role":
			s.role = m.kind
		case "content":
			s.content = m.kind
		}
	case shapeStreamOptions:
		if string(name) == "include_usage" {
			s.includeUsage = m.kind == kindTrue
		}
	}
}

// learn checks the type of a member of the top level that was just scanned,
// and tells r what it says. After a fault r is of no use.
func (s *scanner) learn(r *Request, name, raw []byte, k kind) {
	ok, want := true, ""
	switch string(name) {
	case "model":
		if ok, want = k == kindString || k == kindNull, "a string"; ok {
			r.Model = stringOrNone(raw, k)
		}
	case "user":
		if ok, want = k == kindString || k == kindNull, "a string"; ok {
			r.User = stringOrNone(raw, k)
		}
	case "stream":
		ok, want = k == kindTrue || k == kindFalse || k == kindNull, "a boolean"
		r.Stream = k == kindTrue
	case "stream_options":
		ok, want = k == kindObject || k == kindNull, "an object"
		r.WantsUsage = k == kindObject && s.includeUsage
	case "messages":
		ok, want = k == kindArray, "an array of objects"
		if ok && s.count == 0 {
			s.blame("messages", "messages must have at least one element")
		}
		r.HasMessages = ok
	case "prompt":
		ok, want = k == kindString || k == kindArray || k == kindNull, "a string or an array"
		r.HasPrompt = ok && k != kindNull
	case "input":
		ok, want = k == kindString || k == kindArray || k == kindNull, "a string or an array"
		r.HasInput = ok && k != kindNull
	case "data_sources":
		ok, want = k == kindArray || k == kindNull, "an array"
		r.HasDataSources = k == kindArray && !emptyArray(raw)
	case "tools":
		ok, want = k == kindArray || k == kindNull, "an array"
	case "n":
		// The API documents 128 as the most choices of one request.
		if v, err := strconv.ParseFloat(string(raw), 64); k == kindNumber && err == nil && v > 128 {
			s.blame("n", "n must be at most 128, not "+clip(raw))
		}
		s.checkInteger("n", raw, k, 1)
	case "max_tokens":
		s.checkInteger("max_tokens", raw, k, math.Inf(-1))
	case "max_completion_tokens":
		s.checkInteger("max_completion_tokens", raw, k, math.Inf(-1))
	}
	if !ok {
		s.blame(string(name), string(name)+" must be "+want+", not "+k.String())
	}
}

// checkInteger accepts null and whole numbers, 2.0 among them.
func (s *scanner) checkInteger(name string, raw []byte, k kind, atLeast float64) {
	want := "an integer"
	if atLeast > 0 {
		want = "a positive integer"
	}
	switch k {
	case kindNull:
	case kindNumber:
		v, err := strconv.ParseFloat(string(raw), 64)
		if err != nil || v != math.Trunc(v) || v < atLeast {
			s.blame(name, name+" must be "+want+", not "+clip(raw))
		}
	default:
		s.blame(name, name+" must be "+want+", not "+k.String())
	}
}

// checkMessage looks at an element of messages that was just scanned.
func (s *scanner) checkMessage(k kind) {
	var param, want string
	seen := k
	switch {
	case k != kindObject:
		want = "an object"
	case s.role != kindString:
		param, want, seen = ".role", "a string", s.role
	case s.content != 0 && s.content != kindNull && s.content != kindString && s.content != kindArray:
		param, want, seen = ".content", "a string or an array", s.content
	default:
		return
	}
	if s.fault == nil {
		param = "messages[" + strconv.Itoa(s.count) + "]" + param
		s.blame(param, param+" must be "+want+", not "+seen.String())
	}
}

// blame keeps the first fault.
func (s *scanner) blame(param, message string) {
	if s.fault == nil {
		s.fault = &RequestError{Param: param, Message: message}
	}
}

func stringOrNone(raw []byte, k kind) string {
	if k != kindString {
		return ""
	}
	return unquote(raw)
}

func emptyArray(raw []byte) bool {
	for _, c := range raw[1:] {
		if !isSpace(c) {
			return c == ']'
		}
	}
	return true
}

// clip makes raw short enough for a message.
func clip(raw []byte) string {
	if len(raw) > 32 {
		return string(raw[:32]) + "..."
	}
	return string(raw)
}
