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
// all when keep is below 1. The one that is gone on with is always among them.
// It comes last, because a tool's result must follow its call; the system's
// messages that open the thread stay in front.
func window(all []interaction, keep, extends int) []*message {
	var sent, last []*message
	for i, a := range all {
		switch {
		case a.number == extends:
			opening := 0
			if i == 0 {
				opening = len(leading(a.messages))
			}
			sent = append(sent, a.messages[:opening]...)
			last = a.messages[opening:]
		case keep < 1 || i == 0 || i > len(all)-keep:
			sent = append(sent, a.messages...)
		}
	}
	return append(sent, last...)
}
