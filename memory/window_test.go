package memory

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// A system's message and a question first, then a question each turn: the
// endpoint is sent 2c+2 messages in the end, the system's, the first question,
// its answer, the latest c-1 pairs and the new question.
func TestWindowIsTheFirstInteractionAndTheLatest(t *testing.T) {
	for keep := range 6 {
		c := &talk{t: t, m: NewThreads(newFakeStore(), Options{}).For(Settings{App: "app", Keep: keep})}
		c.turn("a: 0", "s: x", "u: 0")
		for turn := 1; turn < 12; turn++ {
			got := c.turn(fmt.Sprintf("a: %d", turn), fmt.Sprintf("u: %d", turn))
			want := l("s: x", "u: 0", "a: 0")
			from := 1
			if keep > 0 {
				from = max(1, turn-keep+1)
			}
			for i := from; i < turn; i++ {
				want = append(want, fmt.Sprintf("u: %d", i), fmt.Sprintf("a: %d", i))
			}
			want = append(want, fmt.Sprintf("u: %d", turn))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("keep %d, turn %d: (-want +got)\n%s", keep, turn, diff)
			}
			if keep > 0 && turn >= keep && len(got) != 2*keep+2 {
				t.Fatalf("keep %d, turn %d: %d messages", keep, turn, len(got))
			}
		}
	}
}

func TestToolResultsExtendTheInteractionTheyAnswer(t *testing.T) {
	for _, keep := range []int{0, 1, 2, 3} {
		store := newFakeStore()
		c := &talk{t: t, m: NewThreads(store, Options{}).For(Settings{App: "app", Keep: keep})}
		c.turn("a: 0", "s: x", "u: 0")
		c.turn(asks("c1", "c2"), "u: 1")
		c.turn(asks("c3"), "t: c1 4", "t: c2 5")
		got := c.turn("a: 1", "t: c3 6")
		want := l("s: x", "u: 0", "a: 0", "u: 1", asks("c1", "c2"), one("t: c1 4"), one("t: c2 5"), asks("c3"), one("t: c3 6"))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("keep %d: (-want +got)\n%s", keep, diff)
		}
		if n := len(store.threads[thread{"app", c.id}].Interactions); n != 2 {
			t.Errorf("keep %d: %d interactions, want 2", keep, n)
		}
	}
}

// Two turns at once: the tool's result that belongs to the first follows its
// call, although the second came in between.
func TestToolResultFollowsItsCallWhateverCameBetween(t *testing.T) {
	for _, tt := range []struct{ first, want []string }{
		{l("s: x", "u: 0"), l("s: x", "u: 1", "a: 1", "u: 0", asks("c"), one("t: c 4"))},
		{l("u: 0"), l("u: 1", "a: 1", "u: 0", asks("c"), one("t: c 4"))},
	} {
		c := &talk{t: t, m: NewThreads(newFakeStore(), Options{}).For(Settings{App: "app"})}
		c.turn(asks("c"), tt.first...)
		c.turn("a: 1", "u: 1")
		got := c.turn("a: 2", "t: c 4")
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		got = c.turn("a: 3", "u: 3")
		want := slices.Concat(tt.first, l(asks("c"), one("t: c 4"), "a: 2", "u: 1", "a: 1", "u: 3"))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("then (-want +got)\n%s", diff)
		}
	}
}

func TestQuestionAfterAToolResultStaysWithTheCall(t *testing.T) {
	store := newFakeStore()
	c := &talk{t: t, m: NewThreads(store, Options{}).For(Settings{App: "app", Keep: 2})}
	c.turn("a: 0", "u: 0")
	c.turn(asks("c"), "u: 1")
	c.turn("a: 2", "t: c 4", "u: 2")
	if got := store.threads[thread{"app", c.id}].Interactions; len(got) != 2 || len(got[1].Messages) != 5 {
		t.Errorf("interactions: %+v", got)
	}
}

func TestWindowNeverSplitsNorExceeds(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		keep := rapid.IntRange(-1, 5).Draw(rt, "keep")
		var all []interaction
		number, text := 0, 0
		for range rapid.IntRange(1, 8).Draw(rt, "interactions") {
			a := interaction{number: number}
			for range rapid.IntRange(1, 4).Draw(rt, "messages") {
				a.messages = append(a.messages, &message{role: "user", at: text})
				text++
			}
			all = append(all, a)
			number += rapid.IntRange(1, 3).Draw(rt, "step")
		}
		extends := -1
		if rapid.Bool().Draw(rt, "extends") {
			extends = rapid.SampledFrom(all).Draw(rt, "which").number
		}
		in := map[*message]bool{}
		for _, m := range window(all, keep, extends, nil) {
			if in[m] {
				rt.Fatal("a message is sent twice")
			}
			in[m] = true
		}
		whole := 0
		for i, a := range all {
			here := 0
			for _, m := range a.messages {
				if in[m] {
					here++
				}
			}
			if here != 0 && here != len(a.messages) {
				rt.Fatalf("%d of %d messages of interaction %d", here, len(a.messages), a.number)
			}
			if here == 0 && (i == 0 || a.number == extends || keep < 1) {
				rt.Fatalf("interaction %d is left out", a.number)
			}
			if here > 0 {
				whole++
			}
		}
		switch limit := keep; {
		case keep < 1 && whole != len(all), keep > 0 && extends < 0 && whole != min(limit, len(all)), keep > 0 && whole > limit+1:
			rt.Fatalf("%d interactions of %d, keep %d", whole, len(all), keep)
		}
	})
}
