package openai

import "bytes"

// Bounds on what one answer may make us keep apart from its text; OpenAI
// allows 128 choices and 128 tools in a request.
const (
	maxChoices   = 128
	maxToolCalls = 128
	maxNote      = 1024 // bytes of an id, a model, a role, a finish reason
)

// answer gathers what an endpoint says, from one body or from the events of a
// stream.
type answer struct {
	keep    int // bytes of text and arguments to keep; 0 keeps none
	kept    int
	partial bool // Completion.Truncated

	id, model   string
	fingerprint string // system_fingerprint
	created     int64
	usage       Usage
	// stale: text has come since usage was reported, so that it is not that of
	// the whole answer. usageNow: the event being read reports some.
	stale, usageNow bool
	unread          int64  // bytes of events that were too long to be read
	tail            []byte // the last of one that has not ended
	choices         []choice
	responses       bool    // events of the Responses API have come
	like            pattern // of events, when several are read
}

// choice is what was gathered of a Choice.
type choice struct {
	index         int
	role, finish  string
	text, refusal text
	calls         []toolCall
	other         bool
	annotated     bool // as other, but beside the message
}

type toolCall struct {
	ToolCall
	arguments text
}

// event is what one JSON text of an answer turned out to be.
type event struct {
	valid     bool // a JSON object
	failed    bool // it reports an error
	content   bool // it carries something that a reader would miss
	usageOnly bool // it reports usage, and has no choices
}

// read takes one JSON text: a chunk of a stream, or a whole body.
func (a *answer) read(data []byte) event {
	kept := a.kept
	if inside, ok := a.like.match(data); ok {
		a.add(&a.choices[a.like.choice].text, inside)
		a.stale = a.stale || a.kept > kept && a.usage.Reported
		return event{valid: true, content: true}
	}
	a.like.begin()
	a.usageNow = false
	c := cursor{b: data}
	if !c.enter('{') {
		a.partial = true
		return event{content: true}
	}
	var e event
	var r response
	hasChoices, count, said, usage, prompt := false, 0, false, false, false
	for c.member() {
		switch string(c.key) {
		case "choices":
			if hasChoices = c.enter('['); hasChoices {
				for c.element(']') {
					count++
					said = a.readChoice(&c) || said
				}
			}
		case "usage":
			usage = a.readUsage(&c) || usage
		case "error":
			raw := c.raw()
			_, isString := stringOf(raw)
			e.failed = isString || len(raw) > 0 && raw[0] == '{'
			a.like.unfit = a.like.unfit || e.failed
		case "id":
			a.note(&a.id, c.raw())
		case "model":
			a.note(&a.model, c.raw())
		case "system_fingerprint":
			a.note(&a.fingerprint, c.raw())
		case "created":
			a.noteCreated(c.raw())
		case "prompt_filter_results":
			prompt = true
			c.skip()
		case "obfuscation": // padding of random length, against listeners
			if inside, ok := stringOf(c.raw()); ok {
				a.like.add(hole{from: c.i - 1 - len(inside), to: c.i - 1})
			}
		case "response":
			a.readResponse(&c, &r)
		default:
			r.take(&c)
		}
	}
	e.valid = c.end()
	if e.valid && a.hear(&r) {
		e.failed, a.like.unfit = true, true
	}
	a.like.unfit = a.like.unfit || !e.valid
	a.partial = a.partial || !e.valid
	a.like.end(data)
	if a.usageNow {
		a.stale = false
	} else if a.kept > kept && a.usage.Reported {
		a.stale = true
	}
	e.usageOnly = e.valid && count == 0 && usage
	quiet := hasChoices && !usage && (count > 0 && !said || count == 0 && prompt)
	e.content = !e.valid || !quiet
	return e
}

// readUsage reports whether the value is an object.
func (a *answer) readUsage(c *cursor) bool {
	raw := c.raw()
	if len(raw) == 0 || raw[0] != '{' {
		return false
	}
	a.like.unfit = true
	if u := parseUsage(raw); u.Reported { // what says nothing undoes nothing
		a.usage, a.usageNow = u, true
	}
	return true
}

// longTail is how much of a long event's end is searched for its usage, which
// stands behind what makes it long.
const longTail = 4 << 10

// long takes a piece of an event that is too long to be read. At its end it
// looks for the usage: the Responses API tells it in an event that repeats the
// whole answer.
func (a *answer) long(piece []byte, ends bool) {
	a.unread += int64(len(piece))
	a.tail = append(a.tail[max(0, len(a.tail)-longTail):], piece[max(0, len(piece)-longTail):]...)
	if !ends {
		return
	}
	const name = `"usage":`
	if at := bytes.LastIndex(a.tail, []byte(name)); at > 0 && a.tail[at-1] != '\\' { // a quote in a text has one before it
		c := cursor{b: a.tail, i: at + len(name)}
		if a.readUsage(&c) {
			a.stale = false
		}
	}
	a.tail = nil
}

// reported is the usage of the whole answer, as far as the endpoint told it.
func (a *answer) reported() Usage {
	if a.stale {
		return Usage{}
	}
	return a.usage
}

// readChoice reads one element of choices and reports whether it says
// anything: more than who is speaking.
func (a *answer) readChoice(c *cursor) (said bool) {
	if !c.enter('{') {
		return true
	}
	var index, finish, logprobs []byte
	var message, plainText span
	for c.member() {
		switch string(c.key) {
		case "index":
			index = c.raw()
		case "finish_reason":
			finish = c.raw()
		case "logprobs":
			logprobs = c.raw()
		case "delta", "message":
			message = c.span()
		case "text":
			plainText = c.span()
		default:
			c.skip()
		}
	}
	n, _ := countOf(index)
	at := a.choice(int(n))
	if at < 0 || c.bad {
		a.partial = true
		return true
	}
	ch := &a.choices[at]
	ch.annotated = ch.annotated || !isEmpty(logprobs)
	reason, ended := stringOf(finish)
	if ended {
		a.like.unfit = true
		ch.finish = noteOf(reason)
	}
	said = message.to == plainText.to // neither: a filter's report
	if message.to > 0 {
		said = a.readMessage(at, cursor{b: c.b[:message.to], i: message.from})
	}
	if inside, ok := stringOf(c.b[plainText.from:plainText.to]); ok {
		a.addText(at, inside, plainText.to)
		said = true
	}
	return said || ended
}

// readMessage reads a delta or a message and reports whether it says
// anything: a member that is neither the role nor empty.
func (a *answer) readMessage(at int, c cursor) (said bool) {
	ch := &a.choices[at]
	if !c.enter('{') {
		return false
	}
	for c.member() {
		name, value := c.key, c.raw()
		if isEmpty(value) {
			continue
		}
		inside, isString := stringOf(value)
		switch string(name) {
		case "role":
			a.note(&ch.role, value)
			continue
		case "content":
			if isString {
				a.addText(at, inside, c.i)
			} else {
				ch.other = true
			}
		case "refusal":
			a.like.unfit = true
			a.add(&ch.refusal, inside)
		case "tool_calls":
			a.like.unfit = true
			a.readToolCalls(ch, value)
		case "audio", "function_call":
			ch.other = true
		case "context", "annotations":
			ch.annotated = true
		}
		said = true
	}
	return said
}

// addText adds to the text of the choice at a position a string that ends,
// with its quote, at end.
func (a *answer) addText(at int, inside []byte, end int) {
	a.like.choice = at
	a.like.add(hole{from: end - 1 - len(inside), to: end - 1, text: true})
	a.add(&a.choices[at].text, inside)
}

// isEmpty reports that a value is null, "", [] or {}, as endpoints write them.
func isEmpty(raw []byte) bool {
	switch string(raw) {
	case "", "null", `""`, "[]", "{}":
		return true
	}
	return false
}

// readToolCalls joins the parts of tool calls, which a stream tells apart by
// their index. Some servers give none: then an id begins a new call.
func (a *answer) readToolCalls(ch *choice, raw []byte) {
	c := cursor{b: raw}
	if !c.enter('[') {
		return
	}
	for c.element(']') {
		if !c.enter('{') {
			continue
		}
		var index, id, kind, function []byte
		for c.member() {
			switch string(c.key) {
			case "index":
				index = c.raw()
			case "id":
				id, _ = stringOf(c.raw())
			case "type":
				kind = c.raw()
			case "function":
				function = c.raw()
			case "custom":
				ch.other = true
				c.skip()
			default:
				c.skip()
			}
		}
		call := ch.call(indexOf(index), id)
		if call == nil {
			a.partial = true
			continue
		}
		if call.ID == "" {
			call.ID = noteOf(id)
		}
		a.note(&call.Type, kind)
		f := cursor{b: function}
		if !f.enter('{') {
			continue
		}
		for f.member() {
			switch name, value := f.key, f.raw(); string(name) {
			case "name":
				a.note(&call.Name, value)
			case "arguments":
				if inside, ok := stringOf(value); ok {
					a.add(&call.arguments, inside)
				}
			}
		}
	}
}

// choice returns the position in choices of the one with that index, -1 when
// there are too many.
func (a *answer) choice(index int) int {
	for i := range a.choices {
		if a.choices[i].index == index {
			return i
		}
	}
	if len(a.choices) == maxChoices {
		return -1
	}
	a.choices = append(a.choices, choice{index: index})
	return len(a.choices) - 1
}

// call returns the tool call that a part belongs to, nil when there are too
// many. An index below 0 stands for none.
func (ch *choice) call(index int, id []byte) *toolCall {
	at := len(ch.calls)
	if index >= 0 {
		at = index
		for i := range ch.calls {
			if ch.calls[i].Index == at {
				return &ch.calls[i]
			}
		}
	} else if at > 0 && (len(id) == 0 || ch.calls[at-1].ID == string(id)) {
		return &ch.calls[at-1]
	}
	if len(ch.calls) == maxToolCalls {
		return nil
	}
	ch.calls = append(ch.calls, toolCall{ToolCall: ToolCall{Index: at}})
	return &ch.calls[len(ch.calls)-1]
}

// indexOf returns an index, -1 when there is none.
func indexOf(raw []byte) int {
	if n, ok := countOf(raw); ok {
		return int(n)
	}
	return -1
}

// add appends to t what there is room for.
func (a *answer) add(t *text, inside []byte) {
	if a.kept >= a.keep {
		a.partial = a.partial || len(inside) > 0
		t.high = 0
		return
	}
	// No more than six bytes stand for one, so this is more than enough.
	inside = inside[:min(len(inside), 6*(a.keep-a.kept)+12)]
	before := len(t.b)
	t.add(inside)
	a.kept += len(t.b) - before
	if over := a.kept - a.keep; over > 0 {
		t.cut(over)
		a.kept, a.partial = a.keep, true
	}
}

// note keeps the first string given for a fact.
func (a *answer) note(fact *string, raw []byte) {
	if *fact != "" {
		return
	}
	if inside, ok := stringOf(raw); ok {
		*fact = noteOf(inside)
	}
}

// noteCreated keeps the first time given, in Unix seconds.
func (a *answer) noteCreated(raw []byte) {
	if n, ok := countOf(raw); ok && a.created == 0 {
		a.created = n
	}
}

// noteOf decodes a short string; of a long one it keeps the beginning.
func noteOf(inside []byte) string {
	var t text
	t.add(inside[:min(len(inside), maxNote)])
	return t.String()
}

// finished reports that there are choices and each has ended.
func (a *answer) finished() bool {
	for i := range a.choices {
		if a.choices[i].finish == "" {
			return false
		}
	}
	return len(a.choices) > 0
}

// firstText returns how many bytes of the text of choice 0 are kept.
func (a *answer) firstText() int {
	for i := range a.choices {
		if a.choices[i].index == 0 {
			return len(a.choices[i].text.b)
		}
	}
	return 0
}

// completion returns what was gathered so far.
func (a *answer) completion() *Completion {
	done := &Completion{
		Model: a.model, ID: a.id, Created: a.created, SystemFingerprint: a.fingerprint,
		Usage: a.reported(), Truncated: a.partial, Unread: a.unread,
		Choices: make([]Choice, len(a.choices)),
	}
	for i := range a.choices {
		ch := &a.choices[i]
		out := &done.Choices[i]
		*out = Choice{
			Index: ch.index, Role: ch.role, FinishReason: ch.finish,
			Other: ch.other || ch.annotated, Annotated: ch.annotated && !ch.other,
			Text: ch.text.String(), Refusal: ch.refusal.String(),
		}
		for j := range ch.calls {
			call := ch.calls[j].ToolCall
			call.Arguments = ch.calls[j].arguments.String()
			out.ToolCalls = append(out.ToolCalls, call)
		}
		if ch.index == 0 {
			done.FinishReason = ch.finish
		}
	}
	return done
}
