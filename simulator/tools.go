package simulator

import (
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// toolCall is one call that the answer asks for. Arguments is JSON.
type toolCall struct{ name, arguments string }

// toolCalls decides whether tools are called: when tool_choice forces one, or when the last message is a user's that
// speaks of the weather or of a tool. "every tool" calls all, otherwise one is called.
func (c *call) toolCalls(q *chatRequest) []toolCall {
	if len(q.tools) == 0 || q.toolChoice == "none" || q.messages.lastRole != "user" {
		return nil
	}
	text := strings.ToLower(q.messages.question)
	forced := q.toolChoice == "required" || q.toolChoice == "function"
	if !forced && !strings.Contains(text, "weather") && !strings.Contains(text, "tool") {
		return nil
	}
	if strings.Contains(text, "every tool") && q.forced == "" {
		calls := make([]toolCall, 0, len(q.tools))
		for _, f := range q.tools {
			calls = append(calls, callOf(f, q.messages.question))
		}
		return calls
	}
	return []toolCall{callOf(pickTool(q, text), q.messages.question)}
}

// pickTool is the function that tool_choice names, else the first whose name has a word of text, else the first.
func pickTool(q *chatRequest, text string) gjson.Result {
	for _, f := range q.tools {
		if q.forced != "" && f.Get("name").String() == q.forced {
			return f
		}
	}
	for _, f := range q.tools {
		for part := range strings.FieldsFuncSeq(strings.ToLower(f.Get("name").String()), func(r rune) bool { return r == '_' || r == '-' }) {
			if len(part) > 3 && strings.Contains(text, part) {
				return f
			}
		}
	}
	return q.tools[0]
}

// callOf makes arguments that fit the function's schema: its first level, each member by its type.
func callOf(f gjson.Result, question string) toolCall {
	b := []byte{'{'}
	f.Get("parameters.properties").ForEach(func(name, schema gjson.Result) bool {
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = gjson.AppendJSONString(b, name.String())
		b = append(b, ':')
		b = appendArgument(b, schema, question)
		return true
	})
	return toolCall{name: f.Get("name").String(), arguments: string(append(b, '}'))}
}

func appendArgument(b []byte, schema gjson.Result, question string) []byte {
	if first := schema.Get("enum.0"); first.Exists() {
		return append(b, first.Raw...)
	}
	switch schema.Get("type").String() {
	case "number", "integer":
		return append(b, '1')
	case "boolean":
		return append(b, "true"...)
	case "array":
		return append(b, "[]"...)
	case "object":
		return append(b, "{}"...)
	}
	return gjson.AppendJSONString(b, subject(question))
}

// subject is what a question seems to be about: its last word with a capital that is not its first, else its first words.
func subject(question string) string {
	found, n := "", 0
	for w := range strings.FieldsSeq(firstWords(question, 64, 1024)) {
		w = strings.Trim(w, ".,;:!?\"'()“”")
		if n > 0 && w != "" && w[0] >= 'A' && w[0] <= 'Z' && w != "I" {
			found = w
		}
		n++
	}
	if found != "" {
		return found
	}
	return firstWords(question, 8, 80)
}

func (c *call) appendCallID(b []byte, choice, n int) []byte {
	b = c.appendID(b, "call_")
	b = append(b, 'c')
	b = strconv.AppendInt(b, int64(choice), 10)
	b = append(b, 't')
	return strconv.AppendInt(b, int64(n), 10)
}

// appendToolCalls appends the list of calls of one choice.
func (c *call) appendToolCalls(b []byte, calls []toolCall, choice int) []byte {
	b = append(b, '[')
	for n, t := range calls {
		if n > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"function":{"arguments":`...)
		b = gjson.AppendJSONString(b, t.arguments)
		b = append(b, `,"name":`...)
		b = gjson.AppendJSONString(b, t.name)
		b = append(b, `},"id":"`...)
		b = c.appendCallID(b, choice, n)
		b = append(b, `","type":"function"}`...)
	}
	return append(b, ']')
}

// streamToolCall streams one call: its name and id first, then its arguments in small pieces.
func (c *call) streamToolCall(f *frame, t toolCall, n, choice int) {
	f.begin("{}")
	f.body = append(f.body, `"delta":{"tool_calls":[{"function":{"arguments":"","name":`...)
	f.body = gjson.AppendJSONString(f.body, t.name)
	f.body = append(f.body, `},"id":"`...)
	f.body = c.appendCallID(f.body, choice, n)
	f.body = append(f.body, `","index":`...)
	f.body = strconv.AppendInt(f.body, int64(n), 10)
	f.body = append(f.body, `,"type":"function"}]}`...)
	f.said += len(t.name)
	f.end(choice, "", eventOther)

	pieceRunes := max(8, len(t.arguments)/1000) // at most about a thousand events
	for rest := t.arguments; rest != ""; {
		size := prefixRunes(rest, pieceRunes)
		f.begin("{}")
		f.body = append(f.body, `"delta":{"tool_calls":[{"function":{"arguments":`...)
		f.body = gjson.AppendJSONString(f.body, rest[:size])
		f.body = append(f.body, `},"index":`...)
		f.body = strconv.AppendInt(f.body, int64(n), 10)
		f.body = append(f.body, `}]}`...)
		f.said += size
		f.end(choice, "", eventContent)
		rest = rest[size:]
	}
}

// prefixRunes is the length in bytes of the first n characters of s.
func prefixRunes(s string, n int) int {
	for i := range s {
		if n == 0 {
			return i
		}
		n--
	}
	return len(s)
}
