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
	said, refusal := readInput(root.Get("input"))
	if refusal != nil {
		return *refusal
	}
	limit := 0
	if v := root.Get("max_output_tokens"); v.Type != gjson.Null && !readInt(v, 16, 1<<31-1, &limit) {
		return invalid("max_output_tokens", "integer_below_min_value", "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16.")
	}
	said.tokens += Tokens(root.Get("instructions").String())
	model := c.model(defaultModel)
	text, finish := limited(c.answerText(model, said.question, said.count), limit)
	r := &response{c: c, model: model, text: text, cut: finish == "length", used: usage{said.tokens, Tokens(text)}}
	if refusal, admitted := c.admit(said.tokens + max(limit, r.used.completion)); !admitted {
		return refusal
	}
	if c.target.service == serviceAzure && said.filter != "" {
		return filtered(said.filter)
	}
	if root.Get("stream").Bool() {
		return r.stream()
	}
	return ok(r.append(nil, r.status()))
}

// readInput reads the input of a response: a text, or a list of messages and other items.
func readInput(input gjson.Result) (m messages, refusal *reply) {
	if input.Type == gjson.String {
		return messages{count: 1, tokens: 4 + Tokens(input.Str), question: input.Str, filter: filterCategory(input.Str)}, nil
	}
	if !input.IsArray() || !input.Get("0").Exists() {
		a := invalid("input", "missing_required_parameter", "Missing required parameter: 'input'.")
		return m, &a
	}
	input.ForEach(func(_, item gjson.Result) bool {
		text, images := readContent(item.Get("content"))
		m.count++
		m.tokens += 4 + Tokens(text) + 85*images
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
	c           *call
	model, text string
	cut         bool
	used        usage
	sequence    int
	reply       reply
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
	b = gjson.AppendJSONString(b, r.model)
	b = append(b, `,"output":[`...)
	if whole && !r.c.plan.noChoices {
		b = r.appendItem(b, r.status(), true)
	}
	b = append(b, `],"parallel_tool_calls":true,"previous_response_id":null,"reasoning":{"effort":null,"summary":null},"store":true,`+
		`"temperature":1.0,"text":{"format":{"type":"text"}},"tool_choice":"auto","tools":[],"top_p":1.0,"truncation":"disabled","usage":`...)
	if whole {
		b = append(b, `{"input_tokens":`...)
		b = strconv.AppendInt(b, int64(r.used.prompt), 10)
		b = append(b, `,"input_tokens_details":{"cached_tokens":0},"output_tokens":`...)
		b = strconv.AppendInt(b, int64(r.used.completion), 10)
		b = append(b, `,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":`...)
		b = strconv.AppendInt(b, int64(r.used.prompt+r.used.completion), 10)
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
	return r.reply
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
