package memory

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// message is one element of messages.
type message struct {
	raw     json.RawMessage
	at      int // position in the request, or in what the thread holds
	role    string
	meaning string // made by mean, when it is first asked for
}

// messagesOf returns the elements of a list of messages. They share its bytes.
func messagesOf[T ~[]byte](raws []T) []*message {
	list := make([]message, len(raws))
	ms := make([]*message, len(raws))
	for i, raw := range raws {
		list[i] = message{raw: json.RawMessage(raw), at: i, role: gjson.GetBytes(raw, "role").String()}
		ms[i] = &list[i]
	}
	return ms
}

// instructs reports whether the message is of the system's kind.
func (m *message) instructs() bool { return m.role == "system" || m.role == "developer" }

// result reports whether the message is what a tool answered.
func (m *message) result() bool { return m.role == "tool" || m.role == "function" }

// answers reports whether the message is the model's or a tool's.
func (m *message) answers() bool { return m.role == "assistant" || m.result() }

func (m *message) equal(o *message) bool { return m.role == o.role && m.mean() == o.mean() }

// mean returns a text that two messages share when they say the same: role,
// name, content, refusal, tool calls and the call that is answered, whatever
// the order of members, escapes and white space in JSON. Content that is a
// string is the same as one text part; nothing is the same as an empty text.
// Not all clients send an answer back as they got it: white space at either
// end of a text does not count, nor do members that only answers have
// (annotations, audio, logprobs).
func (m *message) mean() string {
	if m.meaning != "" {
		return m.meaning
	}
	var name, call, content, refusal, calls, function gjson.Result
	gjson.ParseBytes(m.raw).ForEach(func(key, v gjson.Result) bool {
		switch key.String() {
		case "name":
			name = v
		case "tool_call_id":
			call = v
		case "content":
			content = v
		case "refusal":
			refusal = v
		case "tool_calls":
			calls = v
		case "function_call":
			function = v
		}
		return true
	})

	var b strings.Builder
	// Lengths keep neighbours apart: no text can imitate two.
	add := func(kind byte, texts ...string) {
		b.WriteByte(kind)
		for _, s := range texts {
			b.WriteString(strconv.Itoa(len(s)))
			b.WriteByte(' ')
			b.WriteString(s)
		}
	}
	some := func(kind byte, s string) {
		if s != "" {
			add(kind, s)
		}
	}
	text := func(kind byte, s string) { some(kind, strings.TrimSpace(s)) }
	add('r', m.role)
	some('n', name.String())
	some('i', call.String())
	if content.IsArray() {
		content.ForEach(func(_, part gjson.Result) bool {
			switch part.Get("type").String() {
			case "text":
				text('t', part.Get("text").String())
			case "refusal":
				text('x', part.Get("refusal").String())
			default:
				add('p', canonical(part.Raw))
			}
			return true
		})
	} else {
		text('t', content.String())
	}
	text('x', refusal.String())
	calls.ForEach(func(_, c gjson.Result) bool {
		if f := c.Get("function"); f.Exists() {
			add('c', c.Get("id").String(), f.Get("name").String(), canonical(f.Get("arguments").String()))
		} else {
			add('o', canonical(c.Raw))
		}
		return true
	})
	if function.IsObject() {
		add('f', function.Get("name").String(), canonical(function.Get("arguments").String()))
	}
	m.meaning = b.String()
	return m.meaning
}

// canonical returns JSON without white space and with sorted members; what is
// not JSON, such as arguments that a model got wrong, as it is.
func canonical(text string) string {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil || d.More() {
		return text
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	if e.Encode(v) != nil {
		return text
	}
	return b.String()
}

// calls reports whether the message asks for the tool call of an id.
func (m *message) calls(id string) (found bool) {
	gjson.GetBytes(m.raw, "tool_calls").ForEach(func(_, c gjson.Result) bool {
		found = c.Get("id").String() == id
		return !found
	})
	return found
}
