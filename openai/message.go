package openai

import "encoding/json"

// Messages returns the elements of messages, nil when there are none. They
// share the body's bytes and must not be changed; a later edit of r leaves
// them as they are.
func (r *Request) Messages() [][]byte {
	c := cursor{b: r.Raw("messages")}
	if !r.HasMessages || !c.enter('[') {
		return nil
	}
	var list [][]byte
	for c.element(']') {
		list = append(list, c.raw())
	}
	return list
}

// Message returns what the assistant said in choice 0, to be sent back among
// the messages of a later request. It is false when there is no such choice,
// and when not all of it is here: the answer broke off, more came than was to
// be kept, or it had a part that is not kept (Choice.Other, but for Annotated).
func (c *Completion) Message() (json.RawMessage, bool) {
	if !c.Whole || c.Truncated {
		return nil, false
	}
	for i := range c.Choices {
		ch := &c.Choices[i]
		if ch.Index != 0 {
			continue
		}
		if ch.Other && !ch.Annotated {
			return nil, false
		}
		return ch.appendMessage(make([]byte, 0, c.room())), true
	}
	return nil, false
}

// MessageOf returns the same of an answer that was not streamed, as a copy. Of
// the message of choice 0 it keeps, in the bytes that they came in, the values
// of the members that a message of a request may have: role, content, name,
// refusal, tool_calls, function_call, and of audio the id. Empty ones are left
// out, because endpoints refuse them (null in place of a list, no calls at
// all); content is always there. It is false when body has no such message, and
// when ParseRequest would refuse it.
func MessageOf(body []byte) (json.RawMessage, bool) {
	said := firstMessage(body)
	if said == nil {
		return nil, false
	}
	b := make([]byte, 0, len(said)+32)
	role, content, more := false, false, false
	c := cursor{b: said, i: 1}
	for c.member() {
		name, value := c.key, c.raw()
		switch string(name) {
		case "role":
			role = true
		case "content":
			if content = string(value) != "null"; !content {
				continue
			}
		case "name", "refusal", "tool_calls", "function_call":
			if isEmpty(value) {
				continue
			}
			more = more || string(name) != "name"
		case "audio":
			id := memberOf(value, "id")
			if id == nil {
				continue
			}
			b = append(b, `,"audio":{"id":`...)
			b = append(append(b, id...), '}')
			more = true
			continue
		default:
			continue
		}
		b = append(append(append(b, `,"`...), name...), `":`...)
		b = append(b, value...)
	}
	if !role {
		b = append(b, `,"role":"assistant"`...)
	}
	switch {
	case content:
	case more:
		b = append(b, `,"content":null`...)
	default: // endpoints refuse a message that says nothing, but not an empty text
		b = append(b, `,"content":""`...)
	}
	b[0] = '{'
	b = append(b, '}')
	return b, !c.bad && isMessage(b)
}

// firstMessage returns the message of the first choice that has the index 0 or
// none, nil when it is not an object.
func firstMessage(body []byte) []byte {
	c := cursor{b: memberOf(body, "choices")}
	if !c.enter('[') {
		return nil
	}
	for c.element(']') {
		choice := c.raw()
		if index := memberOf(choice, "index"); index != nil && string(index) != "0" {
			continue
		}
		if said := memberOf(choice, "message"); len(said) > 0 && said[0] == '{' {
			return said
		}
		return nil
	}
	return nil
}

// memberOf returns the value of a member of an object, nil when there is none.
func memberOf(object []byte, name string) []byte {
	c := cursor{b: object}
	if !c.enter('{') {
		return nil
	}
	for c.member() {
		if string(c.key) == name {
			return c.raw()
		}
		c.skip()
	}
	return nil
}

// isMessage reports that ParseRequest would take b as an element of messages.
func isMessage(b []byte) bool {
	s := scanners.Get().(*scanner)
	defer s.release()
	s.b = b
	const depth = 2 // of messages in a body
	if _, end, k := s.document(depth, shapeMessage); end >= 0 {
		s.checkMessage(k)
		return s.fault == nil
	}
	return false
}
