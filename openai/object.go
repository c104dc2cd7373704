package openai

import (
	"cmp"
	"slices"
	"strconv"
)

// What the object member of an answer and of a stream's events says.
const (
	objectChat      = "chat.completion"
	objectChatChunk = "chat.completion.chunk"
	objectText      = "text_completion" // the events of its streams too
)

// JSON returns the object that the endpoint would have answered unstreamed: a
// text_completion when operation is "completions", otherwise a
// chat.completion. Choices are in the order of their indexes; usage is there
// when it was reported, a finish reason that did not come is null. What
// Completion does not keep is missing, content filter results among it. The
// result is valid JSON whatever c holds.
func (c *Completion) JSON(operation string) []byte {
	chat, object := true, objectChat
	if operation == "completions" {
		chat, object = false, objectText
	}
	choices := c.Choices
	if byIndex := func(a, b Choice) int { return cmp.Compare(a.Index, b.Index) }; !slices.IsSortedFunc(choices, byIndex) {
		choices = slices.Clone(choices)
		slices.SortStableFunc(choices, byIndex)
	}

	b := make([]byte, 0, c.room())
	b = append(b, '{')
	b = c.appendHead(b, object)
	b = append(b, `,"choices":[`...)
	for i := range choices {
		if i > 0 {
			b = append(b, ',')
		}
		b = choices[i].append(b, chat)
	}
	b = append(b, ']')
	if c.Usage.Reported {
		b = append(b, `,"usage":`...)
		b = c.Usage.append(b)
	}
	return append(b, '}')
}

// room is about how long c is as JSON, with some escapes.
func (c *Completion) room() int {
	n := 512
	for i := range c.Choices {
		ch := &c.Choices[i]
		n += 160 + len(ch.Text) + len(ch.Text)/16 + len(ch.Refusal)
		for j := range ch.ToolCalls {
			n += 128 + len(ch.ToolCalls[j].Arguments)*5/4
		}
	}
	return n
}

// appendHead appends the members that an answer shares with its events.
func (c *Completion) appendHead(b []byte, object string) []byte {
	b = append(b, `"id":`...)
	b = appendQuoted(b, c.ID)
	b = append(b, `,"object":"`...)
	b = append(b, object...)
	b = append(b, `","created":`...)
	b = strconv.AppendInt(b, c.Created, 10)
	b = append(b, `,"model":`...)
	b = appendQuoted(b, c.Model)
	if c.SystemFingerprint != "" {
		b = append(b, `,"system_fingerprint":`...)
		b = appendQuoted(b, c.SystemFingerprint)
	}
	return b
}

// append appends the choice as an element of choices.
func (c *Choice) append(b []byte, chat bool) []byte {
	if chat {
		b = append(b, `{"index":`...)
		b = strconv.AppendInt(b, int64(c.Index), 10)
		b = append(b, `,"message":`...)
		b = c.appendMessage(b)
	} else {
		b = append(b, `{"text":`...)
		b = appendQuoted(b, c.Text)
		b = append(b, `,"index":`...)
		b = strconv.AppendInt(b, int64(c.Index), 10)
	}
	return append(appendFinish(b, c.FinishReason), '}')
}

// appendFinish appends the members that end a choice, and a comma before them.
func appendFinish(b []byte, reason string) []byte {
	b = append(b, `,"logprobs":null,"finish_reason":`...)
	if reason == "" {
		return append(b, "null"...)
	}
	return appendQuoted(b, reason)
}

// appendMessage appends the choice as a message. Its content is null, as the
// endpoints have it, when it says something else in its place.
func (c *Choice) appendMessage(b []byte) []byte {
	b = append(b, `{"role":`...)
	b = appendQuoted(b, orAssistant(c.Role))
	b = append(b, `,"content":`...)
	if c.Text == "" && (len(c.ToolCalls) > 0 || c.Refusal != "") {
		b = append(b, "null"...)
	} else {
		b = appendQuoted(b, c.Text)
	}
	if c.Refusal != "" {
		b = append(b, `,"refusal":`...)
		b = appendQuoted(b, c.Refusal)
	}
	for i := range c.ToolCalls {
		if i == 0 {
			b = append(b, `,"tool_calls":[`...)
		} else {
			b = append(b, ',')
		}
		b = c.ToolCalls[i].append(b)
	}
	if len(c.ToolCalls) > 0 {
		b = append(b, ']')
	}
	return append(b, '}')
}

func (t *ToolCall) append(b []byte) []byte {
	b = append(b, `{"id":`...)
	b = appendQuoted(b, t.ID)
	b = append(b, `,"type":`...)
	b = appendQuoted(b, cmp.Or(t.Type, "function"))
	b = append(b, `,"function":{"name":`...)
	b = appendQuoted(b, t.Name)
	b = append(b, `,"arguments":`...)
	b = appendQuoted(b, t.Arguments)
	return append(b, "}}"...)
}

// append appends a usage object as chat completions write it.
func (u *Usage) append(b []byte) []byte {
	for _, part := range [...]struct {
		before string
		tokens int64
	}{
		{`{"prompt_tokens":`, u.PromptTokens},
		{`,"completion_tokens":`, u.CompletionTokens},
		{`,"total_tokens":`, u.TotalTokens},
		{`,"prompt_tokens_details":{"cached_tokens":`, u.CachedTokens},
		{`},"completion_tokens_details":{"reasoning_tokens":`, u.ReasoningTokens},
	} {
		b = append(b, part.before...)
		b = strconv.AppendInt(b, part.tokens, 10)
	}
	return append(b, "}}"...)
}

// orAssistant returns the role, or who speaks when none was given.
func orAssistant(role string) string { return cmp.Or(role, "assistant") }
