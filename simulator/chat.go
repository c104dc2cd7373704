package simulator

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

const (
	fingerprint  = `"system_fingerprint":"fp_5a00000001"`
	done         = "data: [DONE]\n\n"
	defaultModel = "gpt-4o-2024-08-06"
)

// maxChoices bounds the text of several choices together, in bytes: an answer is built before it is sent.
const maxChoices = 4 << 20

func tooManyChoices() reply {
	return invalid("n", "invalid_value", "Invalid 'n': the choices of one simulated answer have at most 4 MiB of text together.")
}

// choice is one answer to a chat.
type choice struct {
	text   string
	finish string
	calls  []toolCall
}

// chat answers /chat/completions.
func (c *call) chat() reply {
	model := c.model(defaultModel)
	n := c.counter(model)
	q, refusal := c.readRequest()
	if refusal == nil {
		q.messages, refusal = n.readMessages(gjson.GetBytes(c.body, "messages"))
	}
	if refusal == nil && q.documents.Exists() && c.target.service == serviceAzure {
		refusal = c.badDocuments(q.documents)
	}
	if refusal == nil && (q.toolChoice == "required" || q.toolChoice == "function") && len(q.tools) == 0 {
		a := invalid("tool_choice", "", "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.")
		refusal = &a
	}
	if refusal != nil {
		return *refusal
	}
	one := c.choose(&q, n)
	spoken := one.spoken()
	answerTokens, size := 0, 0
	for _, text := range spoken {
		answerTokens += n.tokens(text)
		size += len(text)
	}
	if q.n > 1 && q.n*size > maxChoices {
		return tooManyChoices()
	}
	if refusal, admitted := c.admit(q.messages.tokens + q.n*max(q.limit, answerTokens)); !admitted {
		return refusal
	}
	if c.target.service == serviceAzure && q.messages.filter != "" {
		return filtered(q.messages.filter)
	}
	owed := &bill{n, c.plan.used(q.messages.tokens, q.n*answerTokens), slices.Repeat(spoken, q.n)}
	if q.stream {
		return c.chatStream(&q, one, owed)
	}
	return c.chatWhole(&q, one, owed)
}

// spoken is what of a choice counts as completion, in the order in which a stream sends it.
func (one *choice) spoken() []string {
	if one.calls == nil {
		return []string{one.text}
	}
	texts := make([]string, 0, 2*len(one.calls))
	for _, t := range one.calls {
		texts = append(texts, t.name, t.arguments)
	}
	return texts
}

// model is the name that answers carry.
func (c *call) model(usual string) string {
	if c.target.service == serviceOpenAI {
		return c.target.deployment
	}
	return cmp.Or(c.d.Model, usual)
}

// choose decides what is answered: tool calls, JSON or text.
func (c *call) choose(q *chatRequest, n counter) choice {
	if calls := c.toolCalls(q); calls != nil {
		return choice{calls: calls, finish: "tool_calls"}
	}
	text := c.answerText(n.model, q.messages.question, q.messages.count)
	if q.jsonAnswer && c.plan.big < 0 {
		b := append([]byte(nil), `{"answer":`...)
		b = gjson.AppendJSONString(b, text)
		b = append(b, `,"messages":`...)
		b = strconv.AppendInt(b, int64(q.messages.count), 10)
		text = string(append(b, '}'))
	}
	text, finish := n.limited(text, q.limit)
	if strings.Contains(q.messages.question, "completion-filter-test") && c.target.service == serviceAzure {
		finish = "content_filter"
	}
	return choice{text: text, finish: finish}
}

// chatWhole is an answer in one piece.
func (c *call) chatWhole(q *chatRequest, one choice, owed *bill) reply {
	azure := c.target.service == serviceAzure
	b := make([]byte, 0, 1024+q.n*(len(one.text)+512))
	b = append(b, `{"choices":[`...)
	for i := range q.n {
		if c.plan.noChoices {
			break
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '{')
		if azure {
			b = append(b, `"content_filter_results":`...)
			b = append(b, answerFilter(one)...)
			b = append(b, ',')
		}
		b = append(b, `"finish_reason":`...)
		b = c.appendFinish(b, one.finish)
		b = append(b, `,"index":`...)
		b = strconv.AppendInt(b, int64(i), 10)
		b = append(b, `,"logprobs":null,"message":{"content":`...)
		if one.calls == nil {
			b = gjson.AppendJSONString(b, one.text)
		} else {
			b = append(b, "null"...)
		}
		if azure && q.documents.Exists() {
			b = append(b, `,"end_turn":true,"context":`...)
			b = appendCitations(b, q.messages.question)
		}
		b = append(b, `,"refusal":null,"role":"assistant"`...)
		if one.calls != nil {
			b = append(b, `,"tool_calls":`...)
			b = c.appendToolCalls(b, one.calls, i)
		}
		b = append(b, "}}"...)
	}
	b = append(b, "],"...)
	b = c.appendAnswerHead(b, "chatcmpl-", "chat.completion", owed.model)
	if azure {
		b = append(b, ","+promptFilter...)
	}
	b = append(b, ","+fingerprint...)
	b = c.plan.appendUsage(b, owed.used)
	return ok(append(b, '}')).owing(owed)
}

// appendFinish appends a finish reason, or null when the plan leaves it out.
func (c *call) appendFinish(b []byte, finish string) []byte {
	if c.plan.noFinish {
		return append(b, "null"...)
	}
	return gjson.AppendJSONString(b, finish)
}

// answerFilter is what the content filter says of a whole answer.
func answerFilter(one choice) string {
	switch {
	case one.calls != nil:
		return "{}"
	case one.finish == "content_filter":
		return strings.Replace(safeAnswer, `"violence":{"filtered":false,"severity":"safe"}`, `"violence":{"filtered":true,"severity":"medium"}`, 1)
	}
	return safeAnswer
}

// appendAnswerHead appends the members created, id, model and object.
func (c *call) appendAnswerHead(b []byte, prefix, object, model string) []byte {
	b = append(b, `"created":`...)
	b = strconv.AppendInt(b, c.s.now().Unix(), 10)
	b = append(b, `,"id":"`...)
	b = c.appendID(b, prefix)
	b = append(b, `","model":`...)
	b = gjson.AppendJSONString(b, model)
	b = append(b, `,"object":"`...)
	b = append(b, object...)
	return append(b, '"')
}

// frame writes the events of one stream: each is its choices between a head and a tail that are the same in all.
type frame struct {
	reply
	azure bool
	tail  []byte
}

func (c *call) newFrame(prefix, object, model string, withUsage bool) *frame {
	f := &frame{reply: reply{status: 200, kind: kindStream, events: make([]event, 0, 64)}, azure: c.target.service == serviceAzure}
	f.tail = append(f.tail, "],"...)
	f.tail = c.appendAnswerHead(f.tail, prefix, object, model)
	f.tail = append(f.tail, ","+fingerprint...)
	if withUsage {
		f.tail = append(f.tail, `,"usage":null`...)
	}
	f.tail = append(f.tail, "}\n\n"...)
	return f
}

// promptFilter is Azure's first event, which has no choice and no id.
func (f *frame) promptFilter() {
	f.body = append(f.body, `data: {"choices":[],"created":0,"id":"","model":"","object":"",`+promptFilter+"}\n\n"...)
	f.mark(eventOther)
}

// begin opens a choice; what follows is its delta or text.
func (f *frame) begin(filter string) {
	f.body = append(f.body, `data: {"choices":[{`...)
	if f.azure && filter != "" {
		f.body = append(f.body, `"content_filter_results":`...)
		f.body = append(f.body, filter...)
		f.body = append(f.body, ',')
	}
}

// end closes the event that begin opened.
func (f *frame) end(index int, finish string, kind eventKind) {
	f.body = append(f.body, `,"finish_reason":`...)
	f.body = appendNullable(f.body, finish)
	f.body = append(f.body, `,"index":`...)
	f.body = strconv.AppendInt(f.body, int64(index), 10)
	f.body = append(f.body, `,"logprobs":null}`...)
	f.body = append(f.body, f.tail...)
	f.mark(kind)
}

// finishStream appends the usage event, when asked for, and the terminator.
func (c *call) finishStream(f *frame, owed *bill, withUsage bool) reply {
	if withUsage {
		f.body = append(f.body, `data: {"choices":[`...)
		f.body = append(f.body, f.tail[:len(f.tail)-len(",\"usage\":null}\n\n")]...)
		f.body = c.plan.appendUsage(f.body, owed.used)
		f.body = append(f.body, "}\n\n"...)
		f.mark(eventOther)
	}
	f.body = append(f.body, done...)
	f.mark(eventDone)
	return f.owing(owed)
}

// chatStream is an answer event by event: role, content or tool calls, finish reason, usage when asked for.
func (c *call) chatStream(q *chatRequest, one choice, owed *bill) reply {
	withUsage := q.usage && !c.plan.noUsage
	f := c.newFrame("chatcmpl-", "chat.completion.chunk", owed.model, withUsage)
	f.body = make([]byte, 0, 4096+q.n*len(one.text)*8)
	if f.azure {
		f.promptFilter()
	}
	for i := range q.n {
		if c.plan.noChoices {
			break
		}
		c.streamChoice(f, q, one, i)
	}
	return c.finishStream(f, owed, withUsage)
}

func (c *call) streamChoice(f *frame, q *chatRequest, one choice, index int) {
	f.begin("{}")
	f.body = append(f.body, `"delta":{"content":`...)
	if one.calls == nil {
		f.body = append(f.body, `"","refusal":null,"role":"assistant"`...)
	} else {
		f.body = append(f.body, `null,"refusal":null,"role":"assistant"`...)
	}
	if f.azure && q.documents.Exists() {
		f.body = append(f.body, `,"context":`...)
		f.body = appendCitations(f.body, q.messages.question)
	}
	f.body = append(f.body, '}')
	f.end(index, "", eventOther)

	for n, t := range one.calls {
		c.streamToolCall(f, t, n, index)
	}
	filter := answerFilter(one)
	if c.plan.asyncFilter {
		filter = "" // Azure then checks beside the stream and tells in events of their own
	}
	for text := one.text; text != ""; {
		n := nextPiece(text)
		f.begin(filter)
		f.body = append(f.body, `"delta":{"content":`...)
		f.body = gjson.AppendJSONString(f.body, text[:n])
		f.body = append(f.body, '}')
		f.said += n
		f.end(index, "", eventContent)
		text = text[n:]
	}
	if c.plan.asyncFilter && f.azure {
		f.asyncFilter(index, len(one.text), answerFilter(one))
	}
	if one.finish == "stop" && f.azure {
		f.begin(filter)
	} else {
		f.begin("{}")
	}
	f.body = append(f.body, `"delta":{}`...)
	f.end(index, one.finish, eventFinish)
}

// asyncFilter is the event by which Azure's asynchronous filter reports on text already sent; it has no delta.
func (f *frame) asyncFilter(index, length int, filter string) {
	f.begin(filter)
	f.body = append(f.body, `"content_filter_offsets":{"check_offset":0,"start_offset":0,"end_offset":`...)
	f.body = strconv.AppendInt(f.body, int64(length), 10)
	f.body = append(f.body, '}')
	f.end(index, "", eventOther)
}
