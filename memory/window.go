package memory

import (
	"slices"

	"github.com/tidwall/gjson"
)

// interaction is a stored interaction, parsed.
type interaction struct {
	number   int
	messages []*message
}

func parse(all []Interaction) []interaction {
	list := make([]interaction, len(all))
	for i, a := range all {
		list[i] = interaction{a.Number, messagesOf(a.Messages)}
	}
	return list
}

// flatten returns the messages of a thread, and the position of the first
// behind a gap in their interactions, or 0.
func flatten(all []interaction) (ms []*message, gap int) {
	for i, a := range all {
		if i > 0 && a.number > all[i-1].number+1 && gap == 0 {
			gap = len(ms)
		}
		ms = append(ms, a.messages...)
	}
	return ms, gap
}

// extended returns the number of the interaction that new messages go on with:
// the one whose tool call they answer, or the latest. -1 when they are one of
// their own.
func extended(fresh []*message, all []interaction) int {
	asks := slices.ContainsFunc(fresh, func(m *message) bool { return m.role == "user" })
	first := slices.IndexFunc(fresh, func(m *message) bool { return !m.instructs() })
	answers := first >= 0 && fresh[first].result()
	if len(all) == 0 || asks && !answers {
		return -1
	}
	if answers {
		call := gjson.GetBytes(fresh[first].raw, "tool_call_id").String()
		for _, a := range slices.Backward(all) {
			if call != "" && slices.ContainsFunc(a.messages, func(m *message) bool { return m.calls(call) }) {
				return a.number
			}
		}
	}
	return all[len(all)-1].number
}

// window returns the messages of the first interaction and the latest keep-1,
// all when keep is below 1, as far as they fit. The one that is gone on with is
// always among them. It comes last, because a tool's result must follow its
// call; the system's messages that open the thread stay in front.
func window(all []interaction, keep, extends int, room *room) []*message {
	var kept []interaction
	for i, a := range all {
		if keep < 1 || i == 0 || i > len(all)-keep || a.number == extends {
			kept = append(kept, a)
		}
	}
	var sent, last []*message
	for i, a := range room.fit(kept, extends) {
		if a.number != extends {
			sent = append(sent, a.messages...)
			continue
		}
		opening := 0
		if i == 0 {
			opening = len(leading(a.messages))
		}
		sent = append(sent, a.messages[:opening]...)
		last = a.messages[opening:]
	}
	return append(sent, last...)
}

// Budget bounds what is sent of a conversation, in tokens.
type Budget struct {
	// Prompt is the most that the prompt may have.
	Prompt int
	// Request is what the request has as it came.
	Request int
	// Count counts a message: at most a token for each of its bytes and some for
	// the message.
	Count func(message []byte) int
}

// messageTokens is above what any model counts for a message beside its text.
const messageTokens = 8

// room is what a budget leaves for what was said before.
type room struct {
	tokens int
	count  func(message []byte) int
}

// room is what is left when of the request's messages only the fresh ones are
// sent; nil when nothing is bounded.
func (b *Budget) room(asked, fresh []*message) *room {
	if b == nil {
		return nil
	}
	r := &room{b.Prompt - b.Request, b.Count}
	if len(asked) > len(fresh) {
		r.tokens += r.sum(asked) - r.sum(fresh)
	}
	return r
}

func (r *room) sum(ms []*message) (n int) {
	for _, m := range ms {
		n += r.count(m.raw)
	}
	return n
}

// fit leaves out the oldest interactions until the others fit, never the
// first, nor the one that is gone on with. What cannot fit is sent as it is:
// the endpoint says what is wrong with it.
func (r *room) fit(all []interaction, extends int) []interaction {
	if r == nil || len(all) < 2 {
		return all
	}
	bytes := 0
	for _, a := range all {
		for _, m := range a.messages {
			bytes += len(m.raw) + messageTokens
		}
	}
	if bytes <= r.tokens { // so it need not be counted
		return all
	}
	left := r.tokens - r.sum(all[0].messages)
	for i, a := range all[1:] {
		if a.number == extends {
			left -= r.sum(all[1+i].messages)
		}
	}
	from := len(all)
	for ; from > 1; from-- {
		if all[from-1].number == extends {
			continue
		}
		if left -= r.sum(all[from-1].messages); left < 0 {
			break
		}
	}
	kept := []interaction{all[0]}
	for i, a := range all[1:] {
		if 1+i >= from || a.number == extends {
			kept = append(kept, a)
		}
	}
	return kept
}
