package memory

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestWindowDropsTheOldestUntilItFitsButNeverTheFirst(t *testing.T) {
	// Each message counts its content's length.
	count := func(m []byte) int {
		var v struct{ Content string }
		if err := json.Unmarshal(m, &v); err != nil {
			t.Fatal(err)
		}
		return len(v.Content)
	}
	said := func(number int, lengths ...int) interaction {
		a := interaction{number: number}
		for _, n := range lengths {
			raw := fmt.Sprintf(`{"role":"user","content":%q}`, strings.Repeat("x", n))
			a.messages = append(a.messages, &message{raw: json.RawMessage(raw), role: "user"})
		}
		return a
	}
	rapid.Check(t, func(rt *rapid.T) {
		var all []interaction
		for i := range rapid.IntRange(1, 8).Draw(rt, "interactions") {
			all = append(all, said(i, rapid.IntRange(0, 100).Draw(rt, "a"), rapid.IntRange(0, 100).Draw(rt, "b")))
		}
		extends := rapid.IntRange(-1, len(all)-1).Draw(rt, "extends")
		asked := said(0, rapid.IntRange(0, 50).Draw(rt, "asked"), 10).messages
		b := &Budget{Prompt: rapid.IntRange(-10, 1000).Draw(rt, "prompt"), Request: 60, Count: count}
		fresh := asked[rapid.IntRange(0, 1).Draw(rt, "resent"):]

		sum := func(ms []*message) (n int) {
			for _, m := range ms {
				n += count(m.raw)
			}
			return n
		}
		room := b.Prompt - (b.Request - sum(asked) + sum(fresh))
		got := window(all, 0, extends, b.room(asked, fresh))

		// The longest end of the list that fits with what is always sent.
		var want []interaction
		for from := 1; from <= len(all); from++ {
			want = []interaction{all[0]}
			total := sum(all[0].messages)
			for i := 1; i < len(all); i++ {
				if i >= from || all[i].number == extends {
					want = append(want, all[i])
					total += sum(all[i].messages)
				}
			}
			if total <= room {
				break
			}
		}
		n := 0
		for _, a := range want {
			n += len(a.messages)
		}
		if len(got) != n {
			rt.Fatalf("%d messages are sent of %d, want %d", len(got), 2*len(all), n)
		}
		sent := map[*message]bool{}
		for _, m := range got {
			sent[m] = true
		}
		for _, a := range want {
			for _, m := range a.messages {
				if !sent[m] {
					rt.Fatalf("interaction %d is left out", a.number)
				}
			}
		}
	})
}

func TestShortConversationsAreNotCounted(t *testing.T) {
	all := []interaction{{0, messagesOf([]json.RawMessage{[]byte(`{"role":"user","content":"a"}`)})}, {1, messagesOf([]json.RawMessage{[]byte(`{"role":"user","content":"b"}`)})}}
	b := &Budget{Prompt: 1000, Request: 10, Count: func([]byte) int { t.Error("counted"); return 0 }}
	if got := window(all, 0, -1, b.room(nil, nil)); len(got) != 2 {
		t.Errorf("got %d messages", len(got))
	}
}
