package dbtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"aigateway/db/spec"
	"aigateway/memory"
)

// start is the turn that begins a thread of its own.
func start(app string, messages ...string) *memory.Turn {
	return &memory.Turn{
		ID: uuid.NewString(), RequestID: uuid.NewString(), Thread: uuid.NewString(), App: app,
		Caller: "caller-1", Tenant: "tenant-1", User: "user-1", Endpoint: "endpoint-1",
		Start: true, Extends: -1, Messages: raw(messages...), At: base(),
	}
}

// follow is a later turn of the same thread, a second after it.
func follow(t *memory.Turn, messages ...string) *memory.Turn {
	next := *t
	next.ID, next.RequestID, next.Start, next.Extends = uuid.NewString(), uuid.NewString(), false, -1
	next.Messages, next.At = raw(messages...), t.At.Add(time.Second)
	return &next
}

// raw makes messages of texts: a text that is not JSON becomes a user's.
func raw(messages ...string) []json.RawMessage {
	var list []json.RawMessage
	for _, m := range messages {
		if !json.Valid([]byte(m)) {
			m = fmt.Sprintf(`{"role":"user","content":%q}`, m)
		}
		list = append(list, json.RawMessage(m))
	}
	return list
}

func appendTurns(t testing.TB, store memory.Store, turns ...*memory.Turn) {
	t.Helper()
	for _, turn := range turns {
		ok(t, "appending", store.Append(t.Context(), turn))
	}
}

func thread(t testing.TB, store memory.Store, of *memory.Turn, keep int) *memory.Record {
	t.Helper()
	r, err := store.Thread(t.Context(), of.App, of.Thread, keep)
	ok(t, "reading the thread", err)
	return r
}

// interaction writes one down as it should be read.
func interaction(number int, messages ...string) memory.Interaction {
	return memory.Interaction{Number: number, Messages: raw(messages...)}
}

func ids(records []*memory.Record) []string {
	list := []string{}
	for _, r := range records {
		list = append(list, r.ID)
	}
	return list
}

func runMemory(t *testing.T, open func(t *testing.T) spec.DB) {
	store := open(t).Memory()

	parallel(t, "a thread is read as it was said", func(t *testing.T) {
		first := start(anApp(), `{"role":"system","content":"s"}`, "q1", `{"role":"assistant", "content" : "a1"}`)
		second := follow(first, "q2", `{"role":"assistant","content":"a2"}`)
		second.Endpoint, second.User, second.Caller, second.Tenant = "endpoint-2", "user-2", "caller-2", "tenant-2"
		appendTurns(t, store, first, second)
		got := thread(t, store, first, 0)
		same(t, "thread", got, &memory.Record{
			ID: first.Thread, App: first.App, Caller: "caller-1", Tenant: "tenant-1", User: "user-1", Endpoint: "endpoint-2",
			Created: base(), Used: after(1),
			Interactions: []memory.Interaction{{Number: 0, Messages: first.Messages}, {Number: 1, Messages: second.Messages}},
		})
		if got.Created.Location() != time.UTC || got.Used.Location() != time.UTC {
			t.Error("times are not UTC")
		}
	})

	parallel(t, "what is not there is unknown", func(t *testing.T) {
		first := start(anApp(), "q")
		appendTurns(t, store, first)
		for name, err := range map[string]error{
			"other id":       second(store.Thread(t.Context(), first.App, uuid.NewString(), 0)),
			"other app":      second(store.Thread(t.Context(), anApp(), first.Thread, 0)),
			"not a UUID":     second(store.Thread(t.Context(), first.App, "'; --", 0)),
			"empty":          second(store.Thread(t.Context(), first.App, "", 0)),
			"odd bytes":      second(store.Thread(t.Context(), first.App, "\x00\xff", 0)),
			"append":         store.Append(t.Context(), follow(start(first.App), "q")),
			"append other":   store.Append(t.Context(), follow(&memory.Turn{App: anApp(), Thread: first.Thread}, "q")),
			"append extends": store.Append(t.Context(), &memory.Turn{ID: uuid.NewString(), App: first.App, Thread: uuid.NewString(), Messages: raw("q"), At: base()}),
		} {
			if !errors.Is(err, memory.ErrUnknown) {
				t.Errorf("%s: got %v, want ErrUnknown", name, err)
			}
		}
		same(t, "thread", thread(t, store, first, 0).Interactions, []memory.Interaction{interaction(0, "q")})
	})

	parallel(t, "one id in two applications is two threads", func(t *testing.T) {
		a := start(anApp(), "a")
		b := start(anApp(), "b")
		b.Thread = a.Thread
		appendTurns(t, store, a, b)
		same(t, "a", thread(t, store, a, 0).Interactions, []memory.Interaction{interaction(0, "a")})
		same(t, "b", thread(t, store, b, 0).Interactions, []memory.Interaction{interaction(0, "b")})
		if there, err := store.Delete(t.Context(), a.App, a.Thread); !there || err != nil {
			t.Fatalf("deleting: %v, %v", there, err)
		}
		same(t, "b after deleting a", thread(t, store, b, 0).Interactions, []memory.Interaction{interaction(0, "b")})
	})

	parallel(t, "a turn is added once", func(t *testing.T) {
		first := start(anApp(), "q1")
		second := follow(first, "q2")
		again := *second
		again.At, again.Messages, again.Endpoint = after(100), raw("other"), "other"
		appendTurns(t, store, first, first, second, first, second, &again)
		got := thread(t, store, first, 0)
		same(t, "interactions", got.Interactions, []memory.Interaction{interaction(0, "q1"), interaction(1, "q2")})
		same(t, "used", got.Used, after(1))
		same(t, "endpoint", got.Endpoint, "endpoint-1")
	})

	parallel(t, "the same turn from many at once is added once", func(t *testing.T) {
		first := start(anApp(), "q1")
		second := follow(first, "q2")
		for _, turn := range []*memory.Turn{first, second} {
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					if err := store.Append(t.Context(), turn); err != nil {
						t.Errorf("appending: %v", err)
					}
				})
			}
			wg.Wait()
		}
		same(t, "interactions", thread(t, store, first, 0).Interactions, []memory.Interaction{interaction(0, "q1"), interaction(1, "q2")})
	})

	parallel(t, "a turn may extend an interaction", func(t *testing.T) {
		first := start(anApp(), "q1", `{"role":"assistant","tool_calls":[]}`)
		second := follow(first, "q2")
		tool := follow(second, `{"role":"tool","content":"42"}`, `{"role":"assistant","content":"a1"}`)
		tool.Extends = 0
		third := follow(tool, "q3")
		appendTurns(t, store, first, second, tool, third)
		same(t, "interactions", thread(t, store, first, 0).Interactions, []memory.Interaction{
			interaction(0, "q1", `{"role":"assistant","tool_calls":[]}`, `{"role":"tool","content":"42"}`, `{"role":"assistant","content":"a1"}`),
			interaction(1, "q2"),
			interaction(2, "q3"),
		})
	})

	parallel(t, "turns at once are all kept, in an order", func(t *testing.T) {
		const turns = 20
		first := start(anApp(), "first")
		appendTurns(t, store, first)
		var wg sync.WaitGroup
		for i := range turns {
			wg.Go(func() {
				if err := store.Append(t.Context(), follow(first, fmt.Sprint("question ", i), fmt.Sprint("answer ", i))); err != nil {
					t.Errorf("appending: %v", err)
				}
			})
		}
		wg.Wait()
		got := thread(t, store, first, 0).Interactions
		if len(got) != turns+1 {
			t.Fatalf("%d interactions, want %d", len(got), turns+1)
		}
		seen := map[string]bool{}
		for i, x := range got {
			if x.Number != i {
				t.Errorf("interaction at %d has number %d", i, x.Number)
			}
			seen[string(x.Messages[0])] = true
		}
		if len(seen) != turns+1 {
			t.Errorf("%d different interactions, want %d", len(seen), turns+1)
		}
	})

	parallel(t, "a turn that is not the latest does not move the last use back", func(t *testing.T) {
		first := start(anApp(), "q1")
		late := follow(first, "q2")
		late.At = after(-100)
		appendTurns(t, store, first, late)
		same(t, "used", thread(t, store, first, 0).Used, base())
	})

	parallel(t, "delete tells whether it was there, and ends the thread", func(t *testing.T) {
		first := start(anApp(), "q1")
		appendTurns(t, store, first, follow(first, "q2"))
		if there, err := store.Delete(t.Context(), anApp(), first.Thread); there || err != nil {
			t.Errorf("of another application: %v, %v", there, err)
		}
		for _, want := range []bool{true, false} {
			if got, err := store.Delete(t.Context(), first.App, first.Thread); got != want || err != nil {
				t.Errorf("got %v, %v, want %v", got, err, want)
			}
		}
		if _, err := store.Thread(t.Context(), first.App, first.Thread, 0); !errors.Is(err, memory.ErrUnknown) {
			t.Errorf("reading: got %v, want ErrUnknown", err)
		}
		if err := store.Append(t.Context(), follow(first, "q3")); !errors.Is(err, memory.ErrUnknown) {
			t.Errorf("appending: got %v, want ErrUnknown", err)
		}
	})

	parallel(t, "a list has the latest used first", func(t *testing.T) {
		app, user := anApp(), "user-"+uuid.NewString()
		var want []string
		for i := range 4 {
			turn := start(app, "q")
			turn.User, turn.At = user, after(i)
			appendTurns(t, store, turn)
			want = append([]string{turn.Thread}, want...)
		}
		foreign, elsewhere := start(app, "q"), start(anApp(), "q")
		foreign.At = after(-1)
		elsewhere.User, elsewhere.At = user, after(100)
		appendTurns(t, store, foreign, elsewhere)
		for _, c := range []struct {
			what, app, user string
			limit           int
			want            []string
		}{
			{"app and user", app, user, 10, want},
			{"limit", app, user, 2, want[:2]},
			{"app", app, "", 10, append(want[:4:4], foreign.Thread)},
			{"user", "", user, 10, append([]string{elsewhere.Thread}, want...)},
			{"nobody", app, "nobody", 10, []string{}},
		} {
			got, err := store.List(t.Context(), c.app, c.user, c.limit)
			ok(t, "listing", err)
			same(t, c.what, ids(got), c.want)
		}
		got, err := store.List(t.Context(), "", "", 3)
		ok(t, "listing", err)
		same(t, "any", len(got), 3)
		got, err = store.List(t.Context(), foreign.App, foreign.User, 1)
		ok(t, "listing", err)
		same(t, "listed", got, []*memory.Record{{
			ID: foreign.Thread, App: app, Caller: "caller-1", Tenant: "tenant-1", User: "user-1", Endpoint: "endpoint-1", Created: after(-1), Used: after(-1),
		}})
	})

	parallel(t, "erase takes all of a user and no more", func(t *testing.T) {
		app, other, user := anApp(), anApp(), "user-"+uuid.NewString()
		var turns []*memory.Turn
		for _, in := range []string{app, app, other} {
			turn := start(in, "q")
			turn.User = user
			turns = append(turns, turn)
		}
		appendTurns(t, store, turns...)
		bystander := start(app, "q")
		appendTurns(t, store, bystander)
		for _, c := range []struct {
			app, user string
			want      int
		}{{app, "nobody", 0}, {app, "", 0}, {app, user, 2}, {app, user, 0}, {"", user, 1}, {"", user, 0}} {
			got, err := store.Erase(t.Context(), c.app, c.user)
			ok(t, "erasing", err)
			same(t, "erased", got, c.want)
		}
		same(t, "bystander", len(thread(t, store, bystander, 0).Interactions), 1)
	})

	parallel(t, "expire counts from the last use and keeps the time itself", func(t *testing.T) {
		app := anApp()
		old, used, at, foreign := start(app, "q"), start(app, "q"), start(app, "q"), start(anApp(), "q")
		old.At, used.At, foreign.At = base().Add(-time.Microsecond), after(-3600), after(-3600)
		later := follow(used, "q2")
		later.At = after(5)
		appendTurns(t, store, old, used, later, at, foreign)
		for _, want := range []int{1, 0} {
			got, err := store.Expire(t.Context(), app, base(), 10)
			ok(t, "expiring", err)
			same(t, "expired", got, want)
		}
		left, err := store.List(t.Context(), app, "", 10)
		ok(t, "listing", err)
		same(t, "left", ids(left), []string{used.Thread, at.Thread})
		same(t, "other application", len(thread(t, store, foreign, 0).Interactions), 1)
		for _, want := range []int{1, 1, 0} {
			got, err := store.Expire(t.Context(), app, after(60), 1)
			ok(t, "expiring", err)
			same(t, "expired", got, want)
		}
	})

	parallel(t, "odd texts and messages are kept", func(t *testing.T) {
		for _, text := range oddTexts() {
			turn := start(anApp(), "q")
			turn.User, turn.Caller, turn.Tenant, turn.Endpoint, turn.RequestID = text, text, text, text, text
			appendTurns(t, store, turn)
			got := thread(t, store, turn, 0)
			for name, field := range map[string]string{"user": got.User, "caller": got.Caller, "tenant": got.Tenant, "endpoint": got.Endpoint} {
				same(t, name, legible(field), legible(text))
			}
		}
		turn := start(anApp(), oddJSON()...)
		turn.Messages = append(turn.Messages, notUTF8())
		appendTurns(t, store, turn)
		got := thread(t, store, turn, 0).Interactions
		if len(got) != 1 || len(got[0].Messages) != len(turn.Messages) {
			t.Fatalf("%d interactions, want 1 of %d messages", len(got), len(turn.Messages))
		}
		for i, m := range got[0].Messages {
			sameJSON(t, fmt.Sprint("message ", i), m, turn.Messages[i])
		}
	})

	parallel(t, "an ended context changes nothing", func(t *testing.T) {
		first := start(anApp(), "q1")
		appendTurns(t, store, first)
		for name, err := range map[string]error{
			"Thread": second(store.Thread(ended(), first.App, first.Thread, 0)),
			"Append": store.Append(ended(), follow(first, "q2")),
			"Delete": second(store.Delete(ended(), first.App, first.Thread)),
			"List":   second(store.List(ended(), first.App, "", 1)),
			"Erase":  second(store.Erase(ended(), first.App, "user-1")),
			"Expire": second(store.Expire(ended(), first.App, after(60), 1)),
		} {
			if err == nil || errors.Is(err, memory.ErrUnknown) {
				t.Errorf("%s: got %v, want an error about the context", name, err)
			}
		}
		same(t, "interactions", thread(t, store, first, 0).Interactions, []memory.Interaction{interaction(0, "q1")})
	})
}
