package memory

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"aigateway/openai"
)

func TestConversationGoesOnWithTheSameBytes(t *testing.T) {
	store := newFakeStore()
	m := NewThreads(store, Options{}).For(Settings{App: "app"})
	first := request(t, `{ "role":"user","content":"h\u00e9 <b>","x":1.0 }`)
	before := string(first.Bytes())
	th, err := m.Expand(t.Context(), "", Owner{"me", "us"}, first, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := parseID(th.ID()); !ok || !th.Started() || th.Status() != "" || th.Endpoint() != "" {
		t.Errorf("thread %q, started %v, status %q", th.ID(), th.Started(), th.Status())
	}
	if string(first.Bytes()) != before || len(store.calls) != 0 {
		t.Errorf("the first request has become %s; store calls %q", first.Bytes(), store.calls)
	}
	if err := th.Append(t.Context(), "r1", "bob", "east", json.RawMessage(`{"role": "assistant", "content":"&"}`)); err != nil {
		t.Fatal(err)
	}

	second := request(t, "u: 2")
	th, err = m.Expand(t.Context(), strings.ToUpper(th.ID()), Owner{"me", "us"}, second, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"model":"m","messages":[{ "role":"user","content":"h\u00e9 <b>","x":1.0 },{"role": "assistant", "content":"&"},{"role":"user","content":"2"}],"user":"u"}`
	if got := string(second.Bytes()); got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
	if th.Started() || th.Endpoint() != "east" {
		t.Errorf("started %v, endpoint %q", th.Started(), th.Endpoint())
	}
	r, err := m.Read(t.Context(), th.ID(), Owner{"me", "us"}, false)
	if err != nil || r.Caller != "me" || r.Tenant != "us" || r.User != "bob" || len(r.Interactions) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestAppendKeepsNothingOfTheRequestsBuffer(t *testing.T) {
	store := newFakeStore()
	m := NewThreads(store, Options{}).For(Settings{App: "app"})
	body := []byte(`{"messages":[{"role":"user","content":"mine"}]}`)
	req, err := openai.ParseRequest(body)
	if err != nil {
		t.Fatal(err)
	}
	th, err := m.Expand(t.Context(), "", Owner{}, req, nil)
	if err != nil {
		t.Fatal(err)
	}
	said := []byte(one("a: yours"))
	if err := th.Append(t.Context(), "r", "", "", said); err != nil {
		t.Fatal(err)
	}
	clear(body)
	clear(said)
	got := short(store.threads[thread{"app", th.ID()}].Interactions[0].Messages)
	if diff := cmp.Diff(l("u: mine", "a: yours"), got); diff != "" {
		t.Error(diff)
	}
}

func TestNoMemoryIsNoThread(t *testing.T) {
	var off *Memory
	on := NewThreads(newFakeStore(), Options{}).For(Settings{})
	prompt, err := openai.ParseRequest([]byte(`{"prompt":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, expand := range []func() (*Thread, error){
		func() (*Thread, error) { return off.Expand(t.Context(), "x", Owner{}, request(t, "u: 1"), nil) },
		func() (*Thread, error) { return on.Expand(t.Context(), "x", Owner{}, prompt, nil) },
	} {
		th, err := expand()
		if th != nil || err != nil || th.ID() != "" || th.Started() || th.Endpoint() != "" || th.Status() != "" {
			t.Errorf("%v, %v", th, err)
		}
		if err := th.Append(t.Context(), "", "", "", nil); err != nil {
			t.Error(err)
		}
	}
	var invalid *InvalidThread
	if _, err := off.Read(t.Context(), "x", Owner{}, true); !errors.As(err, &invalid) {
		t.Error(err)
	}
	if err := off.Delete(t.Context(), "x", Owner{}, true); !errors.As(err, &invalid) {
		t.Error(err)
	}
}

func TestTwoTurnsAtOnceBothSurvive(t *testing.T) {
	store := newFakeStore()
	c := &talk{t: t, m: NewThreads(store, Options{}).For(Settings{App: "app"})}
	c.turn("a: 0", "u: 0")
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			other := *c
			other.turn("a: x", "u: x")
		})
	}
	wg.Wait()
	if got := c.turn("a: y", "u: y"); len(got) != 2+20*2+1 {
		t.Errorf("%d messages: %q", len(got), got)
	}
}

func TestTooLongAConversationIsRefused(t *testing.T) {
	threads := NewThreads(newFakeStore(), Options{})
	c := &talk{t: t, m: threads.For(Settings{App: "app"})}
	c.turn("a: 2", "u: 1")
	exact := request(t, "u: 1", "a: 2", "u: 3")
	n := len(exact.Raw("messages"))
	for _, tt := range []struct {
		id       string
		messages []string
		limit    int
		ok       bool
	}{
		{c.id, l("u: 3"), n, true},
		{c.id, l("u: 3"), n - 1, false},
		{"", l("u: 1", "a: 2", "u: 3"), n, true},
		{"", l("u: 1", "a: 2", "u: 3"), n - 1, false},
	} {
		_, err := threads.For(Settings{App: "app", MaxBytes: tt.limit}).Expand(t.Context(), tt.id, Owner{}, request(t, tt.messages...), nil)
		var long *TooLong
		if tt.ok && err != nil || !tt.ok && (!errors.As(err, &long) || long.Bytes != n || long.Limit != n-1) {
			t.Errorf("%q at %d: %v", tt.messages, tt.limit, err)
		}
	}
}

func TestACallerWhoGoesAwayIsNoStoreFault(t *testing.T) {
	store := newFakeStore()
	c := &talk{t: t, m: NewThreads(store, Options{}).For(Settings{App: "app"})}
	c.turn("a: 2", "u: 1")
	ctx, cancel := context.WithCancel(t.Context())
	th, err := c.m.Expand(ctx, c.id, Owner{}, request(t, "u: 3"), nil)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := th.Append(ctx, "r", "u", "e", json.RawMessage(one("a: 4"))); err != nil {
		t.Errorf("the answer was given, but is not kept: %v", err)
	}
	var down *UnavailableError
	if _, err := c.m.Expand(ctx, c.id, Owner{}, request(t, "u: 5"), nil); !errors.Is(err, context.Canceled) || errors.As(err, &down) {
		t.Errorf("error %v", err)
	}
	if got := c.turn("a: 6", "u: 5"); len(got) != 5 {
		t.Errorf("sent %q", got)
	}
}

func TestNoAnswerIsNoTurn(t *testing.T) {
	store := newFakeStore()
	m := NewThreads(store, Options{}).For(Settings{App: "app"})
	th, err := m.Expand(t.Context(), "", Owner{}, request(t, "u: 1"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := th.Append(t.Context(), "r", "u", "e", nil); err == nil || len(store.calls) != 0 {
		t.Errorf("error %v, store calls %q", err, store.calls)
	}
}
