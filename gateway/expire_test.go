package gateway_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/tidwall/gjson"

	"aigateway/cache"
	"aigateway/db/spec"
	"aigateway/memory"
	"aigateway/persist"
)

// expired is how many rows the invalidators deleted.
type expired struct{ Entries, Threads, Prompts int }

// expire runs all invalidators once.
func (k *keeping) expire() (n expired) {
	k.t.Helper()
	var faults [3]error
	n.Entries, faults[0] = k.server.ExpireCache(k.t.Context(), nil)
	n.Threads, faults[1] = k.server.ExpireMemory(k.t.Context(), nil)
	n.Prompts, faults[2] = k.server.ExpirePrompts(k.t.Context(), nil)
	for _, err := range faults {
		if err != nil {
			k.t.Errorf("deleting what has expired: %v", err)
		}
	}
	return n
}

// expiring is a configuration in which everything of the application bot
// expires after a time; "" is never.
func expiring(after string) string {
	expiry, retention := "", ""
	if after != "" {
		expiry, retention = `,"entryExpiry":"`+after+`"`, `"persist":{"retention":"`+after+`"},`
	}
	return `{` + retention + `"applications":[` + embedApp + `,` + chatApp("bot",
		`"cacheSettings":{"useCache":true,"searchDistance":0.9`+expiry+`},"memorySettings":{"useMemory":true`+expiry+`},`, "gpt-4o") + `]}`
}

func TestWhatCanBeReadIsNotDeletedAndTheRestIs(t *testing.T) {
	for _, c := range []struct {
		past    time.Duration // beyond the hour
		read    bool
		deleted expired
	}{
		{-time.Microsecond, true, expired{}},
		{0, true, expired{}},
		{time.Microsecond, false, expired{1, 1, 1}},
		{time.Second, false, expired{1, 1, 1}},
	} {
		t.Run(c.past.String(), func(t *testing.T) {
			onBothStores(t, func(t *testing.T, db spec.DB) {
				k := newKeepingOn(t, db, expiring("1 hour"))
				begun := time.Now().Truncate(time.Second).Add(123457 * time.Microsecond)
				k.freeze(begun)
				question := ask("", "What is a hat?")
				_, h, _ := k.post("/lb/bot", question)
				thread := h.Get("X-Thread-Id")
				k.idle()
				k.entries("bot", 1)

				k.freeze(begun.Add(time.Hour + c.past))
				_, h, _ = k.post("/lb/bot", question, "Cache-Control", "no-store", "X-Request-Id", "again")
				if hit := h.Get("X-Cache") == "hit"; hit != c.read {
					t.Errorf("the entry answers: %v, want %v", hit, c.read)
				}
				k.idle()
				if status, _, _ := k.get("/sessions/bot/" + thread); (status == http.StatusOK) != c.read {
					t.Errorf("the conversation is read with %d, want it there: %v", status, c.read)
				}
				if diff := cmp.Diff(c.deleted, k.expire()); diff != "" {
					t.Errorf("deleted (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(expired{}, k.expire()); diff != "" {
					t.Errorf("deleted the second time (-want +got):\n%s", diff)
				}
				// What was said an hour and a moment later stays in any case.
				if _, err := db.Prompts().Record(t.Context(), persist.Ref{App: "bot", RequestID: "again"}); err != nil {
					t.Errorf("the later request: %v", err)
				}
				if status, _, _ := k.get("/sessions/bot/" + h.Get("X-Thread-Id")); status != http.StatusOK {
					t.Errorf("the later conversation: %d", status)
				}
				if _, _, body := k.get("/cache/bot", "Authorization", "Bearer "+adminKey); (gjson.Get(body, "entries.#").Int() == 1) != c.read {
					t.Errorf("entries: %s", body)
				}
			})
		})
	}
}

func TestConversationExpiresByItsLastUse(t *testing.T) {
	onBothStores(t, func(t *testing.T, db spec.DB) {
		k := newKeepingOn(t, db, expiring("1 hour"))
		begun := time.Now().Truncate(time.Microsecond)
		k.freeze(begun)
		_, h, _ := k.post("/lb/bot", ask("", "One"))
		thread := h.Get("X-Thread-Id")
		for i := 1; i <= 3; i++ { // always at the last moment
			k.freeze(begun.Add(time.Duration(i) * time.Hour))
			if n := k.expire().Threads; n != 0 {
				t.Errorf("hour %d: %d conversations deleted", i, n)
			}
			if status, _, body := k.post("/lb/bot", ask("", "More"), "X-Thread-Id", thread); status != http.StatusOK {
				t.Errorf("hour %d: %d %s", i, status, body)
			}
		}
		k.freeze(begun.Add(4*time.Hour + time.Microsecond))
		if status, _, _ := k.post("/lb/bot", ask("", "More"), "X-Thread-Id", thread); status != http.StatusBadRequest {
			t.Errorf("an hour and a moment later: %d, want 400", status)
		}
		if n := k.expire().Threads; n != 1 {
			t.Errorf("%d conversations deleted, want 1", n)
		}
	})
}

// fill puts rows of an application into the store, the first old of them with
// a time, the rest a microsecond later.
func fill(t *testing.T, db spec.DB, app string, old, rest int, at time.Time) {
	t.Helper()
	var entries []*cache.Entry
	var records []*persist.Record
	var next atomic.Int64
	when := func(i int) time.Time {
		if i < old {
			return at
		}
		return at.Add(time.Microsecond)
	}
	for i := range old + rest {
		entries = append(entries, &cache.Entry{
			App: app, Key: cache.Hash{1, byte(i), byte(i >> 8)}, Scope: "app", Answer: []byte(`{"id":"x"}`),
			Created: when(i), Used: when(i),
		})
		records = append(records, &persist.Record{ID: uuid.NewString(), Exchange: persist.Exchange{RequestID: fmt.Sprint("filled-", i), App: app, Start: when(i), Status: 200}})
	}
	if err := db.Cache().Add(t.Context(), entries); err != nil {
		t.Fatal(err)
	}
	if rejected, err := db.Prompts().Insert(t.Context(), records); err != nil || len(rejected) > 0 {
		t.Fatalf("%d records rejected, %v", len(rejected), err)
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < old+rest; i = int(next.Add(1)) - 1 {
				if err := db.Memory().Append(t.Context(), &memory.Turn{
					ID: uuid.NewString(), Thread: uuid.NewString(), App: app, Start: true, Extends: -1, At: when(i),
					Messages: []json.RawMessage{json.RawMessage(`{"role":"user","content":"x"}`)},
				}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

func TestInvalidatorsDeleteAllInBatchesAndFollowTheConfiguration(t *testing.T) {
	onBothStores(t, func(t *testing.T, db spec.DB) {
		k := newKeepingOn(t, db, expiring(""))
		now := time.Now().Truncate(time.Microsecond)
		k.freeze(now)
		const old, rest = 1100, 50 // more than two batches
		fill(t, db, "bot", old, rest, now.Add(-time.Hour-time.Microsecond))
		fill(t, db, "not-configured", 5, 0, now.Add(-1000*time.Hour))

		for _, step := range []struct {
			after string
			want  expired
		}{
			{"", expired{}},                                       // nothing ever expires
			{"2 hours", expired{0, 0, 5}},                         // stored requests of all applications, old ones too
			{"1 hour", expired{old, old, old}},                    // and not what is an hour old to the microsecond
			{"59 minutes 59.999999 s", expired{rest, rest, rest}}, // which is over a microsecond more
		} {
			k.source.set(expiring(step.after))
			if _, err := k.server.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(step.want, k.expire()); diff != "" {
				t.Errorf("expiry %q (-want +got):\n%s", step.after, diff)
			}
		}
		// What belongs to an application that is not configured is nobody's to
		// delete.
		if entries, err := db.Cache().List(t.Context(), "not-configured", 0, 100); len(entries) != 5 {
			t.Errorf("%d entries of another application are left, want 5: %v", len(entries), err)
		}
		if threads, err := db.Memory().List(t.Context(), "not-configured", "", 100); len(threads) != 5 {
			t.Errorf("%d conversations of another application are left, want 5: %v", len(threads), err)
		}
		if threads, err := db.Memory().List(t.Context(), "bot", "", 100); len(threads) != 0 {
			t.Errorf("%d conversations are left: %v", len(threads), err)
		}
	})
}
