package openai

import "bytes"

// ofResponses begins the type of every event of the Responses API but error:
// https://platform.openai.com/docs/api-reference/responses-streaming
var ofResponses = []byte("response.")

// response holds the members of one text of the Responses API, an event or a
// whole answer, until all are there: type and object tell which of them count,
// and may stand behind them.
type response struct {
	kind, object    []byte // type of an event, object of an answer
	place           []byte // output_index: which item of the output an event is about
	item            []byte
	delta, logprobs []byte

	// Of an answer, be it whole or what an event carries as response.
	created, status, incomplete, output []byte
}

// take keeps the value of the member at hand, or steps over it.
func (r *response) take(c *cursor) {
	var into *[]byte
	switch string(c.key) {
	case "type":
		into = &r.kind
	case "object":
		into = &r.object
	case "output_index":
		into = &r.place
	case "item":
		into = &r.item
	case "delta":
		into = &r.delta
	case "logprobs":
		into = &r.logprobs
	case "created_at":
		into = &r.created
	case "status":
		into = &r.status
	case "incomplete_details":
		into = &r.incomplete
	case "output":
		into = &r.output
	default:
		c.skip()
		return
	}
	*into = c.raw()
}

// readResponse reads the object that events of the Responses API carry.
func (a *answer) readResponse(c *cursor, r *response) {
	a.like.unfit = true
	if !c.enter('{') {
		return
	}
	for c.member() {
		switch string(c.key) {
		case "id":
			a.note(&a.id, c.raw())
		case "model":
			a.note(&a.model, c.raw())
		case "usage":
			a.readUsage(c)
		default:
			r.take(c)
		}
	}
}

// hear gathers what a text of the Responses API says, and reports whether that
// is that the answer failed. Other texts say nothing here.
func (a *answer) hear(r *response) (failed bool) {
	kind, _ := stringOf(r.kind)
	word, isEvent := bytes.CutPrefix(kind, ofResponses)
	switch {
	case isEvent:
		a.responses, a.like.unfit = true, true
		a.noteCreated(r.created)
		return a.hearEvent(word, r)
	case a.responses && string(kind) == "error":
		return true
	case string(r.object) == `"response"`:
		a.like.unfit = true
		a.noteCreated(r.created)
		status, _ := stringOf(r.status)
		if ch := a.only(); ch != nil {
			a.hearEnd(ch, status, r)
		}
		return string(status) == "failed"
	}
	return false
}

// hearEvent takes an event whose type is ofResponses and word. Text and
// arguments come in deltas; what says them again, with done in its name or in
// the whole answer at the end, serves only where no delta came.
func (a *answer) hearEvent(word []byte, r *response) (failed bool) {
	switch string(word) {
	case "failed":
		return true
	case "created", "queued", "in_progress": // nothing is said yet
		return false
	}
	ch := a.only()
	if ch == nil {
		return false
	}
	delta, _ := stringOf(r.delta)
	switch string(word) {
	case "output_text.delta":
		a.add(&ch.text, delta)
		ch.annotated = ch.annotated || !isEmpty(r.logprobs)
	case "output_text.annotation.added":
		ch.annotated = true
	case "refusal.delta":
		a.add(&ch.refusal, delta)
	case "function_call_arguments.delta", "custom_tool_call_input.delta":
		if call := ch.call(indexOf(r.place), nil); call != nil {
			a.add(&call.arguments, delta)
		} else {
			a.partial = true
		}
	case "output_item.added":
		a.readItem(ch, indexOf(r.place), r.item)
	case "output_item.done":
		call, _, arguments := a.readItem(ch, indexOf(r.place), r.item)
		a.fill(call, arguments)
	case "completed", "incomplete":
		a.hearEnd(ch, word, r)
	}
	return false
}

// hearEnd notes how an answer ended, in the words of chat completions, and
// reads the whole of it when nothing of it is known yet.
func (a *answer) hearEnd(ch *choice, status []byte, r *response) {
	switch string(status) {
	case "completed":
		ch.finish = "stop"
	case "incomplete":
		ch.finish = incompleteFor(r.incomplete)
	}
	if a.kept > 0 {
		return
	}
	c := cursor{b: r.output}
	if !c.enter('[') {
		return
	}
	for i := 0; c.element(']'); i++ {
		call, content, arguments := a.readItem(ch, i, c.raw())
		a.fill(call, arguments)
		a.readContent(ch, content)
	}
}

// incompleteFor returns the finish reason for an object incomplete_details.
func incompleteFor(details []byte) string {
	c := cursor{b: details}
	if !c.enter('{') {
		return "incomplete"
	}
	var reason []byte
	for c.member() {
		if string(c.key) == "reason" {
			reason, _ = stringOf(c.raw())
		} else {
			c.skip()
		}
	}
	switch string(reason) {
	case "max_output_tokens":
		return "length"
	case "":
		return "incomplete"
	}
	return noteOf(reason)
}

// readItem notes what kind of thing an item of the output is. Of a call it
// returns the call and its arguments, of a message the content.
func (a *answer) readItem(ch *choice, place int, raw []byte) (call *toolCall, content, arguments []byte) {
	c := cursor{b: raw}
	if !c.enter('{') {
		return nil, nil, nil
	}
	var kind, role, id, name []byte
	for c.member() {
		switch string(c.key) {
		case "type":
			kind = c.raw()
		case "role":
			role = c.raw()
		case "content":
			content = c.raw()
		case "call_id":
			id, _ = stringOf(c.raw())
		case "name":
			name = c.raw()
		case "arguments", "input":
			arguments = c.raw()
		default:
			c.skip()
		}
	}
	word := "function"
	switch string(kind) {
	case `"message"`:
		a.note(&ch.role, role)
		return nil, content, nil
	case `"reasoning"`:
		ch.annotated = true
		return nil, nil, nil
	case `"function_call"`:
	case `"custom_tool_call"`: // its input is no JSON
		word, ch.other = "custom", true
	default: // a call that the endpoint answers itself, such as a search
		ch.other = true
		return nil, nil, nil
	}
	if call = ch.call(place, id); call == nil {
		a.partial = true
		return nil, nil, nil
	}
	if call.ID == "" {
		call.ID = noteOf(id)
	}
	call.Type = word
	a.note(&call.Name, name)
	return call, nil, arguments
}

// fill gives a call its arguments, if no delta brought any.
func (a *answer) fill(call *toolCall, arguments []byte) {
	if call == nil || len(call.arguments.b) > 0 {
		return
	}
	if inside, ok := stringOf(arguments); ok {
		a.add(&call.arguments, inside)
	}
}

// readContent adds the parts of a message, one behind the other as the
// official clients put them together for output_text.
func (a *answer) readContent(ch *choice, raw []byte) {
	c := cursor{b: raw}
	if !c.enter('[') {
		return
	}
	for c.element(']') {
		if !c.enter('{') {
			continue
		}
		var kind, said, refusal []byte
		for c.member() {
			switch string(c.key) {
			case "type":
				kind = c.raw()
			case "text":
				said, _ = stringOf(c.raw())
			case "refusal":
				refusal, _ = stringOf(c.raw())
			case "annotations", "logprobs":
				ch.annotated = !isEmpty(c.raw()) || ch.annotated
			default:
				c.skip()
			}
		}
		switch string(kind) {
		case `"output_text"`:
			a.add(&ch.text, said)
		case `"refusal"`:
			a.add(&ch.refusal, refusal)
		default:
			ch.other = true
		}
	}
}

// only returns the one choice that an answer of the Responses API is; nil when
// nothing is kept.
func (a *answer) only() *choice {
	if a.keep <= 0 {
		return nil
	}
	at := a.choice(0)
	if at < 0 {
		a.partial = true
		return nil
	}
	return &a.choices[at]
}
