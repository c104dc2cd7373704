package memory

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAThreadIsUnknownToAllButItsOwner(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	threads := NewThreads(newFakeStore(), Options{Now: func() time.Time { return now }})
	set := Settings{App: "app", Since: func(now time.Time) time.Time { return now.Add(-time.Hour) }}
	m := threads.For(set)
	owner := Owner{"me", "us"}
	th, err := m.Expand(t.Context(), "", owner, request(t, "u: 1"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := th.Append(t.Context(), "r", "u", "e", json.RawMessage(one("a: 2"))); err != nil {
		t.Fatal(err)
	}
	set.App = "other"
	other := threads.For(set)
	id := th.ID()
	for _, tt := range []struct {
		name  string
		m     *Memory
		id    string
		who   Owner
		later time.Duration
		want  bool
	}{
		{"the owner", m, id, owner, 0, true},
		{"as late as may be", m, id, owner, time.Hour, true},
		{"later", m, id, owner, time.Hour + 1, false},
		{"another caller", m, id, Owner{"you", "us"}, 0, false},
		{"another tenant", m, id, Owner{"me", "them"}, 0, false},
		{"nobody", m, id, Owner{}, 0, false},
		{"another application", other, id, owner, 0, false},
		{"another id", m, "00000000-0000-4000-8000-000000000000", owner, 0, false},
		{"braces", m, "{" + id + "}", owner, 0, false},
		{"a URN", m, "urn:uuid:" + id, owner, 0, false},
		{"no hyphens", m, strings.ReplaceAll(id, "-", ""), owner, 0, false},
		{"36 characters", m, strings.Repeat("x", 36), owner, 0, false},
		{"no UUID", m, "soon", owner, 0, false},
		{"NUL", m, id[:35] + "\x00", owner, 0, false},
	} {
		start := now
		now = now.Add(tt.later)
		req := request(t, "u: 3")
		_, err := tt.m.Expand(t.Context(), tt.id, tt.who, req, nil)
		_, readErr := tt.m.Read(t.Context(), tt.id, tt.who, false)
		var invalid, readInvalid *InvalidThread
		if tt.want && (err != nil || readErr != nil) || !tt.want && (!errors.As(err, &invalid) || invalid.ID != tt.id || !errors.As(readErr, &readInvalid) || len(req.Messages()) != 1) {
			t.Errorf("%s: %v, reading %v", tt.name, err, readErr)
		}
		now = start
	}

	// An admin may read and delete it all the same; another may not.
	now = now.Add(2 * time.Hour)
	if _, err := m.Read(t.Context(), id, Owner{}, true); err != nil {
		t.Error(err)
	}
	var invalid *InvalidThread
	if err := m.Delete(t.Context(), id, Owner{"you", "us"}, false); !errors.As(err, &invalid) {
		t.Errorf("another deleted it: %v", err)
	}
	if err := m.Delete(t.Context(), id, Owner{}, true); err != nil {
		t.Error(err)
	}
	if err := m.Delete(t.Context(), id, Owner{}, true); !errors.As(err, &invalid) {
		t.Errorf("deleted twice: %v", err)
	}
}

func TestAStoreFaultIsNotAnUnknownThread(t *testing.T) {
	store := newFakeStore()
	up := true
	m := NewThreads(store, Options{Up: func() bool { return up }}).For(Settings{App: "app"})
	c := &talk{t: t, m: m}
	c.turn("a: 2", "u: 1")
	broken := errors.New("broken")
	store.before = func(context.Context, string, *Turn) error { return broken }
	var down *UnavailableError
	if _, err := m.Expand(t.Context(), c.id, Owner{}, request(t, "u: 3"), nil); !errors.As(err, &down) || !errors.Is(err, broken) {
		t.Errorf("expanding: %v", err)
	}
	if err := m.Delete(t.Context(), c.id, Owner{}, false); !errors.As(err, &down) {
		t.Errorf("deleting: %v", err)
	}
	if _, err := m.threads.List(t.Context(), "", "u", 10); !errors.As(err, &down) {
		t.Errorf("listing: %v", err)
	}
	if _, err := m.threads.Erase(t.Context(), "", "u"); !errors.As(err, &down) {
		t.Errorf("erasing: %v", err)
	}

	// Known to be down: nobody waits, and new conversations go on without one.
	up = false
	calls := len(store.calls)
	if _, err := m.Expand(t.Context(), c.id, Owner{}, request(t, "u: 3"), nil); !errors.As(err, &down) {
		t.Errorf("expanding when down: %v", err)
	}
	if _, err := m.threads.List(t.Context(), "", "u", 10); !errors.As(err, &down) {
		t.Errorf("listing when down: %v", err)
	}
	if _, err := m.threads.Erase(t.Context(), "", "u"); !errors.As(err, &down) {
		t.Errorf("erasing when down: %v", err)
	}
	th, err := m.Expand(t.Context(), "", Owner{}, request(t, "u: 3"), nil)
	if err != nil || th.ID() != "" || th.Started() || th.Status() != "unavailable" {
		t.Errorf("%+v, %v", th, err)
	}
	if err := th.Append(t.Context(), "r", "u", "e", json.RawMessage(one("a: 4"))); err != nil {
		t.Error(err)
	}
	if len(store.calls) != calls {
		t.Errorf("the store was asked: %q", store.calls[calls:])
	}
}

func TestEraseForgetsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newOutage(Options{})
		m, other := s.threads.For(Settings{App: "app"}), s.threads.For(Settings{App: "other"})
		saved, unsaved, elsewhere := expand(t, m, "", "1"), expand(t, m, "", "2"), expand(t, other, "", "3")
		if err := answer(t, saved, "1"); err != nil {
			t.Fatal(err)
		}
		late := expand(t, m, saved.ID(), "late")
		s.err = errBroken
		for _, th := range []*Thread{unsaved, elsewhere, late} {
			if err := answer(t, th, "x"); !errors.Is(err, ErrPending) {
				t.Fatal(err)
			}
		}
		s.err = nil
		if n, err := s.threads.Erase(t.Context(), "app", "alice"); n != 0 || err != nil {
			t.Errorf("%d of a stranger's erased, %v", n, err)
		}
		if n, err := s.threads.Erase(t.Context(), "app", "bob"); n != 2 || err != nil {
			t.Errorf("%d erased, want 2; %v", n, err)
		}
		s.threads.saveAll(t.Context())
		if len(s.fakeStore.threads) != 1 || s.said("other", elsewhere.ID()) == nil {
			t.Errorf("%d threads are left", len(s.fakeStore.threads))
		}
	})
}

func TestListShowsWhatWaitsWhenItCanBeSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newOutage(Options{})
		th := expand(t, s.threads.For(Settings{App: "app"}), "", "1")
		s.err = errBroken
		if err := answer(t, th, "1"); !errors.Is(err, ErrPending) {
			t.Fatal(err)
		}
		s.err = nil
		rs, err := s.threads.List(t.Context(), "app", "bob", 10)
		if err != nil || len(rs) != 1 || rs[0].ID != th.ID() {
			t.Errorf("%v, %v", rs, err)
		}
	})
}
