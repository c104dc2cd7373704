package otlp

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"aigateway/persist"
)

// contentMost is the length of prompts, and of answers, that spans carry: a
// batch with a few of them stays below what collectors take.
const contentMost = 256 << 10

// message and part are those of the schemas gen-ai-input-messages.json and
// gen-ai-output-messages.json of the conventions.
type message struct {
	Role         string `json:"role"`
	Parts        []part `json:"parts"`
	FinishReason string `json:"finish_reason,omitempty"`
}

type part struct {
	Type      string          `json:"type"`
	Content   *string         `json:"content,omitempty"`
	Modality  string          `json:"modality,omitempty"`
	URI       string          `json:"uri,omitempty"`
	ID        string          `json:"id,omitempty"`
	Name      string          `json:"name,omitempty"`
	Arguments json.RawMessage `json:"arguments,omitempty"`
	Response  *string         `json:"response,omitempty"`
}

// content writes what was said, and what the model was told about its tools.
// What is too long is left out whole, as half a conversation is no JSON.
func (w *wire) content(x *persist.Exchange) {
	if x.Operation == "embeddings" {
		return // no messages
	}
	prompt, whole := parse(x.Trace.Prompt)
	completion, too := parse(x.Trace.Completion)
	whole = whole && too
	whole = write(w, "gen_ai.system_instructions", instructions(prompt)) && whole
	whole = write(w, "gen_ai.tool.definitions", tools(prompt)) && whole
	whole = write(w, "gen_ai.input.messages", input(prompt)) && whole
	whole = write(w, "gen_ai.output.messages", output(completion)) && whole
	w.flag("gateway.content.omitted", !whole)
}

// write adds a list as JSON, and reports whether it is not too long.
func write[T any](w *wire, key string, list []T) bool {
	if len(list) == 0 {
		return true
	}
	text, err := json.Marshal(list)
	if err != nil || len(text) > contentMost || !utf8.Valid(text) {
		return false
	}
	w.whole(key, string(text))
	return true
}

// parse reports false for what is too long to be read. What is no JSON is empty.
func parse(body []byte) (gjson.Result, bool) {
	if len(body) > 4*contentMost {
		return gjson.Result{}, false
	}
	if !gjson.ValidBytes(body) {
		return gjson.Result{}, true
	}
	return gjson.ParseBytes(body), true
}

// input reads the body of a request: of chat, of completions, or of responses.
func input(body gjson.Result) (all []message) {
	list := body
	if body.IsObject() {
		list = body.Get("messages")
		for _, name := range []string{"prompt", "input"} {
			switch given := body.Get(name); {
			case given.Type == gjson.String:
				all = append(all, message{Role: "user", Parts: []part{text(given.Str)}})
			case given.IsArray() && !list.Exists():
				list = given
			}
		}
	}
	for _, m := range list.Array() {
		switch {
		case m.Type == gjson.String:
			all = append(all, message{Role: "user", Parts: []part{text(m.Str)}})
		case m.Get("role").Exists():
			all = append(all, messageOf(m))
		}
	}
	return all
}

// output reads an answer: of chat, of completions, or of responses.
func output(body gjson.Result) (all []message) {
	for _, choice := range body.Get("choices").Array() {
		m := message{Role: "assistant", Parts: []part{}}
		if said := choice.Get("message"); said.Exists() {
			m = messageOf(said)
		} else if said := choice.Get("text"); said.Exists() {
			m.Parts = append(m.Parts, text(said.Str))
		}
		m.FinishReason = finish(choice.Get("finish_reason").Str)
		all = append(all, m)
	}
	for _, item := range body.Get("output").Array() {
		if item.Get("type").Str == "message" {
			m := messageOf(item)
			m.FinishReason = finish(item.Get("status").Str)
			all = append(all, m)
		}
	}
	return all
}

// finish is the schema's word for a finish reason, which it requires.
func finish(reason string) string {
	switch reason {
	case "completed":
		return "stop"
	case "incomplete":
		return "length"
	case "tool_calls", "function_call":
		return "tool_call"
	case "": // the answer broke off
		return "error"
	}
	return reason
}

func text(s string) part { return part{Type: "text", Content: &s} }

func messageOf(m gjson.Result) message {
	out := message{Role: m.Get("role").Str, Parts: []part{}}
	if out.Role == "" {
		out.Role = "assistant"
	}
	content := m.Get("content")
	if out.Role == "tool" {
		answer := content.String()
		out.Parts = append(out.Parts, part{Type: "tool_call_response", ID: m.Get("tool_call_id").Str, Response: &answer})
		return out
	}
	if content.Type == gjson.String {
		out.Parts = append(out.Parts, text(content.Str))
	} else {
		for _, p := range content.Array() {
			out.Parts = append(out.Parts, partOf(p))
		}
	}
	if refusal := m.Get("refusal"); refusal.Type == gjson.String {
		out.Parts = append(out.Parts, text(refusal.Str))
	}
	for _, call := range m.Get("tool_calls").Array() {
		p := part{Type: "tool_call", ID: call.Get("id").Str, Name: call.Get("function.name").Str}
		if arguments := call.Get("function.arguments"); gjson.Valid(arguments.Str) {
			p.Arguments = json.RawMessage(arguments.Str)
		} else if arguments.Exists() {
			p.Arguments = json.RawMessage(arguments.Raw)
		}
		out.Parts = append(out.Parts, p)
	}
	return out
}

// partOf reads a part of a message. Pictures and sound that came inline are
// named and not carried.
func partOf(p gjson.Result) part {
	kind := p.Get("type").Str
	switch kind {
	case "text", "input_text", "output_text":
		return text(p.Get("text").Str)
	case "refusal":
		return text(p.Get("refusal").Str)
	case "image_url", "input_image":
		uri := p.Get("image_url.url").Str
		if uri == "" {
			uri = p.Get("image_url").Str
		}
		if uri != "" && !strings.HasPrefix(uri, "data:") {
			return part{Type: "uri", Modality: "image", URI: uri}
		}
		return part{Type: "image"}
	case "":
		kind = "unknown"
	}
	return part{Type: kind}
}
