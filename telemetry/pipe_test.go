package telemetry

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"aigateway/persist"
)

// sink notes what it is given.
type sink struct {
	mu     sync.Mutex
	ids    []string
	sizes  []int
	closed bool
	// hang, when not nil, holds up Send until it or the context ends.
	hang chan struct{}
	lost int64
	fail error
}

func (s *sink) Send(ctx context.Context, batch []*persist.Exchange) {
	if s.hang != nil {
		select {
		case <-s.hang:
		case <-ctx.Done():
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		panic("Send after Close")
	}
	s.sizes = append(s.sizes, len(batch))
	for _, x := range batch {
		s.ids = append(s.ids, x.RequestID)
	}
}

func (s *sink) Close(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return s.fail
}

func (s *sink) Dropped() int64 { return s.lost }

func (s *sink) got() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ids)
}

// running starts the loops of a Telemetry; stop ends them, and waits.
func running(tele *Telemetry) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, loop := range tele.Loops() {
		wg.Go(func() { loop(ctx) })
	}
	return func() {
		cancel()
		wg.Wait()
	}
}

func TestExchangesComeInOrderWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &sink{}
		tele := New(Options{Sinks: []Sink{to}})
		stop := running(tele)
		defer stop()
		for _, id := range []string{"a", "b", "c"} {
			tele.End(&persist.Exchange{RequestID: id})
		}
		<-time.After(every)
		synctest.Wait()
		if got := strings.Join(to.ids, ""); got != "abc" {
			t.Errorf("got %q", got)
		}
	})
}

func TestAFullBatchDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &sink{}
		tele := New(Options{Sinks: []Sink{to}})
		stop := running(tele)
		defer stop()
		for range batchMost {
			tele.End(&persist.Exchange{})
		}
		synctest.Wait() // no time passes
		if to.got() != batchMost {
			t.Errorf("got %d at once, want %d", to.got(), batchMost)
		}
	})
}

func TestBatchesAreBoundedInCountAndBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &sink{}
		tele := New(Options{Sinks: []Sink{to}})
		for range batchMost + 1 {
			tele.End(&persist.Exchange{})
		}
		for range 3 {
			tele.End(&persist.Exchange{Trace: &persist.Trace{Prompt: make([]byte, batchBytes*2/3)}})
		}
		stop := running(tele)
		synctest.Wait()
		stop()
		if len(to.sizes) < 4 || to.sizes[0] != batchMost || to.sizes[1] != 2 || to.sizes[2] != 1 || to.sizes[3] != 1 {
			t.Errorf("got batches of %v", to.sizes)
		}
	})
}

func TestASinkThatHangsCostsNeitherRequestsNorOtherSinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck, well := &sink{hang: make(chan struct{})}, &sink{}
		var log bytes.Buffer
		tele := New(Options{Sinks: []Sink{stuck, well}, Log: slog.New(slog.NewTextHandler(&log, nil))})
		stop := running(tele)
		const ended = 3 * queueMost
		for i := range ended {
			tele.End(&persist.Exchange{}) // which returns, or the test ends here
			if i%batchMost == 0 {
				synctest.Wait()
			}
		}
		<-time.After(every)
		synctest.Wait()
		if well.got() != ended {
			t.Errorf("the other sink got %d of %d", well.got(), ended)
		}
		dropped := tele.Dropped()
		if dropped < ended-queueMost-batchMost || dropped == ended {
			t.Errorf("dropped %d of %d, want all but a queue", dropped, ended)
		}
		close(stuck.hang)
		<-time.After(every)
		synctest.Wait()
		if got := int64(stuck.got()); got+dropped != ended {
			t.Errorf("got %d, dropped %d of %d", got, dropped, ended)
		}
		if n := strings.Count(log.String(), "telemetry is dropped"); n != 1 {
			t.Errorf("told %d times that something was dropped, want once", n)
		}
		stop()
	})
}

func TestTheQueueIsBoundedInBytes(t *testing.T) {
	tele := New(Options{Sinks: []Sink{&sink{}}})
	for range 3 {
		tele.End(&persist.Exchange{Trace: &persist.Trace{Prompt: make([]byte, queueBytes/2)}})
	}
	if got := tele.Dropped(); got != 2 { // with what is around the prompt, two do not fit either
		t.Errorf("dropped %d, want 2", got)
	}
}

func TestWhatWaitsAtTheEndIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &sink{}
		tele := New(Options{Sinks: []Sink{to}})
		stop := running(tele)
		synctest.Wait()
		for range 3 * batchMost / 2 {
			tele.End(&persist.Exchange{})
		}
		stop()
		if to.got() != 3*batchMost/2 || !to.closed {
			t.Errorf("got %d, closed %v", to.got(), to.closed)
		}
		tele.End(&persist.Exchange{})
		if tele.Dropped() != 1 {
			t.Errorf("dropped %d, want the one that came too late", tele.Dropped())
		}
	})
}

func TestTheEndTakesFiveSecondsAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &sink{hang: make(chan struct{}), fail: errors.New(`Post "http://c.example/sesame/v1/metrics": EOF`)}
		var log bytes.Buffer
		tele := New(Options{Sinks: []Sink{to}, Log: slog.New(slog.NewTextHandler(&log, nil))})
		stop := running(tele)
		for range 3 * batchMost {
			tele.End(&persist.Exchange{})
		}
		synctest.Wait() // the sink hangs with the first batch
		start := time.Now()
		stop()
		if took := time.Since(start); took != ending {
			t.Errorf("took %v", took)
		}
		if !to.closed {
			t.Error("the sink was not closed")
		}
		if got := log.String(); !strings.Contains(got, "not sent whole") || !strings.Contains(got, "http://c.example") || strings.Contains(got, "sesame") {
			t.Errorf("the log says: %s", got)
		}
	})
}

func TestDroppedCountsWhatSinksLose(t *testing.T) {
	tele := New(Options{Sinks: []Sink{&sink{lost: 3}, &sink{lost: 4}}})
	if got := tele.Dropped(); got != 7 {
		t.Errorf("got %d", got)
	}
}

func BenchmarkRequestPath(b *testing.B) {
	tele := New(Options{Sinks: []Sink{&sink{}}})
	stop := running(tele)
	defer stop()
	x := persist.Exchange{Attempts: make([]persist.Attempt, 1)}
	b.ReportAllocs()
	for b.Loop() {
		given := x
		given.Trace = tele.Begin(nil)
		given.Trace.Sampled = Parent(given.Trace, NewSpan()) != ""
		tele.End(&given)
	}
}
