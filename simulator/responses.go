package simulator

import (
	"strconv"

	"github.com/tidwall/gjson"
)

// responses answers /responses of the OpenAI form, whole or as its named events.
func (c *call) responses() reply {
	if bad, is := c.badJSON(); is {
		return bad
	}
	root := gjson.ParseBytes(c.body)
	model := c.model(defaultModel)
	n := c.counter(model)
	said, refusal := n.readInput(root.Get("input"))
	if refusal != nil {
		return *refusal
	}
	limit := 0
	if v := root.Get("max_output_tokens"); v.Type != gjson.Null && !readInt(v, 16, 1<<31-1, &limit) {
		return invalid("max_output_tokens", "integer_below_min_value", "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16.")
	}
	said.tokens += n.tokens(root.Get("instructions").String())
	text, finish := n.limited(c.answerText(model, said.question, said.count), limit)
	answerTokens := n.tokens(text)
	r := &response{c: c, text: text, cut: finish == "length", owed: &bill{n, c.plan.used(said.tokens, answerTokens), []string{text}}}
	if refusal, admitted := c.admit(said.tokens + max(limit, answerTokens)); !admitted {
		return refusal
	}
	if c.target.service == serviceAzure && said.filter != "" {
		return filtered(said.filter)
	}
	if root.Get("stream").Bool() {
		return r.stream()
	}
	return ok(r.append(nil, r.status())).owing(r.owed)
}

// readInput reads the input of a response: a text, or a list of messages and other items. How the service counts them is
// not published: four for each, besides its text, whoever counts that.
func (n counter) readInput(input gjson.Result) (m messages, refusal *reply) {
	if input.Type == gjson.String {
		return messages{count: 1, tokens: 4 + n.tokens(input.Str), question: input.Str, filter: filterCategory(input.Str)}, nil
	}
	if !input.IsArray() || !input.Get("0").Exists() {
		a := invalid("input", "missing_required_parameter", "Missing required parameter: 'input'.")
		return m, &a
	}
	input.ForEach(func(_, item gjson.Result) bool {
		text, images := readContent(item.Get("content"))
		m.count++
		m.tokens += 4 + n.tokens(text) + imageTokens*images
		if item.Get("role").Str == "user" {
			m.question = text
		}
		if m.filter == "" {
			m.filter = filterCategory(text)
		}
		return true
	})
	return m, nil
}

// response is one answer of the responses API.
type response struct {
	c        *call
	text     string
	cut      bool
	owed     *bill
	sequence int
	reply    reply
}

func (r *response) status() string {
	if r.cut {
		return "incomplete"
	}
	return "completed"
}

// append appends the response object; one in progress has neither output nor usage.
func (r *response) append(b []byte, status string) []byte {
	whole := status != "in_progress"
	b = append(b, `{"id":"`...)
	b = r.c.appendID(b, "resp_")
	b = append(b, `","object":"response","created_at":`...)
	b = strconv.AppendInt(b, r.c.s.now().Unix(), 10)
	b = append(b, `,"status":"`+status+`","error":null,"incomplete_details":`...)
	if status == "incomplete" {
		b = append(b, `{"reason":"max_output_tokens"}`...)
	} else {
		b = append(b, "null"...)
	}
	b = append(b, `,"instructions":null,"max_output_tokens":null,"metadata":{},"model":`...)
	b = gjson.AppendJSONString(b, r.owed.model)
	b = append(b, `,"output":[`...)
	if whole && !r.c.plan.noChoices {
		b = r.appendItem(b, r.status(), true)
	}
	b = append(b, `],"parallel_tool_calls":true,"previous_response_id":null,"reasoning":{"effort":null,"summary":null},"store":true,`+
		`"temperature":1.0,"text":{"format":{"type":"text"}},"tool_choice":"auto","tools":[],"top_p":1.0,"truncation":"disabled","usage":`...)
	if p, used := &r.c.plan, r.owed.used; whole && !p.noUsage {
		b = p.appendCount(append(b, `{"input_tokens":`...), used.prompt)
		b = p.appendCount(append(b, `,"input_tokens_details":{"cached_tokens":`...), used.cached)
		b = p.appendCount(append(b, `},"output_tokens":`...), used.completion)
		b = p.appendCount(append(b, `,"output_tokens_details":{"reasoning_tokens":`...), used.reasoning)
		b = p.appendCount(append(b, `},"total_tokens":`...), used.prompt+used.completion)
		b = append(b, '}')
	} else {
		b = append(b, "null"...)
	}
	return append(b, `,"user":null}`...)
}

// appendItem appends the one message of the output.
func (r *response) appendItem(b []byte, status string, withText bool) []byte {
	b = append(b, `{"id":"`...)
	b = r.c.appendID(b, "msg_")
	b = append(b, `","type":"message","status":"`+status+`","role":"assistant","content":[`...)
	if withText {
		b = r.appendPart(b, r.text)
	}
	return append(b, "]}"...)
}

func (r *response) appendPart(b []byte, text string) []byte {
	b = append(b, `{"type":"output_text","text":`...)
	b = gjson.AppendJSONString(b, text)
	return append(b, `,"annotations":[],"logprobs":[]}`...)
}

// stream is the answer as events, from response.created to response.completed or response.incomplete. There is no [DONE].
func (r *response) stream() reply {
	r.reply = reply{status: 200, kind: kindStream, events: []event{}}
	whole := func(status string) func([]byte) []byte {
		return func(b []byte) []byte { return r.append(append(b, `,"response":`...), status) }
	}
	r.event("response.created", eventOther, whole("in_progress"))
	r.event("response.in_progress", eventOther, whole("in_progress"))
	r.event("response.output_item.added", eventOther, func(b []byte) []byte {
		return r.appendItem(append(b, `,"output_index":0,"item":`...), "in_progress", false)
	})
	r.event("response.content_part.added", eventOther, func(b []byte) []byte {
		return r.appendPart(append(r.place(b), `,"part":`...), "")
	})
	for text := r.text; text != ""; {
		n := nextPiece(text)
		r.reply.said += n
		r.event("response.output_text.delta", eventContent, func(b []byte) []byte {
			b = gjson.AppendJSONString(append(r.place(b), `,"delta":`...), text[:n])
			return append(b, `,"logprobs":[]`...)
		})
		text = text[n:]
	}
	r.event("response.output_text.done", eventOther, func(b []byte) []byte {
		b = gjson.AppendJSONString(append(r.place(b), `,"text":`...), r.text)
		return append(b, `,"logprobs":[]`...)
	})
	r.event("response.content_part.done", eventOther, func(b []byte) []byte {
		return r.appendPart(append(r.place(b), `,"part":`...), r.text)
	})
	r.event("response.output_item.done", eventOther, func(b []byte) []byte {
		return r.appendItem(append(b, `,"output_index":0,"item":`...), r.status(), true)
	})
	r.event("response."+r.status(), eventFinish, whole(r.status()))
	return r.reply.owing(r.owed)
}

// place appends the members that say which part of the output an event is about.
func (r *response) place(b []byte) []byte {
	b = r.c.appendID(append(b, `,"item_id":"`...), "msg_")
	return append(b, `","output_index":0,"content_index":0`...)
}

// event appends one event; rest appends its members after type and sequence_number.
func (r *response) event(name string, kind eventKind, rest func([]byte) []byte) {
	b := append(r.reply.body, "event: "+name+"\ndata: {\"type\":\""+name+`","sequence_number":`...)
	b = strconv.AppendInt(b, int64(r.sequence), 10)
	r.sequence++
	r.reply.body = append(rest(b), "}\n\n"...)
	r.reply.mark(kind)
}
