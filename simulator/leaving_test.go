package simulator

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// leave calls s, lets the client leave when nothing moves any more, and returns what had been sent.
func leave(t *testing.T, s *Simulator, path, body string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := httptest.NewRequest("POST", path, strings.NewReader(body)).WithContext(ctx)
	r.Header.Set("Api-Key", "k")
	w := httptest.NewRecorder()
	var wait sync.WaitGroup
	wait.Go(func() { s.ServeHTTP(w, r) })
	synctest.Wait()
	if s.Open() != 1 || len(s.Invoice()) != 0 {
		t.Errorf("before the client left: open %d, invoice %v", s.Open(), s.Invoice())
	}
	cancel()
	wait.Wait()
	return w.Body.String()
}

func TestClientThatLeavesAStreamIsBilledWhatWasSent(t *testing.T) {
	for _, fault := range []Fault{"stall=0", "stall=1", "stall=5", "stall=14", "hang=1", "hang=4", "hang=100", "cadence=1h", "stall=1;onechunk"} {
		synctest.Test(t, func(t *testing.T) {
			s := New(Options{Count: letters, Fault: fault})
			got := leave(t, s, chatPath, streamed)
			line := only(t, s)
			want := countedIn(got, letters)
			if line.Ended != EndedCanceled || line.CompletionTokens != want || line.PromptTokens == 0 || !line.Stream {
				t.Errorf("%s: %+v, want %d completion tokens", fault, line, want)
			}
		})
	}
}

func TestStallFallsSilentAfterContentEvents(t *testing.T) {
	words := strings.SplitAfter("Simulated answer of gpt-4o-2024-08-06 to “What is a gateway?”. It has read 1 message.", " ")
	for n := range len(words) + 1 {
		synctest.Test(t, func(t *testing.T) {
			s := New(Options{Fault: Fault(fmt.Sprintf("stall=%d", n))})
			got := leave(t, s, chatPath, streamed)
			if want := strings.TrimSuffix(strings.Join(words[:n], ""), " "); text(events(got)) != want || !strings.Contains(got, `"role":"assistant"`) || strings.Contains(got, `"stop"`) {
				t.Errorf("stall=%d: %q, want %q and the role, but not the end", n, got, want)
			}
		})
	}
	w, aborted := post(t, New(Options{Fault: "stall=1000"}), chatPath, streamed)
	if aborted || !strings.HasSuffix(w.Body.String(), done) {
		t.Errorf("a stream that ends before the stall: %s", w.Body)
	}
}

func TestClientThatLeavesBeforeAWholeAnswerIsBilledItsPromptAtMost(t *testing.T) {
	for _, c := range []struct {
		fault Fault
		path  string
		body  string
		want  []Line
	}{
		{"latency=1h", chatPath, hello, nil},
		{"hang", chatPath, hello, nil},
		{"latency=1h", chatPath, streamed, nil},
		{"hang", chatPath, streamed, nil},
		{"hang=0", chatPath, streamed, nil},
		{"stall=3", chatPath, hello, []Line{{PromptTokens: ChatTokens([]byte(hello)), Ended: EndedCanceled}}},
		{"stall=3;reasoning=9;cachedprompt=2", chatPath, hello, []Line{{PromptTokens: ChatTokens([]byte(hello)), CachedTokens: 2, Ended: EndedCanceled}}},
		{"stall=0", completionsPath, `{"prompt":"three small words"}`, []Line{{PromptTokens: 3, Ended: EndedCanceled}}},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := New(Options{Fault: c.fault})
			if got := leave(t, s, c.path, c.body); got != "" {
				t.Errorf("%s: sent %q", c.fault, got)
			}
			if diff := cmp.Diff(c.want, s.Invoice(), cmpopts.IgnoreFields(Line{}, "Deployment", "Model", "Operation", "RequestID", "Start")); diff != "" {
				t.Errorf("%s of %s: %s", c.fault, c.body, diff)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Fault: "hang=1"})
		leave(t, s, chatPath, hello)
		if line := only(t, s); line.Ended != EndedCanceled || line.CompletionTokens == 0 {
			t.Errorf("left in the middle of a whole answer: %+v, want all of it", line)
		}
	})
}

func TestReasoningIsBilledWithTheFirstWord(t *testing.T) {
	for stall, want := range map[string]int{"stall=0": 0, "stall=1": 64 + len("Simulated")} {
		synctest.Test(t, func(t *testing.T) {
			s := New(Options{Count: letters, Fault: Fault("reasoning=64;" + stall)})
			leave(t, s, chatPath, streamed)
			if line := only(t, s); line.CompletionTokens != want || line.ReasoningTokens != min(want, 64) {
				t.Errorf("%s: %+v, want %d", stall, line, want)
			}
		})
	}
}
