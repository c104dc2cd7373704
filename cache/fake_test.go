package cache

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"aigateway/openai"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeIndex is an Index in memory that can be made to fail.
type fakeIndex struct {
	mu      sync.Mutex
	entries map[int64]*Entry
	last    int64
	uses    []Use
	calls   map[string]int
	fail    map[string]error // by method
	hang    map[string]bool  // by method: until the context is over
	batches []int
	hook    func(method string)
}

func newFakeIndex() *fakeIndex {
	return &fakeIndex{entries: map[int64]*Entry{}, calls: map[string]int{}, fail: map[string]error{}, hang: map[string]bool{}}
}

func (f *fakeIndex) begin(ctx context.Context, method string) error {
	if f.hook != nil {
		f.hook(method)
	}
	f.mu.Lock()
	f.calls[method]++
	err, hang := f.fail[method], f.hang[method]
	f.mu.Unlock()
	if hang {
		<-ctx.Done()
	}
	return cmp.Or(ctx.Err(), err)
}

func (f *fakeIndex) called(method string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[method]
}

func (f *fakeIndex) set(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

func (f *fakeIndex) Get(ctx context.Context, app string, key Hash) (*Entry, error) {
	if err := f.begin(ctx, "Get"); err != nil {
		return nil, err
	}
	return f.first(func(e *Entry) bool { return e.App == app && e.Key == key })
}

func (f *fakeIndex) Entry(ctx context.Context, app string, id int64) (*Entry, error) {
	if err := f.begin(ctx, "Entry"); err != nil {
		return nil, err
	}
	return f.first(func(e *Entry) bool { return e.App == app && e.ID == id })
}

func (f *fakeIndex) first(is func(*Entry) bool) (*Entry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.entries {
		if is(e) {
			c := *e
			return &c, nil
		}
	}
	return nil, ErrNotFound
}

func (f *fakeIndex) Nearest(ctx context.Context, q Query) ([]Near, error) {
	if err := f.begin(ctx, "Nearest"); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var near []Near
	for _, e := range f.entries {
		if e.App != q.App || e.Bucket != q.Bucket || e.Vector == nil || e.Created.Before(q.Since) {
			continue
		}
		var dot, a, b, d float64
		for i, x := range e.Vector {
			x, y := float64(x), float64(q.Vector[i])
			dot, a, b, d = dot+x*y, a+x*x, b+y*y, d+(x-y)*(x-y)
		}
		n := Near{ID: e.ID, Text: e.Text, Created: e.Created}
		switch q.Metric {
		case Cosine:
			n.Score = dot / math.Sqrt(a*b)
		case InnerProduct:
			n.Score = dot
		case Euclid:
			n.Score = math.Sqrt(d)
		}
		if q.Metric == Euclid && n.Score < q.Bound || q.Metric != Euclid && n.Score > q.Bound {
			near = append(near, n)
		}
	}
	slices.SortFunc(near, func(a, b Near) int {
		if q.Metric == Euclid {
			a, b = b, a
		}
		return cmp.Compare(b.Score, a.Score)
	})
	return near[:min(len(near), q.Limit)], nil
}

func (f *fakeIndex) Add(ctx context.Context, entries []*Entry) error {
	if err := f.begin(ctx, "Add"); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.batches = append(f.batches, len(entries))
	for _, e := range entries {
		for id, old := range f.entries {
			if old.App == e.App && old.Key == e.Key {
				delete(f.entries, id)
			}
		}
		f.last++
		e.ID = f.last
		c := *e
		f.entries[e.ID] = &c
	}
	return nil
}

func (f *fakeIndex) Touch(ctx context.Context, uses []Use) error {
	if err := f.begin(ctx, "Touch"); err != nil {
		return err
	}
	f.set(func() { f.uses = append(f.uses, uses...) })
	return nil
}

func (f *fakeIndex) Delete(ctx context.Context, _ string, id int64) (bool, error) {
	if err := f.begin(ctx, "Delete"); err != nil {
		return false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.entries[id]
	delete(f.entries, id)
	return ok, nil
}

func (f *fakeIndex) Trim(ctx context.Context, app string, most int, bytes int64, limit int) (int, error) {
	if err := f.begin(ctx, "Trim"); err != nil {
		return 0, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var ids []int64
	var size int64
	for id, e := range f.entries {
		if e.App == app {
			ids, size = append(ids, id), size+e.Size()
		}
	}
	slices.Sort(ids) // the fake's order of use
	n := 0
	for len(ids)-n > most || size > bytes {
		if n == limit {
			break
		}
		size -= f.entries[ids[n]].Size()
		delete(f.entries, ids[n])
		n++
	}
	return n, nil
}

func (f *fakeIndex) List(context.Context, string, int64, int) ([]*Entry, error) {
	return nil, errors.New("BUG: not for the cache")
}

func (f *fakeIndex) Purge(context.Context, string, int) (int, error) {
	return 0, errors.New("BUG: not for the cache")
}

func (f *fakeIndex) Expire(context.Context, string, time.Time, int) (int, error) {
	return 0, errors.New("BUG: not for the cache")
}

// bench is a pool on a fake index and a clock, and a cache in it.
type bench struct {
	*testing.T
	index *fakeIndex
	pool  *Pool
	cache *Cache
	clock time.Time
}

var anyAge = Control{MaxAge: -1}

// newBench returns a cache whose embeddings count letters, so that texts of
// the same letters are equal to it; edit may change its settings.
func newBench(t *testing.T, edit func(*Settings)) *bench {
	b := &bench{T: t, index: newFakeIndex(), clock: time.Unix(1_700_000_000, 0)}
	b.pool = NewPool(PoolOptions{Index: b.index, Now: func() time.Time { return b.clock }})
	s := Settings{App: "app", Bound: 0.99, Roles: []string{"user"}, Embed: letters, EmbedKey: "letters"}
	if edit != nil {
		edit(&s)
	}
	b.cache = b.pool.For(s)
	return b
}

func letters(_ context.Context, text string) (Embedding, error) {
	v := make([]float32, 27)
	for _, r := range strings.ToLower(text) {
		if 'a' <= r && r <= 'z' {
			v[r-'a']++
		}
	}
	v[26] = 0.01
	return Embedding{Vector: v, Model: "letters-27"}, nil
}

// flush stores what waits.
func (b *bench) flush() {
	for b.pool.store(context.Background()) {
	}
}

func chat(question string) string {
	return `{"model":"m","messages":[{"role":"system","content":"be brief"},{"role":"user","content":` + quote(question) + `}]}`
}

func quote(s string) string { return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"` }

func parse(t interface{ Fatal(...any) }, body string) *openai.Request {
	req, err := openai.ParseRequest([]byte(body))
	if err != nil {
		t.Fatal(err, body)
	}
	return req
}

func (b *bench) lookup(body string, ctl Control) (*Hit, *Miss) {
	b.Helper()
	hit, miss := b.cache.Lookup(b.Context(), parse(b, body), "chat/completions", Asker{}, ctl)
	if (hit == nil) == (miss == nil) {
		b.Fatalf("hit %v and miss %v: want exactly one", hit, miss)
	}
	return hit, miss
}

func answerOf(text string) []byte {
	return []byte(`{"choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":` + quote(text) + `}}]}`)
}

func done(t interface{ Fatal(...any) }, answer []byte) *openai.Completion {
	c, err := openai.ParseCompletion(answer, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// learn asks, which has to miss, and stores an answer.
func (b *bench) learn(body, answer string) {
	b.Helper()
	hit, miss := b.lookup(body, anyAge)
	if hit != nil {
		b.Fatalf("%s is known: %s", body, hit.Entry.Answer)
	}
	b.cache.Store(miss, "request-1", done(b, answerOf(answer)), answerOf(answer), nil)
	b.flush()
}

// wantHit asks and wants an answer from a layer.
func (b *bench) wantHit(body, layer, answer string) *Hit {
	b.Helper()
	hit, miss := b.lookup(body, anyAge)
	if hit == nil {
		b.Fatalf("%s: miss %q, want a hit of the %s layer", body, miss.Reason, layer)
	}
	if hit.Layer != layer || string(hit.Entry.Answer) != string(answerOf(answer)) {
		b.Fatalf("%s: %s layer, %s; want %s layer, %s", body, hit.Layer, hit.Entry.Answer, layer, answer)
	}
	return hit
}

func (b *bench) wantMiss(body, reason string) *Miss {
	b.Helper()
	hit, miss := b.lookup(body, anyAge)
	if hit != nil {
		b.Fatalf("%s: hit %s, want a miss", body, hit.Entry.Answer)
	}
	if miss.Reason != reason {
		b.Fatalf("%s: miss %q, want %q", body, miss.Reason, reason)
	}
	return miss
}
