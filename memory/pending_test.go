package memory

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

var errBroken = errors.New("broken")

// outage is a store that can be broken, and what the tests ask of it. err is
// for tests that do one thing at a time.
type outage struct {
	*fakeStore
	err     error
	threads *Threads
	log     *bytes.Buffer
}

func newOutage(o Options) *outage {
	s := &outage{fakeStore: newFakeStore(), log: &bytes.Buffer{}}
	s.before = func(context.Context, string, *Turn) error { return s.err }
	o.Log = slog.New(slog.NewTextHandler(s.log, nil))
	s.threads = NewThreads(s, o)
	return s
}

// expand begins a turn that must begin.
func expand(t *testing.T, m *Memory, id, question string) *Thread {
	t.Helper()
	th, err := m.Expand(t.Context(), id, Owner{}, request(t, "u: "+question), nil)
	if err != nil {
		t.Fatal(err)
	}
	return th
}

func answer(t *testing.T, th *Thread, text string) error {
	t.Helper()
	return th.Append(t.Context(), "r", "bob", "e", json.RawMessage(one("a: "+text)))
}

// said returns what the store holds of a conversation.
func (s *outage) said(app, id string) (out []string) {
	if t := s.fakeStore.threads[thread{app, id}]; t != nil {
		for _, a := range t.Interactions {
			out = append(out, short(a.Messages)...)
		}
	}
	return out
}

func TestTurnsWaitForTheStoreAndAreSavedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newOutage(Options{})
		m := s.threads.For(Settings{App: "app"})
		th := expand(t, m, "", "0")
		if err := answer(t, th, "0"); err != nil {
			t.Fatal(err)
		}
		// Three turns at once; the store breaks before any is answered.
		turns := []*Thread{expand(t, m, th.ID(), "1"), expand(t, m, th.ID(), "2"), expand(t, m, th.ID(), "3")}
		s.err = errBroken
		for i, th := range turns {
			if err := answer(t, th, string(rune('1'+i))); !errors.Is(err, ErrPending) || !errors.Is(err, errBroken) {
				t.Errorf("turn %d: %v", i+1, err)
			}
		}
		var down *UnavailableError
		if _, err := m.Expand(t.Context(), th.ID(), Owner{}, request(t, "u: 4"), nil); !errors.As(err, &down) {
			t.Errorf("a turn was skipped: %v", err)
		}
		// Reading saves them first.
		s.err = nil
		req := request(t, "u: 4")
		if _, err := m.Expand(t.Context(), th.ID(), Owner{}, req, nil); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(l("u: 0", "a: 0", "u: 1", "a: 1", "u: 2", "a: 2", "u: 3", "a: 3", "u: 4"), sent(req)); diff != "" {
			t.Error(diff)
		}
		if turns, threads := s.threads.pending.count(); turns+threads+s.threads.pending.bytes != 0 {
			t.Errorf("%d turns of %d threads still wait, %d bytes", turns, threads, s.threads.pending.bytes)
		}
	})
}

func TestANewThreadWaitsWithItsFirstTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newOutage(Options{})
		m := s.threads.For(Settings{App: "app"})
		th := expand(t, m, "", "1")
		s.err = errBroken
		if err := answer(t, th, "1"); !errors.Is(err, ErrPending) {
			t.Fatal(err)
		}
		var down *UnavailableError
		if _, err := m.Expand(t.Context(), th.ID(), Owner{}, request(t, "u: 2"), nil); !errors.As(err, &down) {
			t.Errorf("the thread is not waited for: %v", err)
		}
		s.err = nil
		if th = expand(t, m, th.ID(), "2"); th.Started() {
			t.Error("started twice")
		}
	})
}

func TestATurnWaitsBehindThoseThatDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newOutage(Options{})
		m := s.threads.For(Settings{App: "app"})
		th := expand(t, m, "", "0")
		if err := answer(t, th, "0"); err != nil {
			t.Fatal(err)
		}
		first, second := expand(t, m, th.ID(), "1"), expand(t, m, th.ID(), "2")
		s.err = errBroken
		if err := answer(t, first, "1"); !errors.Is(err, ErrPending) {
			t.Fatal(err)
		}
		s.err = nil
		if err := answer(t, second, "2"); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(l("u: 0", "a: 0", "u: 1", "a: 1", "u: 2", "a: 2"), s.said("app", th.ID())); diff != "" {
			t.Error(diff)
		}
	})
}

func TestRunSavesWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var up atomic.Bool
		up.Store(true)
		s := newOutage(Options{Up: up.Load})
		s.before = func(context.Context, string, *Turn) error {
			if !up.Load() {
				return errBroken
			}
			return nil
		}
		m := s.threads.For(Settings{App: "app"})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { s.threads.Run(ctx); close(done) }()

		th := expand(t, m, "", "1")
		up.Store(false)
		if err := answer(t, th, "1"); !errors.Is(err, ErrPending) {
			t.Fatal(err)
		}
		calls := len(s.calls)
		<-time.After(time.Minute)
		if len(s.calls) != calls {
			t.Errorf("a store that is down was asked %d times", len(s.calls)-calls)
		}
		up.Store(true)
		<-time.After(time.Second)
		synctest.Wait()
		if got := s.said("app", th.ID()); len(got) != 2 {
			t.Errorf("the store holds %q", got)
		}
		cancel()
		<-done
		if strings.Contains(s.log.String(), "lost") {
			t.Error(s.log.String())
		}
	})
}

func TestRunTriesOnceMoreAtTheEndAndSaysWhatIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := false
		s := newOutage(Options{Up: func() bool { return up }})
		m := s.threads.For(Settings{App: "app"})
		up = true
		one, two := expand(t, m, "", "1"), expand(t, m, "", "2")
		up = false
		for _, th := range []*Thread{one, two} {
			if err := answer(t, th, "x"); !errors.Is(err, ErrPending) {
				t.Fatal(err)
			}
		}
		// The first is taken although nobody knew that the store is back; the
		// second hangs, and so does the store for good.
		s.before = func(ctx context.Context, _ string, turn *Turn) error {
			if turn.Thread == one.ID() {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		start := time.Now()
		s.threads.Run(ended)
		if took := time.Since(start); took > lastRound {
			t.Errorf("it took %s of the bubble's time", took)
		}
		if got := s.said("app", one.ID()); len(got) != 2 {
			t.Errorf("the store holds %q", got)
		}
		if log := s.log.String(); !strings.Contains(log, "turns are lost") || !strings.Contains(log, "turns=1 threads=1") {
			t.Error(log)
		}
	})
}

func TestASlowStoreHoldsAnAnswerBackForABoundedTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newOutage(Options{})
		s.before = func(ctx context.Context, _ string, _ *Turn) error { <-ctx.Done(); return ctx.Err() }
		th := expand(t, s.threads.For(Settings{App: "app"}), "", "1")
		start := time.Now()
		err := answer(t, th, "1")
		if took := time.Since(start); !errors.Is(err, ErrPending) || took != 2*time.Second {
			t.Errorf("%v after %s of the bubble's time, want 2 s", err, took)
		}
		start = time.Now()
		var down *UnavailableError
		_, err = s.threads.For(Settings{App: "app", Timeout: time.Second}).Expand(t.Context(), th.ID(), Owner{}, request(t, "u: 2"), nil)
		if took := time.Since(start); !errors.As(err, &down) || took != time.Second {
			t.Errorf("%v after %s of the bubble's time, want 1 s", err, took)
		}
	})
}

func TestATurnTakenInSpiteOfATimeoutIsKeptOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newOutage(Options{})
		m := s.threads.For(Settings{App: "app"})
		th := expand(t, m, "", "1")
		s.before = func(_ context.Context, op string, turn *Turn) error {
			s.before = nil
			if err := s.fakeStore.Append(context.Background(), turn); err != nil {
				t.Error(err)
			}
			return context.DeadlineExceeded // the answer was lost on its way
		}
		if err := answer(t, th, "1"); !errors.Is(err, ErrPending) {
			t.Fatal(err)
		}
		expand(t, m, th.ID(), "2")
		if diff := cmp.Diff(l("u: 1", "a: 1"), s.said("app", th.ID())); diff != "" {
			t.Error(diff)
		}
	})
}

func TestWhatWaitsIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newOutage(Options{PendingBytes: 2*turnOverhead + 500})
		m := s.threads.For(Settings{App: "app"})
		s.err = errBroken
		for i, want := range []bool{true, true, false} {
			err := answer(t, expand(t, m, "", "1"), "1")
			if errors.Is(err, ErrPending) != want || err == nil {
				t.Errorf("turn %d: %v", i, err)
			}
		}
		s.err = nil
		s.threads.saveAll(t.Context())
		s.err = errBroken
		if err := answer(t, expand(t, m, "", "1"), "1"); !errors.Is(err, ErrPending) {
			t.Errorf("no room after all was saved: %v", err)
		}
	})
}

func TestATurnOfAThreadThatHasGoneIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newOutage(Options{})
		m := s.threads.For(Settings{App: "app"})
		th := expand(t, m, "", "1")
		if err := answer(t, th, "1"); err != nil {
			t.Fatal(err)
		}
		id := th.ID()
		slow, waits, behind := expand(t, m, id, "2"), expand(t, m, id, "3"), expand(t, m, id, "4")
		s.err = errBroken
		if err := answer(t, waits, "3"); !errors.Is(err, ErrPending) {
			t.Fatal(err)
		}
		s.err = nil
		if _, err := s.Delete(t.Context(), "app", id); err != nil { // by another process
			t.Fatal(err)
		}
		if err := answer(t, behind, "4"); !errors.Is(err, ErrUnknown) || errors.Is(err, ErrPending) {
			t.Errorf("behind one that waits: %v", err)
		}
		if err := answer(t, slow, "2"); !errors.Is(err, ErrUnknown) || errors.Is(err, ErrPending) {
			t.Errorf("at once: %v", err)
		}
		if turns, _ := s.threads.pending.count(); turns != 0 || s.said("app", id) != nil {
			t.Errorf("%d turns wait; the store holds %q", turns, s.said("app", id))
		}
	})
}

func TestATurnThatTheStoreRefusesDoesNotBlockItsThreadForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newOutage(Options{Up: func() bool { return true }})
		m := s.threads.For(Settings{App: "app"})
		th := expand(t, m, "", "0")
		if err := answer(t, th, "0"); err != nil {
			t.Fatal(err)
		}
		bad, good := expand(t, m, th.ID(), "bad"), expand(t, m, th.ID(), "good")
		s.before = func(_ context.Context, op string, turn *Turn) error {
			if op == "append" && strings.Contains(string(turn.Messages[0]), "bad") {
				return errBroken
			}
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { s.threads.Run(ctx); close(done) }()
		for _, th := range []*Thread{bad, good} {
			if err := answer(t, th, "1"); !errors.Is(err, ErrPending) {
				t.Error(err)
			}
		}
		<-time.After((maxRefusals + 1) * time.Second)
		cancel()
		<-done
		if diff := cmp.Diff(l("u: 0", "a: 0", "u: good", "a: 1"), s.said("app", th.ID())); diff != "" {
			t.Error(diff)
		}
		if !strings.Contains(s.log.String(), "the store refuses it") {
			t.Error(s.log.String())
		}
	})
}

func TestAnOutageOfUnknownKindLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newOutage(Options{}) // nobody knows whether the store is up
		m := s.threads.For(Settings{App: "app"})
		th := expand(t, m, "", "0")
		s.err = errBroken
		if err := answer(t, th, "0"); !errors.Is(err, ErrPending) {
			t.Fatal(err)
		}
		for range 10 * maxRefusals {
			s.threads.saveAll(t.Context())
		}
		s.err = nil
		expand(t, m, th.ID(), "1")
	})
}

func TestNothingThatIsSaidIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newOutage(Options{})
		th := expand(t, s.threads.For(Settings{App: "app"}), "", "secret question")
		s.err = errBroken
		err := answer(t, th, "secret answer")
		if err == nil || strings.Contains(err.Error()+s.log.String(), "secret") || s.log.Len() == 0 {
			t.Errorf("error %v, log %s", err, s.log.String())
		}
	})
}

// Eight conversations of thirty turns on a store that fails half of the time:
// whoever is answered on a thread sees all its turns, in order.
func TestNoTurnIsSkippedWhileTheStoreComesAndGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newOutage(Options{})
		s.before = func(ctx context.Context, _ string, _ *Turn) error {
			select {
			case <-time.After(time.Millisecond):
			case <-ctx.Done():
			}
			if n := calls.Add(1); n*n%7 < 3 {
				return errBroken
			}
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		var run, talks sync.WaitGroup
		run.Go(func() { s.threads.Run(ctx) })
		m := s.threads.For(Settings{App: "app"})
		for range 8 {
			talks.Go(func() {
				id, want := "", []string(nil)
				for turn := range 30 {
					q := strconv.Itoa(turn)
					want = append(want, "u: "+q)
					var th *Thread
					for {
						req := request(t, "u: "+q)
						var err error
						if th, err = m.Expand(t.Context(), id, Owner{}, req, nil); err == nil {
							if diff := cmp.Diff(want, sent(req)); diff != "" {
								t.Errorf("turn %d: (-want +got)\n%s", turn, diff)
							}
							break
						}
						var down *UnavailableError
						if !errors.As(err, &down) {
							t.Errorf("turn %d: %v", turn, err)
							return
						}
						<-time.After(10 * time.Millisecond)
					}
					id = th.ID()
					want = append(want, "a: "+q)
					if err := answer(t, th, q); err != nil && !errors.Is(err, ErrPending) {
						t.Errorf("turn %d: %v", turn, err)
					}
				}
			})
		}
		talks.Wait()
		cancel()
		run.Wait()
	})
}
