package dbtest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"aigateway/cache"
	"aigateway/db/spec"
)

func hash(s string) cache.Hash { return sha256.Sum256([]byte(s)) }

// entry is a whole one whose key is the digest of its text.
func entry(app, text string, vector ...float32) *cache.Entry {
	return &cache.Entry{
		App: app, Key: hash(text), RequestID: "r-" + text, Bucket: hash("bucket"), Scope: "tenant:t1",
		Text: text, Model: "embed-3", Vector: vector,
		Answer: []byte(`{"object":"chat.completion", "text":"` + text + `"}`), Marks: []byte{0, 1, 255},
		Created: base(), Used: base(),
	}
}

// add adds entries one by one, so that their ids are in order.
func add(t testing.TB, index cache.Index, entries ...*cache.Entry) {
	t.Helper()
	for _, e := range entries {
		ok(t, "adding", index.Add(t.Context(), []*cache.Entry{e}))
	}
}

// texts lists what an application has, latest first.
func texts(t testing.TB, index cache.Index, app string) []string {
	t.Helper()
	entries, err := index.List(t.Context(), app, 0, 1000)
	ok(t, "listing", err)
	found := []string{}
	for _, e := range entries {
		found = append(found, e.Text)
	}
	return found
}

func runCache(t *testing.T, open func(t *testing.T) spec.DB) {
	index := open(t).Cache()

	parallel(t, "an entry is read as it was added", func(t *testing.T) {
		app := anApp()
		e := entry(app, "q", 1, -2.5, 3e-7)
		bare := entry(app, "bare")
		bare.Marks, bare.Bucket, bare.Scope, bare.Model = nil, cache.Hash{}, "", ""
		ok(t, "adding", index.Add(t.Context(), []*cache.Entry{e, bare}))
		if e.ID <= 0 || bare.ID <= 0 || e.ID == bare.ID {
			t.Fatalf("ids %d and %d, want two positive ones", e.ID, bare.ID)
		}
		for _, want := range []*cache.Entry{e, bare} {
			got, err := index.Get(t.Context(), app, want.Key)
			ok(t, "getting", err)
			same(t, "by key", got, vectorless(want))
			got, err = index.Entry(t.Context(), app, want.ID)
			ok(t, "reading", err)
			same(t, "by id", got, vectorless(want))
			if got.Created.Location() != time.UTC || got.Used.Location() != time.UTC {
				t.Error("times are not UTC")
			}
		}
	})

	parallel(t, "what is not there is not found", func(t *testing.T) {
		app := anApp()
		e := entry(app, "q", 1, 0, 0)
		add(t, index, e)
		other := anApp()
		for name, err := range map[string]error{
			"key":              second(index.Get(t.Context(), app, hash("other"))),
			"key of other app": second(index.Get(t.Context(), other, e.Key)),
			"id":               second(index.Entry(t.Context(), app, e.ID+1_000_000)),
			"id of other app":  second(index.Entry(t.Context(), other, e.ID)),
			"odd app":          second(index.Get(t.Context(), "\x00\xff", e.Key)),
		} {
			if !errors.Is(err, cache.ErrNotFound) {
				t.Errorf("%s: got %v, want ErrNotFound", name, err)
			}
		}
		if there, err := index.Delete(t.Context(), other, e.ID); there || err != nil {
			t.Errorf("deleting another application's entry: %v, %v", there, err)
		}
		same(t, "left", texts(t, index, app), []string{"q"})
	})

	parallel(t, "an equal key replaces, within its application", func(t *testing.T) {
		app, other := anApp(), anApp()
		first, foreign := entry(app, "q", 1, 0, 0), entry(other, "q", 1, 0, 0)
		add(t, index, first, foreign)
		ok(t, "touching", index.Touch(t.Context(), []cache.Use{{ID: first.ID, Hits: 7, Last: after(9)}}))
		next := entry(app, "q", 0, 1, 0)
		next.Answer, next.Created, next.Used = []byte(`{"second":true}`), after(1), after(1)
		add(t, index, next)
		if next.ID == first.ID {
			t.Error("the replacement kept the id")
		}
		got, err := index.Get(t.Context(), app, next.Key)
		ok(t, "getting", err)
		same(t, "replaced", got, vectorless(next))
		if _, err := index.Entry(t.Context(), app, first.ID); !errors.Is(err, cache.ErrNotFound) {
			t.Errorf("the replaced entry: got %v, want ErrNotFound", err)
		}
		if got := near(t, index, query(app, cache.Cosine, 0.5, 1, 0, 0)); len(got) != 0 {
			t.Errorf("the replaced vector is still found: %v", got)
		}
		got, err = index.Get(t.Context(), other, next.Key)
		ok(t, "getting", err)
		same(t, "other application", got, vectorless(foreign))
	})

	parallel(t, "of equal keys in one list the later stays", func(t *testing.T) {
		app := anApp()
		list := []*cache.Entry{entry(app, "q", 1, 0, 0), entry(app, "other", 0, 0, 1), entry(app, "q", 0, 1, 0)}
		list[2].Answer = []byte(`{"later":true}`)
		ok(t, "adding", index.Add(t.Context(), list))
		got, err := index.Get(t.Context(), app, list[2].Key)
		ok(t, "getting", err)
		same(t, "stays", got, vectorless(list[2]))
		found := texts(t, index, app)
		slices.Sort(found)
		same(t, "all", found, []string{"other", "q"})
		if got := near(t, index, query(app, cache.Cosine, 0.5, 1, 0, 0)); len(got) != 0 {
			t.Errorf("the earlier is found: %v", got)
		}
	})

	parallel(t, "vectors that cannot be compared are refused, with their list", func(t *testing.T) {
		nan, inf := float32(math.NaN()), float32(math.Inf(1))
		for name, v := range map[string][]float32{
			"NaN": {1, nan, 0}, "+Inf": {inf, 0, 0}, "-Inf": {0, 0, -inf}, "zero": {0, 0, 0},
		} {
			app := anApp()
			if err := index.Add(t.Context(), []*cache.Entry{entry(app, "good", 1, 0, 0), entry(app, "bad", v...)}); err == nil {
				t.Errorf("%s was stored", name)
			}
			same(t, name, texts(t, index, app), []string{})
		}
	})

	parallel(t, "uses are counted and move forward only", func(t *testing.T) {
		app := anApp()
		a, b := entry(app, "a", 1, 0, 0), entry(app, "b", 1, 0, 0)
		add(t, index, a, b)
		ok(t, "touching", index.Touch(t.Context(), []cache.Use{
			{ID: a.ID, Hits: 2, Last: after(60)}, {ID: 1 << 60, Hits: 1, Last: after(60)}, {ID: b.ID, Hits: 1, Last: after(-60)},
		}))
		ok(t, "touching", index.Touch(t.Context(), []cache.Use{{ID: a.ID, Hits: 3, Last: after(30)}}))
		ok(t, "touching nothing", index.Touch(t.Context(), nil))
		a.Hits, a.Used = 5, after(60)
		b.Hits = 1
		for _, want := range []*cache.Entry{a, b} {
			got, err := index.Entry(t.Context(), app, want.ID)
			ok(t, "reading", err)
			same(t, want.Text, got, vectorless(want))
		}
	})

	parallel(t, "a list is paged by id, latest first, without vectors", func(t *testing.T) {
		app := anApp()
		for i := range 7 {
			add(t, index, entry(app, fmt.Sprint(i), 1, 0, 0))
		}
		add(t, index, entry(anApp(), "foreign", 1, 0, 0))
		var got []string
		before := int64(0)
		for {
			page, err := index.List(t.Context(), app, before, 3)
			ok(t, "listing", err)
			if len(page) > 3 {
				t.Fatalf("%d entries, want at most 3", len(page))
			}
			if len(page) == 0 {
				break
			}
			for _, e := range page {
				if e.Vector != nil {
					t.Error("a listed entry has its vector")
				}
				got = append(got, e.Text)
				before = e.ID
			}
		}
		same(t, "pages", got, []string{"6", "5", "4", "3", "2", "1", "0"})
		page, err := index.List(t.Context(), app, 0, 1)
		ok(t, "listing", err)
		want := entry(app, "6", 1, 0, 0)
		want.ID = page[0].ID
		same(t, "listed", page[0], vectorless(want))
	})

	parallel(t, "delete tells whether it was there", func(t *testing.T) {
		app := anApp()
		a, b := entry(app, "a", 1, 0, 0), entry(app, "b", 1, 0, 0)
		add(t, index, a, b)
		for _, want := range []bool{true, false} {
			if got, err := index.Delete(t.Context(), app, a.ID); got != want || err != nil {
				t.Errorf("got %v, %v, want %v", got, err, want)
			}
		}
		same(t, "left", texts(t, index, app), []string{"b"})
		if got := near(t, index, query(app, cache.Cosine, 0, 1, 0, 0)); len(got) != 1 || got[0].ID != b.ID {
			t.Errorf("nearest: %v, want only b", got)
		}
	})

	parallel(t, "purge empties one application by portions", func(t *testing.T) {
		app, other := anApp(), anApp()
		for i := range 5 {
			add(t, index, entry(app, fmt.Sprint(i), 1, 0, 0), entry(other, fmt.Sprint(i), 1, 0, 0))
		}
		for _, want := range []int{2, 2, 1, 0} {
			got, err := index.Purge(t.Context(), app, 2)
			ok(t, "purging", err)
			same(t, "deleted", got, want)
		}
		same(t, "left", len(texts(t, index, app)), 0)
		same(t, "other application", len(texts(t, index, other)), 5)
		same(t, "nearest", len(near(t, index, query(app, cache.Cosine, 0, 1, 0, 0))), 0)
	})

	parallel(t, "expire keeps what was created at the time itself", func(t *testing.T) {
		app, other := anApp(), anApp()
		at, earlier, later := entry(app, "at", 1, 0, 0), entry(app, "earlier", 1, 0, 0), entry(app, "later", 1, 0, 0)
		earlier.Created, later.Created = base().Add(-time.Microsecond), base().Add(time.Microsecond)
		earlier.Used = after(3600) // use does not prolong
		foreign := entry(other, "foreign", 1, 0, 0)
		foreign.Created = after(-3600)
		add(t, index, earlier, at, later, foreign)
		for _, want := range []int{1, 0} {
			got, err := index.Expire(t.Context(), app, base(), 10)
			ok(t, "expiring", err)
			same(t, "deleted", got, want)
		}
		same(t, "left", texts(t, index, app), []string{"later", "at"})
		same(t, "other application", texts(t, index, other), []string{"foreign"})
		same(t, "nearest", len(near(t, index, query(app, cache.Cosine, 0, 1, 0, 0))), 2)
		for _, want := range []int{1, 1, 0} {
			got, err := index.Expire(t.Context(), app, after(60), 1)
			ok(t, "expiring", err)
			same(t, "deleted", got, want)
		}
	})

	parallel(t, "trim by entries takes what was used longest ago", func(t *testing.T) {
		app, other := anApp(), anApp()
		var list []*cache.Entry
		for i := range 6 {
			e := entry(app, fmt.Sprint(i), 1, 0, 0)
			e.Used = after(i)
			list = append(list, e)
		}
		add(t, index, list...)
		add(t, index, entry(other, "foreign", 1, 0, 0))
		ok(t, "touching", index.Touch(t.Context(), []cache.Use{{ID: list[0].ID, Hits: 1, Last: after(100)}}))
		for _, want := range []int{2, 1, 0} { // 6 → 3
			got, err := index.Trim(t.Context(), app, 3, 1<<40, 2)
			ok(t, "trimming", err)
			same(t, "deleted", got, want)
		}
		same(t, "left", texts(t, index, app), []string{"5", "4", "0"})
		same(t, "other application", texts(t, index, other), []string{"foreign"})
		same(t, "nearest", len(near(t, index, query(app, cache.Cosine, 0, 1, 0, 0))), 3)
	})

	parallel(t, "trim by bytes counts as Size does", func(t *testing.T) {
		app := anApp()
		var size int64
		for i := range 5 {
			e := entry(app, fmt.Sprint(i), 1, 0, 0)
			e.Used = after(i)
			size = e.Size()
			add(t, index, e)
		}
		for _, step := range []struct {
			bytes int64
			want  int
		}{{5 * size, 0}, {3 * size, 2}, {3*size - 1, 1}, {0, 2}} {
			got, err := index.Trim(t.Context(), app, 100, step.bytes, 10)
			ok(t, "trimming", err)
			same(t, fmt.Sprintf("deleted for %d bytes", step.bytes), got, step.want)
		}
	})

	parallel(t, "odd texts are stored", func(t *testing.T) {
		for i, text := range oddTexts() {
			app := anApp()
			e := entry(app, "q", 1, 0, 0)
			e.Text, e.RequestID, e.Scope, e.Model = text, text, text, text
			add(t, index, e)
			got, err := index.Get(t.Context(), app, e.Key)
			ok(t, fmt.Sprint("getting ", i), err)
			same(t, "text", legible(got.Text), legible(text))
			same(t, "request id", legible(got.RequestID), legible(text))
			same(t, "scope", legible(got.Scope), legible(text))
			if found := near(t, index, query(app, cache.Cosine, 0.5, 1, 0, 0)); len(found) != 1 || legible(found[0].Text) != legible(text) {
				t.Errorf("text %d is not found by nearness", i)
			}
		}
		for i, answer := range append(oddJSON(), string(notUTF8())) {
			app := anApp()
			e := entry(app, "q", 1, 0, 0)
			e.Answer = []byte(answer)
			add(t, index, e)
			got, err := index.Get(t.Context(), app, e.Key)
			ok(t, fmt.Sprint("getting ", i), err)
			sameJSON(t, "answer", got.Answer, e.Answer)
		}
	})

	parallel(t, "times are kept to the microsecond", func(t *testing.T) {
		e := entry(anApp(), "q", 1, 0, 0)
		e.Created = time.Date(2025, 1, 1, 0, 0, 0, 999_999_999, time.FixedZone("", 3600))
		add(t, index, e)
		got, err := index.Get(t.Context(), e.App, e.Key)
		ok(t, "getting", err)
		if d := got.Created.Sub(e.Created).Abs(); d > time.Microsecond {
			t.Errorf("created is off by %v", d)
		}
	})

	parallel(t, "an ended context changes nothing", func(t *testing.T) {
		app := anApp()
		e := entry(app, "q", 1, 0, 0)
		add(t, index, e)
		for name, err := range map[string]error{
			"Get":     second(index.Get(ended(), app, e.Key)),
			"Nearest": second(index.Nearest(ended(), query(app, cache.Cosine, 0, 1, 0, 0))),
			"Entry":   second(index.Entry(ended(), app, e.ID)),
			"Add":     index.Add(ended(), []*cache.Entry{entry(app, "new", 1, 0, 0)}),
			"Touch":   index.Touch(ended(), []cache.Use{{ID: e.ID, Hits: 1, Last: after(5)}}),
			"List":    second(index.List(ended(), app, 0, 1)),
			"Delete":  second(index.Delete(ended(), app, e.ID)),
			"Purge":   second(index.Purge(ended(), app, 1)),
			"Expire":  second(index.Expire(ended(), app, after(1), 1)),
			"Trim":    second(index.Trim(ended(), app, 0, 0, 1)),
		} {
			if err == nil || errors.Is(err, cache.ErrNotFound) {
				t.Errorf("%s: got %v, want an error about the context", name, err)
			}
		}
		same(t, "entries", texts(t, index, app), []string{"q"})
		got, err := index.Get(t.Context(), app, e.Key)
		ok(t, "getting", err)
		same(t, "entry", got, vectorless(e))
		same(t, "nearest", len(near(t, index, query(app, cache.Cosine, 0, 1, 0, 0))), 1)
	})

	parallel(t, "many at once do not disturb each other", func(t *testing.T) {
		var wg sync.WaitGroup
		shared := anApp()
		for range 10 {
			wg.Go(func() {
				app := anApp()
				for i := range 10 {
					e, contested := entry(app, fmt.Sprint(i), 1, float32(i), 0), entry(shared, fmt.Sprint("shared", i%3), 0, 1, 0)
					contested.RequestID = uuid.NewString()
					if err := index.Add(t.Context(), []*cache.Entry{e, contested}); err != nil {
						t.Errorf("adding: %v", err)
					}
					if got, err := index.Get(t.Context(), app, e.Key); err != nil || got.ID != e.ID {
						t.Errorf("getting: %v", err)
					}
					found, err := index.Nearest(t.Context(), query(app, cache.Cosine, 0.999999, 1, float32(i), 0))
					if err != nil || len(found) == 0 || found[0].ID != e.ID {
						t.Errorf("nearest: %v, %v, want %d first", found, err, e.ID)
					}
				}
				if n, err := index.Purge(t.Context(), app, 100); n != 10 || err != nil {
					t.Errorf("purging: %d, %v, want 10", n, err)
				}
			})
		}
		wg.Wait()
		same(t, "contested entries", len(texts(t, index, shared)), 3)
		same(t, "contested vectors", len(near(t, index, query(shared, cache.Cosine, 0.5, 0, 1, 0))), 3)
	})
}

// second returns a call's error.
func second[T any](_ T, err error) error { return err }

// vectorless is an entry as it is read: without its vector.
func vectorless(e *cache.Entry) *cache.Entry {
	without := *e
	without.Vector = nil
	return &without
}
