package dbtest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"aigateway/db/spec"
	"aigateway/memory"
)

func runWindow(t *testing.T, open func(t *testing.T) spec.DB) {
	store := open(t).Memory()

	numbers := func(r *memory.Record) []int {
		list := []int{}
		for _, x := range r.Interactions {
			list = append(list, x.Number)
		}
		return list
	}

	parallel(t, "appending keeps the first and the latest", func(t *testing.T) {
		for _, c := range []struct {
			keep int
			want []int
		}{
			{-1, []int{0, 1, 2, 3, 4, 5}},
			{0, []int{0, 1, 2, 3, 4, 5}},
			{1, []int{0}},
			{2, []int{0, 5}},
			{3, []int{0, 4, 5}},
			{6, []int{0, 1, 2, 3, 4, 5}},
			{100, []int{0, 1, 2, 3, 4, 5}},
		} {
			first := start(anApp(), "0")
			first.Keep = c.keep
			appendTurns(t, store, first)
			for i := range 5 {
				appendTurns(t, store, follow(first, fmt.Sprint(i+1)))
			}
			same(t, fmt.Sprint("keep ", c.keep), numbers(thread(t, store, first, 0)), c.want)
		}
	})

	parallel(t, "reading narrower than stored changes nothing stored", func(t *testing.T) {
		first := start(anApp(), "0")
		appendTurns(t, store, first)
		for i := range 5 {
			appendTurns(t, store, follow(first, fmt.Sprint(i+1)))
		}
		for _, c := range []struct {
			keep int
			want []int
		}{{1, []int{0}}, {2, []int{0, 5}}, {4, []int{0, 3, 4, 5}}, {9, []int{0, 1, 2, 3, 4, 5}}, {-3, []int{0, 1, 2, 3, 4, 5}}} {
			same(t, fmt.Sprint("keep ", c.keep), numbers(thread(t, store, first, c.keep)), c.want)
		}
	})

	parallel(t, "a number is never given twice", func(t *testing.T) {
		first := start(anApp(), "0")
		first.Keep = 1
		appendTurns(t, store, first, follow(first, "1"), follow(first, "2"))
		last := follow(first, "3")
		last.Keep = 0
		appendTurns(t, store, last)
		same(t, "numbers", numbers(thread(t, store, first, 0)), []int{0, 3})
	})

	parallel(t, "the window is that of a plain list", func(t *testing.T) {
		rapid.Check(t, func(rt *rapid.T) { checkWindow(rt, store) })
	})
}

// checkWindow appends random turns and compares what is stored with a model
// that is a list.
func checkWindow(t *rapid.T, store memory.Store) {
	ctx := t.Context()
	first := start(anApp(), "opening")
	var model []memory.Interaction
	next := 0
	window := func(keep int) []memory.Interaction {
		if keep < 1 || len(model) <= keep {
			return model
		}
		return slices.Concat(model[:1], model[len(model)-keep+1:])
	}
	for i := range rapid.IntRange(1, 8).Draw(t, "turns") {
		turn := follow(first, fmt.Sprint("said ", i), fmt.Sprint("answered ", i))
		turn.Start = i == 0
		turn.Keep = rapid.IntRange(0, 4).Draw(t, "keep")
		if i > 0 && rapid.IntRange(0, 3).Draw(t, "tool") == 0 {
			at := rapid.IntRange(0, len(model)-1).Draw(t, "extends")
			turn.Extends = model[at].Number
			model = slices.Clone(model)
			model[at].Messages = slices.Concat(model[at].Messages, turn.Messages)
		} else {
			model = append(slices.Clone(model), memory.Interaction{Number: next, Messages: turn.Messages})
			next++
		}
		model = window(turn.Keep)
		for range rapid.IntRange(1, 2).Draw(t, "tries") {
			if err := store.Append(ctx, turn); err != nil {
				t.Fatalf("appending: %v", err)
			}
			if turn.Keep == 1 && turn.Extends < 0 {
				break // it is gone at once, so that a second try would be new
			}
		}
		keep := rapid.IntRange(0, 5).Draw(t, "read")
		got, err := store.Thread(ctx, first.App, first.Thread, keep)
		if err != nil {
			t.Fatalf("reading: %v", err)
		}
		if diff := cmp.Diff(window(keep), got.Interactions); diff != "" {
			t.Fatalf("turn %d, read with %d (-want +got):\n%s", i, keep, diff)
		}
	}
}
