package azure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"aigateway/persist"
)

func batchOf(from, to int) (batch []*persist.Exchange) {
	for i := from; i < to; i++ {
		batch = append(batch, simple(i))
	}
	return batch
}

// ids are the requests that arrived, in order.
func (in *standIn) ids() []string {
	var ids []string
	for _, e := range in.of("RequestData") {
		ids = append(ids, e.request.Properties["requestId"])
	}
	return ids
}

func wantIDs(from, to int) (ids []string) {
	for i := from; i < to; i++ {
		ids = append(ids, fmt.Sprint("req-", i))
	}
	return ids
}

// answering answers posts with these statuses, then with 200.
func (in *standIn) answering(header http.Header, statuses ...int) {
	in.reply = func(w http.ResponseWriter, _ *http.Request, _ []envelope) bool {
		if len(statuses) == 0 {
			return false
		}
		for k, v := range header {
			w.Header()[k] = v
		}
		w.WriteHeader(statuses[0])
		statuses = statuses[1:]
		return true
	}
}

func TestAThousandExchangesArriveComplete(t *testing.T) {
	in := newStandIn(t)
	s := in.open(Options{Content: true})
	for i := 0; i < 1000; i += 250 {
		s.Send(t.Context(), batchOf(i, i+250))
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wantIDs(0, 1000), in.ids()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	calls := in.of("RemoteDependencyData")
	if len(calls) != 1000 || s.Dropped() != 0 {
		t.Fatalf("got %d calls, %d dropped", len(calls), s.Dropped())
	}
	spans := map[string]bool{}
	for i, e := range in.of("RequestData") {
		if calls[i].Tags["ai.operation.parentId"] != e.request.ID || calls[i].Tags["ai.operation.id"] != e.Tags["ai.operation.id"] {
			t.Fatalf("call %d is not of request %s", i, e.request.ID)
		}
		spans[e.request.ID], spans[calls[i].dependency.ID] = true, true
	}
	if len(spans) != 2000 {
		t.Errorf("got %d ids", len(spans))
	}
	if got := in.measured()["Prompt Tokens support gpt-4o-2024-08-06"]; got != [4]float64{120_000, 1000, 120, 120} {
		t.Errorf("got %v prompt tokens", got)
	}
}

func TestPostsAreOfAtMost500Items(t *testing.T) {
	in := newStandIn(t)
	in.open(Options{}).Send(t.Context(), batchOf(0, 600))
	if diff := cmp.Diff([]int{500, 500, 200}, in.posts); diff != "" {
		t.Error(diff)
	}
}

func TestPostsAreOfAtMostAMegabyte(t *testing.T) {
	in := newStandIn(t)
	batch := batchOf(0, 200)
	for _, x := range batch {
		x.Trace.Prompt = []byte(strings.Repeat("€", 8000))
	}
	in.open(Options{Content: true}).Send(t.Context(), batch) // the stand-in checks the length
	if len(in.posts) < 5 || len(in.ids()) != 200 {
		t.Errorf("got %d requests in %v", len(in.ids()), in.posts)
	}
}

func TestPartialSuccessResendsWhatMayPass(t *testing.T) {
	in, at := newStandIn(t), newClock()
	first := true
	in.reply = func(w http.ResponseWriter, _ *http.Request, items []envelope) bool {
		if !first {
			return false
		}
		first = false
		type fault struct {
			Index      int    `json:"index"`
			StatusCode int    `json:"statusCode"`
			Message    string `json:"message"`
		}
		faults := []fault{{-1, 500, ""}, {99, 500, ""}}
		for i, status := range []int{408, 429, 439, 500, 502, 503, 504, 400, 402, 404} {
			faults = append(faults, fault{i, status, "a secret of the item"}, fault{i, status, "again"})
		}
		in.items = append(in.items, items[10:]...)
		w.WriteHeader(206)
		return json.NewEncoder(w).Encode(map[string]any{"itemsReceived": len(items), "itemsAccepted": len(items) - 10, "errors": faults}) == nil
	}
	log, lines := logged()
	s := in.open(Options{Now: at.now, Log: log})
	batch := batchOf(0, 12)
	for _, x := range batch {
		x.Attempts = nil
	}
	s.Send(t.Context(), batch)
	if s.Dropped() != 3 {
		t.Errorf("%d were dropped, want 3", s.Dropped())
	}
	s.Send(t.Context(), nil)
	if diff := cmp.Diff([]string{"req-10", "req-11"}, in.ids()); diff != "" {
		t.Errorf("before the pause is over: %s", diff)
	}
	at.pass(time.Second)
	s.Send(t.Context(), nil)
	if diff := cmp.Diff(append([]string{"req-10", "req-11"}, wantIDs(0, 7)...), in.ids()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if s.Dropped() != 3 || strings.Contains(lines.String(), "secret") || !strings.Contains(lines.String(), "lost=3") {
		t.Errorf("%d were dropped, logged %s", s.Dropped(), lines)
	}
}

func TestPartialSuccessThatCannotBeReadIsNotRepeated(t *testing.T) {
	in := newStandIn(t)
	in.reply = func(w http.ResponseWriter, _ *http.Request, _ []envelope) bool {
		w.WriteHeader(206)
		w.Write([]byte(`{"errors":[{"index":`))
		return true
	}
	s := in.open(Options{})
	s.Send(t.Context(), batchOf(0, 2))
	if s.Dropped() != 2 || len(in.posts) != 1 || len(s.backlog.items) != 0 {
		t.Errorf("%d were dropped after %d posts", s.Dropped(), len(in.posts))
	}
}

func TestPartialSuccessWithNothingToResendGoesOn(t *testing.T) {
	in := newStandIn(t)
	in.reply = func(w http.ResponseWriter, _ *http.Request, items []envelope) bool {
		if len(in.posts) > 1 {
			return false
		}
		in.items = append(in.items, items[1:]...)
		w.WriteHeader(206)
		w.Write([]byte(`{"itemsReceived":500,"itemsAccepted":499,"errors":[{"index":0,"statusCode":400,"message":"bad"}]}`))
		return true
	}
	s := in.open(Options{})
	s.Send(t.Context(), batchOf(0, 300))
	if diff := cmp.Diff(wantIDs(1, 300), in.ids()); diff != "" || s.Dropped() != 1 {
		t.Errorf("%d were dropped (-want +got):\n%s", s.Dropped(), diff)
	}
}

func TestThrottlingPausesAsLongAsTheServiceAsks(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		header string
		pause  time.Duration
	}{
		{"seconds", 429, "20", 20 * time.Second},
		{"a date", 503, begin.Add(30 * time.Second).Format(http.TimeFormat), 30*time.Second - 123456700},
		{"the old status of quotas", 439, "7", 7 * time.Second},
		{"a quota", 402, "600", 10 * time.Minute},
		{"more than an hour", 402, "86400", time.Hour},
		{"no header", 402, "", time.Second},
		{"nonsense", 429, "soon", time.Second},
		{"a date that is past", 429, begin.Add(-time.Hour).Format(http.TimeFormat), time.Second},
		{"a negative wait", 429, "-5", time.Second},
		{"no access", 401, "", time.Second},
		{"forbidden", 403, "", time.Second},
		{"a gateway's time-out", 504, "", time.Second},
		{"an unknown fault", 599, "", time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			in, at := newStandIn(t), newClock()
			header := http.Header{}
			if c.header != "" {
				header.Set("Retry-After", c.header)
			}
			in.answering(header, c.status)
			s := in.open(Options{Now: at.now})
			s.Send(t.Context(), batchOf(0, 1))
			at.pass(c.pause - 1)
			s.Send(t.Context(), batchOf(1, 2))
			if len(in.posts) != 1 {
				t.Fatalf("got %d posts before the pause is over", len(in.posts))
			}
			at.pass(1)
			s.Send(t.Context(), batchOf(2, 3))
			if diff := cmp.Diff(wantIDs(0, 3), in.ids()); diff != "" || s.Dropped() != 0 {
				t.Errorf("%d dropped (-want +got):\n%s", s.Dropped(), diff)
			}
		})
	}
}

func TestPausesGrowWithFailuresInARow(t *testing.T) {
	in, at := newStandIn(t), newClock()
	in.answering(nil, slices.Repeat([]int{500}, 12)...)
	s := in.open(Options{Now: at.now})
	s.Send(t.Context(), batchOf(0, 1))
	var pauses []int
	for len(in.ids()) == 0 {
		pauses = append(pauses, int(s.until.Sub(at.at)/time.Second))
		at.at = s.until
		s.Send(t.Context(), nil)
	}
	if diff := cmp.Diff([]int{1, 2, 4, 8, 16, 32, 64, 120, 120, 120, 120, 120}, pauses); diff != "" {
		t.Error(diff)
	}
	in.answering(nil, 500)
	s.Send(t.Context(), batchOf(1, 2))
	if got := s.until.Sub(at.at); got != time.Second {
		t.Errorf("got a pause of %v after a success", got)
	}
}

func TestRefusedPostsAreDropped(t *testing.T) {
	for _, status := range []int{400, 404, 301, 307} { // redirects without a place, or of a kind that changes the method
		in := newStandIn(t)
		in.answering(nil, status)
		s := in.open(Options{})
		s.Send(t.Context(), batchOf(0, 3))
		s.Send(t.Context(), batchOf(3, 5))
		if diff := cmp.Diff(wantIDs(3, 5), in.ids()); diff != "" || s.Dropped() != 3 {
			t.Errorf("status %d: %d were dropped (-want +got):\n%s", status, s.Dropped(), diff)
		}
	}
}

func TestPostsThatAreTooLargeAreDivided(t *testing.T) {
	in := newStandIn(t)
	in.reply = func(w http.ResponseWriter, _ *http.Request, items []envelope) bool {
		bad := func(e envelope) bool { return e.request.Properties["requestId"] == "req-5" }
		if len(items) > 3 || slices.ContainsFunc(items, bad) {
			w.WriteHeader(413)
			return true
		}
		return false
	}
	s := in.open(Options{})
	batch := batchOf(0, 20)
	for _, x := range batch {
		x.Attempts = nil
	}
	s.Send(t.Context(), batch)
	if diff := cmp.Diff(slices.Concat(wantIDs(0, 5), wantIDs(6, 20)), in.ids()); diff != "" || s.Dropped() != 1 {
		t.Errorf("%d were dropped (-want +got):\n%s", s.Dropped(), diff)
	}
}

// transport is an http.RoundTripper.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func hanging(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestAServiceThatHangsHoldsUpSendForTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := opened(t, Options{ConnectionString: "InstrumentationKey=" + testKey, Client: &http.Client{Transport: transport(hanging)}})
		start := time.Now()
		s.Send(t.Context(), batchOf(0, 1))
		if took := time.Since(start); took != postMost {
			t.Errorf("took %v", took)
		}
		start = time.Now()
		s.Send(t.Context(), batchOf(1, 2)) // in the pause
		if took := time.Since(start); took != 0 || s.Dropped() != 0 || len(s.backlog.items) != 4 {
			t.Errorf("took %v, %d dropped, %d items wait", took, s.Dropped(), len(s.backlog.items))
		}
	})
}

func ended(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestSendEndsWithItsContextAndKeepsWhatItHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := opened(t, Options{ConnectionString: "InstrumentationKey=" + testKey, Client: &http.Client{Transport: transport(hanging)}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		s.Send(ctx, batchOf(0, 1))
		if took := time.Since(start); took != time.Second || len(s.backlog.items) != 2 || s.failures != 0 {
			t.Errorf("took %v, %d items wait, %d failures", took, len(s.backlog.items), s.failures)
		}
		ctx, cancel = context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start = time.Now()
		s.Send(ended(t), nil)
		if took := time.Since(start); took != 0 {
			t.Errorf("took %v though the context had ended", took)
		}
		err := s.Close(ctx)
		if took := time.Since(start); took != 3*time.Second || !errors.Is(err, context.DeadlineExceeded) || s.Dropped() != 1 {
			t.Errorf("took %v with %v, %d dropped", took, err, s.Dropped())
		}
	})
}

func TestAServiceThatIsNotThereCostsBoundedMemory(t *testing.T) {
	at := newClock()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close() // nobody listens there now
	log, lines := logged()
	s := opened(t, Options{ConnectionString: "InstrumentationKey=" + testKey + ";IngestionEndpoint=http://" + l.Addr().String() + "/sesame/", Now: at.now, Log: log, Content: true})
	const sends, each = 60, 40
	for range sends {
		batch := batchOf(0, each)
		for _, x := range batch {
			x.Trace.Prompt = []byte(strings.Repeat("€", contentMost))
		}
		s.Send(t.Context(), batch)
		at.pass(2 * time.Second)
	}
	if s.backlog.bytes > backlogBytes || s.Dropped() < 1000 || s.Dropped() >= sends*each {
		t.Errorf("got %d bytes, %d dropped", s.backlog.bytes, s.Dropped())
	}
	if n := strings.Count(lines.String(), "\n"); n != 2 { // of two minutes
		t.Errorf("got %d lines:\n%s", n, lines)
	}
	if err := s.Close(t.Context()); err == nil || strings.Contains(err.Error(), "sesame") || s.Dropped() != sends*each {
		t.Errorf("closed with %v, %d dropped", err, s.Dropped())
	}
	for _, key := range []string{testKey, strings.ReplaceAll(testKey, "-", ""), "sesame"} {
		if strings.Contains(lines.String(), key) {
			t.Errorf("%s is in the log:\n%s", key, lines)
		}
	}
}

func TestCloseSendsInAPause(t *testing.T) {
	in := newStandIn(t)
	in.answering(http.Header{"Retry-After": {"3600"}}, 429)
	s := in.open(Options{})
	s.Send(t.Context(), batchOf(0, 2))
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wantIDs(0, 2), in.ids()); diff != "" || s.Dropped() != 0 {
		t.Errorf("%d dropped: %s", s.Dropped(), diff)
	}
}

func TestTroubleIsLoggedOnceAMinute(t *testing.T) {
	in, at := newStandIn(t), newClock()
	in.answering(nil, slices.Repeat([]int{400}, 100)...)
	log, lines := logged()
	s := in.open(Options{Now: at.now, Log: log})
	for i := range 90 {
		s.Send(t.Context(), batchOf(i, i+1))
		at.pass(time.Second)
	}
	got := strings.Split(strings.TrimSpace(lines.String()), "\n")
	if len(got) != 2 || !strings.Contains(got[0], `error="status 400" lost=2 `) || !strings.Contains(got[1], `lost=124 `) { // 60 exchanges of two items, and four metrics
		t.Errorf("got:\n%s", lines)
	}
	if s.Dropped() != 90 {
		t.Errorf("%d were dropped", s.Dropped())
	}
}
