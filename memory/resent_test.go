package memory

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"aigateway/openai"
)

// Each case is a thread, the messages of the next request, and those that are
// new among them. "|" ends a turn; "..." stands for turns that the window has
// dropped.
func TestResentMessagesAreNotTakenTwice(t *testing.T) {
	for _, tt := range []struct {
		name                string
		stored, asked, want []string
	}{
		{"only the new", l("u: 1", "a: 2"), l("u: 3"), l("u: 3")},
		{"everything again", l("s: x", "u: 1", "a: 2", "|", "u: 3", "a: 4"), l("s: x", "u: 1", "a: 2", "u: 3", "a: 4", "u: 5"), l("u: 5")},
		{"the same question again", l("u: 1", "a: 2"), l("u: 1"), l("u: 1")},
		{"the same question again, after everything", l("u: 1", "a: 2"), l("u: 1", "a: 2", "u: 1"), l("u: 1")},
		{"a tail", l("u: 1", "a: 2", "|", "u: 3", "a: 4"), l("u: 3", "a: 4", "u: 5"), l("u: 5")},
		{"a tail that begins with an answer", l("u: 1", "a: 2", "|", "u: 3", "a: 4"), l("a: 4", "u: 5"), l("u: 5")},
		{"the front and a tail", l("s: x", "u: 1", "a: 2", "|", "u: 3", "a: 4", "|", "u: 5", "a: 6"), l("s: x", "u: 1", "a: 2", "u: 5", "a: 6", "u: 7"), l("u: 7")},
		{"turns that the window dropped", l("u: 1", "a: 2", "|", "...", "u: 5", "a: 6"), l("u: 1", "a: 2", "u: 3", "a: 4", "u: 5", "a: 6", "u: 7"), l("u: 7")},
		{"turns that the window dropped, without the first", l("u: 1", "a: 2", "|", "...", "u: 5", "a: 6"), l("u: 3", "a: 4", "u: 5", "a: 6", "u: 7"), l("u: 7")},
		{"a turn unlike any, and none dropped", l("u: 1", "a: 2", "|", "u: 5", "a: 6"), l("u: 3", "a: 4", "u: 5", "a: 6", "u: 7"), l("u: 3", "a: 4", "u: 5", "a: 6", "u: 7")},
		{"a last answer that the client edited", l("u: 1", "a: 2", "|", "u: 3", "a: 4"), l("u: 1", "a: 2", "u: 3", "a: edited", "u: 5"), l("u: 3", "a: edited", "u: 5")},
		{"an answer in the middle that the client edited", l("u: 1", "a: 2", "|", "u: 3", "a: 4"), l("u: 1", "a: edited", "u: 3", "a: 4", "u: 5"), l("u: 1", "a: edited", "u: 3", "a: 4", "u: 5")},
		{"an edited answer behind dropped turns", l("u: 1", "a: 2", "|", "...", "u: 5", "a: 6", "|", "u: 7", "a: 8"), l("u: 1", "a: 2", "u: 3", "a: 4", "u: 5", "a: edited", "u: 7", "a: 8", "u: 9"), l("u: 3", "a: 4", "u: 5", "a: edited", "u: 7", "a: 8", "u: 9")},
		{"another question in place of the last", l("u: 1", "a: 2", "|", "u: 3", "a: 4"), l("u: 1", "a: 2", "u: other"), l("u: other")},
		{"another answer wanted to the last question", l("u: 1", "a: 2", "|", "u: 3", "a: 4"), l("u: 1", "a: 2", "u: 3"), l("u: 3")},
		{"examples that are new", l("u: 1", "a: 2"), l("u: ex", "a: ample", "u: 3"), l("u: ex", "a: ample", "u: 3")},
		{"examples sent each time", l("s: x", "u: ex", "a: ample", "u: 1", "a: 2"), l("s: x", "u: ex", "a: ample", "u: 3"), l("u: 3")},
		{"a new question with an old answer", l("u: 1", "a: ok"), l("u: new", "a: ok", "u: 3"), l("u: new", "a: ok", "u: 3")},
		{"two messages of one turn", l("u: 1", "u: 2", "a: 3"), l("u: 1", "u: 2", "a: 3", "u: 4", "u: 5"), l("u: 4", "u: 5")},
		{"a turn of somebody else in between", l("u: 1", "a: 2", "|", "u: theirs", "a: t", "|", "u: 3", "a: 4"), l("u: 1", "a: 2", "u: 3", "a: 4", "u: 5"), l("u: 5")},
		{"equal turns", l("u: 1", "a: ok", "|", "u: 1", "a: ok"), l("u: 1", "a: ok", "u: 1", "a: ok", "u: 1"), l("u: 1")},
		{"equal turns beyond those stored", l("u: 1", "a: ok"), l("u: 1", "a: ok", "u: 1", "a: ok", "u: 1"), l("u: 1", "a: ok", "u: 1")},
		{"an answer without its white space", l("u: 1", "a: 2\n\n", "|", "u: 3", "a: \n4"), l("u: 1", "a: 2", "u: 3", "a: 4", "u: 5"), l("u: 5")},
		{"white space around all", l("s: x", "u: 1", "a: 2"), l("s: x\n", "u: 1 ", "a: 2 ", "u: 5 "), l("u: 5 ")},
		{"nothing new", l("u: 1", "a: 2"), l("u: 1", "a: 2"), nil},
		{"nothing but the system's message", l("s: x", "u: 1", "a: 2"), l("s: x"), nil},

		{"a tool's result", l("u: 1", asks("c")), l("t: c 4"), l("t: c 4")},
		{"a tool's result after everything", l("u: 1", asks("c")), l("u: 1", asks("c"), "t: c 4"), l("t: c 4")},
		{"a tool's result after the call", l("u: 1", asks("c")), l(asks("c"), "t: c 4"), l("t: c 4")},
		{"one result of two", l("u: 1", asks("c", "d"), "t: c 4"), l("u: 1", asks("c", "d"), "t: c 4", "t: d 5"), l("t: d 5")},
		{"another result of a call", l("u: 1", asks("c"), "t: c 4", "a: 2"), l("u: 1", asks("c"), "t: c 5"), l("u: 1", asks("c"), "t: c 5")},

		{"the system's message with what is new", l("s: x", "u: 1", "a: 2"), l("s: x", "u: 3"), l("u: 3")},
		{"another system's message", l("s: x", "u: 1", "a: 2"), l("s: y", "u: 3"), l("s: y", "u: 3")},
		{"another system's message before everything", l("s: x", "u: 1", "a: 2"), l("s: y", "u: 1", "a: 2", "u: 3"), l("s: y", "u: 3")},
		{"a system's message that changed before", l("s: x", "u: 1", "a: 2", "|", "s: y", "u: 3", "a: 4"), l("s: y", "u: 1", "a: 2", "u: 3", "a: 4", "u: 5"), l("u: 5")},
		{"a system's message that changes back", l("s: x", "u: 1", "a: 2", "|", "s: y", "u: 3", "a: 4"), l("s: x", "u: 5"), l("s: x", "u: 5")},
		{"a first system's message", l("u: 1", "a: 2"), l("s: x", "u: 3"), l("s: x", "u: 3")},
		{"the second of two changes", l("s: x", "s: y", "u: 1", "a: 2"), l("s: x", "s: z", "u: 1", "a: 2", "u: 3"), l("s: z", "u: 3")},
		{"the second of two has changed before", l("s: x", "s: y", "u: 1", "a: 2", "|", "s: z", "u: 3", "a: 4"), l("s: x", "s: z", "u: 5"), l("u: 5")},
		{"a developer's message", l("d: x", "u: 1", "a: 2"), l("d: x", "u: 3"), l("u: 3")},
		{"a system's message before the question", l("u: 1", "a: 2"), l("u: 1", "a: 2", "s: y", "u: 3"), l("s: y", "u: 3")},
		{"an old system's message in the middle", l("u: 1", "a: 2", "|", "s: y", "u: 3", "a: 4"), l("u: 1", "a: 2", "s: y", "u: 3", "a: 4", "u: 5"), l("u: 5")},
		{"a new system's message in the middle", l("u: 1", "a: 2", "|", "u: 3", "a: 4"), l("u: 1", "a: 2", "s: y", "u: 3", "a: 4", "u: 5"), l("s: y", "u: 5")},
	} {
		var all []interaction
		var now []string
		number := 0
		for _, s := range append(tt.stored, "|") {
			switch s {
			case "...":
				number += 3
			case "|":
				all = append(all, interaction{number, messagesOf(rawsOf(now))})
				now = nil
				number++
			default:
				now = append(now, s)
			}
		}
		var got []string
		for _, m := range unsaid(messagesOf(rawsOf(tt.asked)), all) {
			got = append(got, string(m.raw))
		}
		if diff := cmp.Diff(encoded(tt.want), encoded(got)); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", tt.name, diff)
		}
	}
}

func l(s ...string) []string { return s }

func rawsOf(messages []string) [][]byte {
	var raws [][]byte
	for _, m := range messages {
		raws = append(raws, []byte(one(m)))
	}
	return raws
}

func TestNothingNewIsRefused(t *testing.T) {
	c := &talk{t: t, m: NewThreads(newFakeStore(), Options{}).For(Settings{App: "app"})}
	c.turn("a: 2", "u: 1")
	req := request(t, "u: 1", "a: 2")
	before := string(req.Bytes())
	_, err := c.m.Expand(t.Context(), c.id, Owner{}, req, nil)
	var nothing *NothingNew
	if !errors.As(err, &nothing) || string(req.Bytes()) != before {
		t.Errorf("error %v, request %s", err, req.Bytes())
	}
}

// Whatever a client sends again, the endpoint sees the same.
func TestEveryClientReachesTheEndpointWithTheSame(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		// Few words: questions and answers are often equal.
		word := rapid.SampledFrom([]string{"ok", "yes", "more", "why"})
		set := Settings{App: "app", Keep: rapid.IntRange(0, 4).Draw(rt, "keep")}
		clients := map[string]*talk{}
		for _, name := range []string{"only the new", "new with the system's", "everything", "a tail", "a tail with the system's", "parts"} {
			clients[name] = &talk{t: t, m: NewThreads(newFakeStore(), Options{}).For(set)}
		}
		var history []string // the client's own, without the system's
		call := 0
		for turn := range rapid.IntRange(1, 9).Draw(rt, "turns") {
			var fresh []string
			if n := len(history); n > 0 && history[n-1][0] == '{' {
				fresh = append(fresh, fmt.Sprintf("t: c%d %s", call, word.Draw(rt, "result")))
			} else {
				for range rapid.IntRange(1, 2).Draw(rt, "questions") {
					fresh = append(fresh, "u: "+word.Draw(rt, "question"))
				}
			}
			answer := "a: " + word.Draw(rt, "answer")
			if rapid.IntRange(0, 3).Draw(rt, "asks") == 0 {
				call++
				answer = asks(fmt.Sprintf("c%d", call))
			}
			cut := rapid.IntRange(0, len(history)).Draw(rt, "cut")
			all := slices.Concat(l("s: be kind"), history, fresh)
			tail := slices.Concat(history[cut:], fresh)

			seen := map[string][]string{}
			for name, c := range clients {
				send := fresh
				switch {
				case turn == 0 || name == "everything":
					send = all
				case name == "new with the system's":
					send = append(l("s: be kind"), fresh...)
				case name == "a tail":
					send = tail
				case name == "a tail with the system's":
					send = append(l("s: be kind"), tail...)
				case name == "parts":
					send = parts(all[:len(all)-len(fresh)], fresh)
				}
				seen[name] = c.turn(answer, send...)
			}
			for name, got := range seen {
				if diff := cmp.Diff(seen["only the new"], got); diff != "" {
					rt.Fatalf("turn %d: the client that sends %s (-only the new, +it)\n%s", turn, name, diff)
				}
			}
			history = append(append(history, fresh...), answer)
		}
	})
}

// parts returns messages as a client may have them that makes text parts of
// texts; the new ones as they are.
func parts(old, fresh []string) []string {
	var out []string
	for _, m := range old {
		if m[0] != '{' && m[0] != 't' {
			role := map[byte]string{'s': "system", 'u': "user", 'a': "assistant"}[m[0]]
			m = fmt.Sprintf(`{"content":[{"text":%q,"type":"text"}],"role":%q}`, m[3:], role)
		}
		out = append(out, m)
	}
	return append(out, fresh...)
}

func TestResentMessagesAreSoughtBehindABoundedNumberOfNewRounds(t *testing.T) {
	for _, tt := range []struct{ rounds, want int }{{maxEnds - 2, 2*maxEnds - 3}, {maxEnds - 1, 2*maxEnds + 1}} {
		asked := l("u: 1", "a: 2")
		for range tt.rounds {
			asked = append(asked, "u: new", "a: new")
		}
		asked = append(asked, "u: last")
		stored := []interaction{{0, messagesOf(rawsOf(l("u: 1", "a: 2")))}}
		if got := len(unsaid(messagesOf(rawsOf(asked)), stored)); got != tt.want {
			t.Errorf("%d rounds: %d messages are new, want %d", tt.rounds, got, tt.want)
		}
	}
}

// Very many messages may be stored, and sent again. The work grows with their
// number, not with its square: with that it would not end before the tests'
// time is up.
func TestWorkOnResentMessagesGrowsWithTheirNumber(t *testing.T) {
	const many = 300_000
	raw := func(messages ...string) [][]byte { return rawsOf(messages) }
	var rules [][]byte
	for i := range many {
		rules = append(rules, fmt.Appendf(nil, `{"role":"system","content":"%d"}`, i))
	}
	changes, questions := slices.Repeat(raw("s: new", "u: 1"), many), slices.Repeat(raw("u: 1"), many)
	for _, tt := range []struct {
		name          string
		stored, asked [][]byte
		want          int
	}{
		{"system's messages in the middle", slices.Concat(raw("u: 1"), rules, raw("a: 2")), slices.Concat(raw("u: 1"), rules, raw("a: 2", "u: 3")), 1},
		{"system's messages that change one by one", slices.Concat(rules, changes, raw("a: 2")), slices.Concat(rules, raw("s: new", "u: 3")), 1},
		{"nearly equal rounds", slices.Concat(questions, raw("a: 2")), slices.Concat(questions, raw("a: other", "u: 3")), many + 2},
	} {
		stored := []interaction{{0, messagesOf(tt.stored)}}
		if got := len(unsaid(messagesOf(tt.asked), stored)); got != tt.want {
			t.Errorf("%s: %d messages are new, want %d", tt.name, got, tt.want)
		}
	}
}

func TestOverlapIsTheLongest(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		words := rapid.SliceOfN(rapid.SampledFrom([]string{"u: x", "u: y"}), 1, 8)
		o, b := block(messagesOf(rawsOf(words.Draw(rt, "o")))), block(messagesOf(rawsOf(words.Draw(rt, "b"))))
		want := min(len(o), len(b))
		for !same(o[len(o)-want:], b[:want]) {
			want--
		}
		if got := overlap(o, b, borders(b)); got != want {
			rt.Errorf("%d, want %d", got, want)
		}
	})
}

func TestMoreMessagesThanCanBeComparedAreRefused(t *testing.T) {
	m := NewThreads(newFakeStore(), Options{}).For(Settings{App: "app"})
	c := &talk{t: t, m: m}
	many := slices.Repeat(l("u: 1"), maxMessages+1)
	c.turn("a: 2", many...) // the first turn is compared with nothing
	for n, refused := range map[int]bool{maxMessages: false, maxMessages + 1: true} {
		req := request(t, many[:n]...)
		before := string(req.Bytes())
		_, err := m.Expand(t.Context(), c.id, Owner{}, req, nil)
		var bad *openai.RequestError
		if errors.As(err, &bad) != refused || !refused && err != nil {
			t.Errorf("%d messages: %v", n, err)
		}
		if refused && (bad.Param != "messages" || string(req.Bytes()) != before) {
			t.Errorf("parameter %q, or the request has changed", bad.Param)
		}
	}
}

func TestAnswerIsStoredWithItsWhiteSpace(t *testing.T) {
	c := &talk{t: t, m: NewThreads(newFakeStore(), Options{}).For(Settings{App: "app"})}
	c.turn("a: 2\n", "u: 1")
	got := c.turn("a: 4", "u: 1", "a: 2", "u: 3")
	if diff := cmp.Diff(l("u: 1", "a: 2\n", "u: 3"), got); diff != "" {
		t.Errorf("the endpoint sees (-want +got)\n%s", diff)
	}
}
