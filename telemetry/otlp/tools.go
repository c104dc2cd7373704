package otlp

import (
	"cmp"
	"encoding/json"

	"github.com/tidwall/gjson"
)

// tool is that of the schema gen-ai-tool-definitions.json of the conventions.
type tool struct {
	Type        string          `json:"type"`
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Parameters  json.RawMessage `json:"parameters,omitempty"`
}

// instructions reads what the Responses API is told beside the conversation.
// System messages of the others are a part of it.
func instructions(body gjson.Result) []part {
	if given := body.Get("instructions"); given.Type == gjson.String {
		return []part{text(given.Str)}
	}
	return nil
}

// tools reads the tools of a request: of chat, where what a tool is stands in
// a member named as its type, of responses, or the functions of old. Settings
// of other tools than functions may be keys, and stay.
func tools(body gjson.Result) (all []tool) {
	for _, t := range body.Get("tools").Array() {
		kind := t.Get("type").Str
		if kind == "" {
			continue
		}
		described := t
		if inside := t.Get(gjson.Escape(kind)); inside.IsObject() {
			described = inside
		}
		all = append(all, toolOf(kind, described))
	}
	for _, f := range body.Get("functions").Array() {
		all = append(all, toolOf("function", f))
	}
	return all
}

// toolOf reads a tool. The schema wants a name; those that the services have
// built in go by their type.
func toolOf(kind string, t gjson.Result) tool {
	out := tool{Type: kind, Name: cmp.Or(t.Get("name").Str, t.Get("server_label").Str, kind)}
	if kind == "function" {
		out.Description = t.Get("description").Str
		if parameters := t.Get("parameters"); parameters.IsObject() {
			out.Parameters = json.RawMessage(parameters.Raw)
		}
	}
	return out
}
