package cache

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOnlyWholeTextAnswersAreStored(t *testing.T) {
	choice := func(members string) string { return `{"choices":[{"index":0,` + members + `}]}` }
	for name, c := range map[string]struct {
		answer string
		want   bool
	}{
		"text":           {choice(`"finish_reason":"stop","message":{"role":"assistant","content":"a"}`), true},
		"completion":     {choice(`"finish_reason":"stop","text":"a"`), true},
		"two choices":    {`{"choices":[{"index":0,"finish_reason":"stop","text":"a"},{"index":1,"finish_reason":"stop","text":"b"}]}`, true},
		"one is cut":     {`{"choices":[{"index":0,"finish_reason":"stop","text":"a"},{"index":1,"finish_reason":"length","text":"b"}]}`, false},
		"cut":            {choice(`"finish_reason":"length","text":"a"`), false},
		"filtered":       {choice(`"finish_reason":"content_filter","text":"a"`), false},
		"tools":          {choice(`"finish_reason":"tool_calls","message":{"content":null,"tool_calls":[{"id":"c","function":{"name":"f","arguments":"{}"}}]}`), false},
		"tools and stop": {choice(`"finish_reason":"stop","message":{"content":"a","tool_calls":[{"id":"c","function":{"name":"f","arguments":"{}"}}]}`), false},
		"not ended":      {choice(`"text":"a"`), false},
		"empty":          {choice(`"finish_reason":"stop","text":""`), false},
		"refusal":        {choice(`"finish_reason":"stop","message":{"content":null,"refusal":"no"}`), false},
		"audio":          {choice(`"finish_reason":"stop","message":{"content":"a","audio":{"id":"b"}}`), false},
		"no choices":     {`{"choices":[]}`, false},
		"error":          {`{"error":{"message":"m"},"choices":[{"finish_reason":"stop","text":"a"}]}`, false},
		"not UTF-8":      {choice(`"finish_reason":"stop","text":"a` + "\xFF" + `"`), false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, nil)
			_, miss := b.lookup(chat("q"), anyAge)
			b.cache.Store(miss, "r", done(t, []byte(c.answer)), []byte(c.answer), nil)
			b.flush()
			if got := len(b.index.entries) == 1; got != c.want {
				t.Errorf("stored %v, want %v", got, c.want)
			}
		})
	}

	b := newBench(t, nil)
	_, miss := b.lookup(chat("q"), anyAge)
	whole, answer := done(t, answerOf("a")), answerOf("a")
	cut, part := *whole, *whole
	cut.Whole, part.Truncated = false, true
	b.cache.Store(miss, "r", &cut, answer, nil)
	b.cache.Store(miss, "r", &part, answer, nil)
	b.cache.Store(miss, "r", nil, answer, nil)
	b.cache.Store(miss, "r", whole, nil, nil)
	b.cache.Store(miss, "r", whole, answer[:len(answer)-1], nil)
	b.cache.Store(nil, "r", whole, answer, nil)
	b.pool.For(Settings{App: "other"}).Store(miss, "r", whole, answer, nil)
	if b.flush(); len(b.index.entries) != 0 {
		t.Errorf("%d entries, want none", len(b.index.entries))
	}
}

func TestStoredEntryHasAllThatIsKnown(t *testing.T) {
	b := newBench(t, func(s *Settings) { s.Scope = ScopeUser })
	req := parse(t, chat("dormitory"))
	_, miss := b.cache.Lookup(t.Context(), req, "chat/completions", Asker{User: "al\x00ices " + strings.Repeat("é", 100)}, anyAge)
	answer, marks := answerOf("a"), []byte("marks")
	b.cache.Store(miss, "request-7", done(t, answer), answer, marks)
	clear(answer)
	clear(marks)
	b.flush()
	got := b.index.entries[1]
	vector, _ := letters(t.Context(), "dormitory")
	at := b.clock.UTC()
	want := &Entry{
		ID: 1, App: "app", Key: miss.key, RequestID: "request-7", Bucket: miss.bucket,
		Scope: "user:al�ices " + strings.Repeat("é", 57) + "�",
		Text:  "dormitory", Model: "letters-27", Vector: vector.Vector,
		Answer: answerOf("a"), Marks: []byte("marks"), Created: at, Used: at,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestEntryLargerThanItsBoundIsNotStored(t *testing.T) {
	b := newBench(t, func(s *Settings) { s.Embed, s.MaxBytes = nil, 2000 })
	for i, c := range []struct {
		length int
		want   int
	}{{500, 1}, {3000, 1}} {
		_, miss := b.lookup(chat(fmt.Sprint(i)), anyAge)
		answer := answerOf(strings.Repeat("a", c.length))
		b.cache.Store(miss, "r", done(t, answer), answer, nil)
		if b.flush(); len(b.index.entries) != c.want {
			t.Errorf("%d bytes: %d entries, want %d", c.length, len(b.index.entries), c.want)
		}
	}
}

func TestFullQueueDropsAndCounts(t *testing.T) {
	b := newBench(t, exactOnly)
	_, miss := b.lookup(chat("q"), anyAge)
	completion := done(t, answerOf("a"))
	for range maxWaiting + 1 {
		b.cache.Store(miss, "r", completion, answerOf("a"), nil)
	}
	if s := b.pool.Stats(); s.Waiting != maxWaiting || s.Dropped != 1 {
		t.Errorf("%d wait, %d dropped; want %d, 1", s.Waiting, s.Dropped, maxWaiting)
	}
	b.wantMiss(chat("q"), "miss") // what will not be stored is not remembered
	b.flush()
	if s := b.pool.Stats(); s.Waiting != 0 || s.WaitingBytes != 0 || s.Stored != maxWaiting {
		t.Errorf("%d entries, %d bytes wait, %d stored; want 0, 0, %d", s.Waiting, s.WaitingBytes, s.Stored, maxWaiting)
	}
}

func TestBytesThatWaitAreBounded(t *testing.T) {
	q, b, large := queue{wake: make(chan struct{}, 1)}, &book{}, &Entry{Answer: make([]byte, 1<<20)}
	n := 0
	for q.put(waiting{entry: large, book: b}) {
		n++
	}
	if _, bytes := q.size(); n != 63 || bytes != 63*large.Size() || q.dropped.Load() != 1 {
		t.Errorf("%d of 1 MiB wait, %d bytes, %d dropped; want 63 under 64 MiB, 1", n, bytes, q.dropped.Load())
	}
}

func TestForgetDropsAllThatIsUnderWay(t *testing.T) {
	b := newBench(t, nil)
	other := b.pool.For(Settings{App: "other"})
	b.learn(chat("known"), "a")
	_, waits := b.lookup(chat("waits"), anyAge)
	b.cache.Store(waits, "r", done(t, answerOf("b")), answerOf("b"), nil)
	_, asked := b.lookup(chat("asked"), anyAge)
	_, foreign := other.Lookup(t.Context(), parse(t, chat("foreign")), "chat/completions", Asker{}, anyAge)
	other.Store(foreign, "r", done(t, answerOf("c")), answerOf("c"), nil)

	b.index.set(func() { clear(b.index.entries) })
	b.pool.Forget("app")
	b.cache.Store(asked, "r", done(t, answerOf("d")), answerOf("d"), nil)
	b.flush()
	for _, question := range []string{"known", "waits", "asked"} {
		b.wantMiss(chat(question), "miss")
	}
	if hit, _ := other.Lookup(t.Context(), parse(t, chat("foreign")), "chat/completions", Asker{}, anyAge); hit == nil || len(b.index.entries) != 1 {
		t.Errorf("hit %v, %d entries; want the other application's alone", hit, len(b.index.entries))
	}
	b.learn(chat("known"), "new")
	b.wantHit(chat("known"), Exact, "new")
}

func TestEntryReadBeforeForgetIsNotRemembered(t *testing.T) {
	b := newBench(t, func(s *Settings) { s.Embed = nil })
	b.learn(chat("q"), "a")
	b.pool.recent = newRecent(1 << 20)
	b.index.hook = func(string) { b.pool.Forget("app") } // while it is being read
	b.wantHit(chat("q"), Exact, "a")
	b.index.hook = nil
	b.index.set(func() { clear(b.index.entries) })
	b.wantMiss(chat("q"), "miss")
}

func TestDeletedEntryIsForgotten(t *testing.T) {
	b := newBench(t, func(s *Settings) { s.Embed = nil })
	b.learn(chat("q"), "a")
	hit := b.wantHit(chat("q"), Exact, "a")
	if ok, err := b.index.Delete(t.Context(), "app", hit.Entry.ID); !ok || err != nil {
		t.Fatal(ok, err)
	}
	b.pool.ForgetEntry(hit.Entry.ID)
	b.wantMiss(chat("q"), "miss")
}
