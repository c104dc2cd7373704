package dbtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"aigateway/db/spec"
	"aigateway/openai"
	"aigateway/persist"
)

// record is one with every member set.
func record(app string, at time.Time) *persist.Record {
	return &persist.Record{
		ID: uuid.NewString(),
		Exchange: persist.Exchange{
			RequestID: uuid.NewString(), App: app, Caller: "caller-1", Tenant: "tenant-1", User: "user-1",
			Thread: uuid.NewString(), Own: true, Operation: "chat", Model: "gpt-4o", Answered: "gpt-4o-2024-08-06", Call: "keywordApiCalls", Stream: true,
			Start: at, Duration: 1234 * time.Millisecond, FirstByte: 56 * time.Millisecond,
			Status: 200, Code: "some_code", Aborted: true, Cut: true, Cached: true, CacheScore: 0.9375, Cache: "hit", CacheWhy: "semantic",
			Attempts: []persist.Attempt{
				{
					Endpoint: 2, ID: "endpoint-2", Status: 429, Fault: "reset", Start: at.Add(time.Millisecond), Duration: 7 * time.Millisecond, FirstByte: 6 * time.Millisecond,
					Told: persist.Told{Region: "West Europe", RequestID: "apim-1", RemainingRequests: "0", RemainingTokens: "12", Took: "5"},
				},
				{Endpoint: 0, ID: "endpoint-0", Fault: "dial", Start: at.Add(9 * time.Millisecond), Duration: time.Second},
			},
			Usage: openai.Usage{
				Reported: true, PromptTokens: 11, CompletionTokens: 1 << 40, TotalTokens: 1<<40 + 11, CachedTokens: 3, ReasoningTokens: 4, Estimated: true,
			},
			Saved: openai.Usage{
				Reported: true, PromptTokens: 1, CompletionTokens: 1<<60 + 1, TotalTokens: 3, CachedTokens: 4, ReasoningTokens: 5, Estimated: true,
			},
			Priced: "gpt-4o", Cost: 1<<60 + 3, SavedCost: 1<<60 + 5, Limit: "limit-1", LimitOver: "watched",
			FinishReason: "stop", BytesIn: 1 << 33, BytesOut: 77,
		},
		Prompt:     json.RawMessage(`{"messages":[ {"role":"user"} ], "n":1.50}`),
		Completion: json.RawMessage(`{"choices":[]}`),
	}
}

// wantWhole fails when a member that is to be stored has its zero value: one
// that was added, and that record does not know yet.
func wantWhole(t *testing.T, path string, v reflect.Value) {
	t.Helper()
	if v.IsZero() {
		t.Fatalf("%s is not set: say what it is to be", path)
	}
	switch {
	case v.Kind() == reflect.Slice:
		wantWhole(t, path, v.Index(0))
	case v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[time.Time]():
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.Tag.Get("json") != "-" {
				wantWhole(t, path+"."+f.Name, v.Field(i))
			}
		}
	}
}

func insert(t testing.TB, store persist.Store, records ...*persist.Record) {
	t.Helper()
	rejected, err := store.Insert(t.Context(), records)
	ok(t, "inserting", err)
	if len(rejected) > 0 {
		t.Fatalf("rejected %v", rejected)
	}
}

// anybodys means the records of a request, whoever's they are.
func anybodys(app, requestID string) persist.Ref {
	return persist.Ref{App: app, RequestID: requestID, Any: true}
}

// own means what a caller without a tenant has of a request.
func own(app, requestID, caller string) persist.Ref {
	return persist.Ref{App: app, RequestID: requestID, Caller: caller}
}

func read(t testing.TB, store persist.Store, app, requestID string) *persist.Record {
	t.Helper()
	r, err := store.Record(t.Context(), anybodys(app, requestID))
	ok(t, "reading", err)
	return r
}

func runPersist(t *testing.T, open func(t *testing.T) spec.DB) {
	store := open(t).Prompts()

	parallel(t, "a record is read as it was written", func(t *testing.T) {
		whole := record(anApp(), base())
		wantWhole(t, "Exchange", reflect.ValueOf(whole.Exchange))
		plain := &persist.Record{ID: uuid.NewString(), Exchange: persist.Exchange{RequestID: "r", App: anApp(), Start: base()}}
		insert(t, store, whole, plain)
		for _, want := range []*persist.Record{whole, plain} {
			got := read(t, store, want.App, want.RequestID)
			same(t, "record", got, want)
			if got.Start.Location() != time.UTC {
				t.Error("times are not UTC")
			}
		}
		if got := read(t, store, plain.App, "r"); got.Prompt != nil || got.Completion != nil {
			t.Errorf("what was not kept is %q and %q, want nil", got.Prompt, got.Completion)
		}
	})

	parallel(t, "what is not there is not found", func(t *testing.T) {
		r := record(anApp(), base())
		insert(t, store, r)
		for name, err := range map[string]error{
			"other id":       second(store.Record(t.Context(), anybodys(r.App, "other"))),
			"other app":      second(store.Record(t.Context(), anybodys(anApp(), r.RequestID))),
			"odd bytes":      second(store.Record(t.Context(), anybodys(r.App, "\x00\xff"))),
			"long":           second(store.Record(t.Context(), anybodys(r.App, strings.Repeat("x", 100_000)))),
			"vote":           store.Vote(t.Context(), persist.Vote{Ref: anybodys(r.App, "other"), At: base()}),
			"vote other app": store.Vote(t.Context(), persist.Vote{Ref: anybodys(anApp(), r.RequestID), At: base()}),
			"vote odd bytes": store.Vote(t.Context(), persist.Vote{Ref: anybodys(r.App, "\x00\xff"), At: base()}),
		} {
			if !errors.Is(err, persist.ErrNotFound) {
				t.Errorf("%s: got %v, want ErrNotFound", name, err)
			}
		}
	})

	parallel(t, "a record that is there is passed over", func(t *testing.T) {
		r, other := record(anApp(), base()), record(anApp(), base())
		insert(t, store, r)
		again := *r
		again.Status = 500
		insert(t, store, &again, other, &again, other)
		insert(t, store, &again)
		same(t, "record", read(t, store, r.App, r.RequestID), r)
		same(t, "other of the batch", read(t, store, other.App, other.RequestID), other)
	})

	parallel(t, "of a repeated request id the latest is read", func(t *testing.T) {
		app := anApp()
		middle, latest, earliest := record(app, after(1)), record(app, after(2)), record(app, after(-86400*30))
		middle.RequestID, latest.RequestID, earliest.RequestID = "r", "r", "r"
		insert(t, store, middle, latest, earliest)
		same(t, "record", read(t, store, app, "r"), latest)
	})

	parallel(t, "nothing is a batch too", func(t *testing.T) { insert(t, store) })

	parallel(t, "a large batch over many weeks", func(t *testing.T) {
		app := anApp()
		var batch []*persist.Record
		for i := range 500 {
			batch = append(batch, record(app, base().Add(time.Duration(i)*13*time.Hour)))
		}
		batch = append(batch,
			record(app, time.Date(1999, 12, 31, 23, 59, 59, 0, time.UTC)),
			record(app, time.Date(2099, 1, 1, 0, 0, 0, 0, time.FixedZone("", -11*3600))))
		insert(t, store, batch...)
		for _, want := range batch {
			got := read(t, store, app, want.RequestID)
			if !got.Start.Equal(want.Start) || got.ID != want.ID {
				t.Fatalf("of %v: got id %v, start %v", want.Start, got.ID, got.Start)
			}
		}
	})

	parallel(t, "many insert at once", func(t *testing.T) {
		app := anApp()
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				for j := range 5 {
					r := record(app, time.Date(2031, 1, 1+7*j, 0, 0, i, 0, time.UTC))
					r.RequestID = fmt.Sprint(i, "-", j)
					if rejected, err := store.Insert(t.Context(), []*persist.Record{r}); err != nil || len(rejected) > 0 {
						t.Errorf("inserting: %v, %v", rejected, err)
					}
				}
			})
		}
		wg.Wait()
		for i := range 10 {
			for j := range 5 {
				read(t, store, app, fmt.Sprint(i, "-", j))
			}
		}
	})

	parallel(t, "of a repeated request id everybody reads their own", func(t *testing.T) {
		app := anApp()
		of := func(second int, caller, tenant string) *persist.Record {
			r := record(app, after(second))
			r.RequestID, r.Caller, r.Tenant = "r", caller, tenant
			return r
		}
		first, a, b, nobodys, elsewhere := of(1, "a", ""), of(2, "a", ""), of(3, "b", ""), of(4, "", ""), of(5, "a", "t")
		insert(t, store, elsewhere, first, a, b, nobodys)
		for _, want := range []*persist.Record{a, b, nobodys, elsewhere} {
			got, err := store.Record(t.Context(), persist.Ref{App: app, RequestID: "r", Caller: want.Caller, Tenant: want.Tenant})
			ok(t, "reading", err)
			same(t, "record", got, want)
		}
		same(t, "the latest", read(t, store, app, "r"), elsewhere)
		for _, stranger := range []persist.Ref{own(app, "r", "c"), {App: app, RequestID: "r", Caller: "b", Tenant: "t"}, {App: app, RequestID: "r", Tenant: "t"}} {
			if _, err := store.Record(t.Context(), stranger); !errors.Is(err, persist.ErrNotFound) {
				t.Errorf("%+v reads %v, want ErrNotFound", stranger, err)
			}
			if err := store.Vote(t.Context(), persist.Vote{Ref: stranger, At: base()}); !errors.Is(err, persist.ErrNotFound) {
				t.Errorf("%+v votes: %v, want ErrNotFound", stranger, err)
			}
		}
	})

	parallel(t, "one vote of a caller counts, the last", func(t *testing.T) {
		app := anApp()
		a, b, open := record(app, base()), record(app, after(1)), record(app, after(2))
		for caller, r := range map[string]*persist.Record{"a": a, "b": b, "": open} {
			r.RequestID, r.Caller, r.Tenant = "r", caller, ""
		}
		other := record(app, base())
		insert(t, store, a, b, open, other)
		type votes [3][2]int // up and down, of a's record, b's and nobody's
		for _, step := range []struct {
			ref  persist.Ref
			up   bool
			want votes
		}{
			{own(app, "r", "a"), true, votes{{1, 0}, {0, 0}, {0, 0}}},
			{own(app, "r", "a"), true, votes{{1, 0}, {0, 0}, {0, 0}}},
			{own(app, "r", "b"), true, votes{{1, 0}, {1, 0}, {0, 0}}},
			{anybodys(app, "r"), false, votes{{1, 1}, {1, 1}, {0, 1}}},
			{own(app, "r", "a"), false, votes{{0, 2}, {1, 1}, {0, 1}}},
			{own(app, "r", ""), true, votes{{1, 1}, {2, 0}, {1, 0}}},
		} {
			ok(t, "voting", store.Vote(t.Context(), persist.Vote{Ref: step.ref, Up: step.up, At: base()}))
			var got votes
			for i, caller := range []string{"a", "b", ""} {
				r, err := store.Record(t.Context(), own(app, "r", caller))
				ok(t, "reading", err)
				got[i] = [2]int{r.Up, r.Down}
			}
			same(t, fmt.Sprintf("after %+v", step), got, step.want)
		}
		same(t, "other record", read(t, store, app, other.RequestID), other)
	})

	parallel(t, "odd texts and bodies are kept", func(t *testing.T) {
		for _, text := range oddTexts() {
			r := record(anApp(), base())
			r.Caller, r.Tenant, r.User, r.Thread, r.Operation = text, text, text, text, text
			r.Model, r.Answered, r.Call, r.Code, r.FinishReason, r.Priced, r.Limit = text, text, text, text, text, text, text
			r.Attempts[0].ID, r.Attempts[0].Fault, r.Attempts[0].Told.Region = text, text, text
			insert(t, store, r)
			got := read(t, store, r.App, r.RequestID)
			for name, field := range map[string]string{
				"caller": got.Caller, "tenant": got.Tenant, "user": got.User, "thread": got.Thread, "operation": got.Operation,
				"model": got.Model, "call": got.Call, "code": got.Code, "finish": got.FinishReason,
				"answered": got.Answered, "priced": got.Priced, "limit": got.Limit,
				"endpoint": got.Attempts[0].ID, "fault": got.Attempts[0].Fault, "region": got.Attempts[0].Told.Region,
			} {
				same(t, name, legible(field), legible(text))
			}
		}
		for _, body := range append(oddJSON(), string(notUTF8()), "null", `"text"`, "[]") {
			r := record(anApp(), base())
			r.Prompt, r.Completion = json.RawMessage(body), json.RawMessage(body)
			insert(t, store, r)
			got := read(t, store, r.App, r.RequestID)
			sameJSON(t, "prompt", got.Prompt, r.Prompt)
			sameJSON(t, "completion", got.Completion, r.Completion)
		}
	})

	parallel(t, "a record that cannot be stored does not hold up the others", func(t *testing.T) {
		app := anApp()
		var batch []*persist.Record
		for range 9 {
			batch = append(batch, record(app, base()))
		}
		batch[4].Prompt = json.RawMessage(`{"cut off`)
		rejected, err := store.Insert(t.Context(), batch)
		ok(t, "inserting", err)
		if len(rejected) > 1 || len(rejected) == 1 && rejected[0] != 4 {
			t.Fatalf("rejected %v, want [4] or none", rejected)
		}
		for i, r := range batch {
			_, err := store.Record(t.Context(), anybodys(app, r.RequestID))
			if stored := err == nil; stored == (i == 4 && len(rejected) == 1) {
				t.Errorf("record %d: stored is %v, rejected %v", i, stored, rejected)
			}
		}
	})

	parallel(t, "an ended context changes nothing", func(t *testing.T) {
		r := record(anApp(), base())
		insert(t, store, r)
		next := record(r.App, base())
		for name, err := range map[string]error{
			"Insert": second(store.Insert(ended(), []*persist.Record{next})),
			"Record": second(store.Record(ended(), anybodys(r.App, r.RequestID))),
			"Vote":   store.Vote(ended(), persist.Vote{Ref: anybodys(r.App, r.RequestID), Up: true, At: base()}),
			"Expire": third(store.Expire(ended(), base().Add(time.Microsecond), 1)),
		} {
			if err == nil || errors.Is(err, persist.ErrNotFound) {
				t.Errorf("%s: got %v, want an error about the context", name, err)
			}
		}
		same(t, "record", read(t, store, r.App, r.RequestID), r)
		if _, err := store.Record(t.Context(), anybodys(next.App, next.RequestID)); !errors.Is(err, persist.ErrNotFound) {
			t.Errorf("the record of the ended context: %v, want ErrNotFound", err)
		}
	})
}

func third[T, U any](_ T, _ U, err error) error { return err }
