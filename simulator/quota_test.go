package simulator

import (
	"strings"
	"sync"
	"testing"
	"time"
)

func TestRPMReallyAnswers429AndRecovers(t *testing.T) {
	c := newClock()
	s := New(Options{Now: c.now, Deployments: map[string]Deployment{"d": {RPM: 2}}})
	for i, remaining := range []string{"1", "0"} {
		w, _ := post(t, s, chatPath, hello)
		if w.Code != 200 || w.Header().Get("X-Ratelimit-Remaining-Requests") != remaining || w.Header().Get("X-Ratelimit-Limit-Requests") != "2" {
			t.Errorf("call %d: %d %v", i, w.Code, w.Header())
		}
	}
	c.at = c.at.Add(20*time.Second + 500*time.Millisecond)
	w, _ := post(t, s, chatPath, streamed)
	if w.Code != 429 || member(w, "error.code") != "429" || !strings.Contains(member(w, "error.message"), "exceeded call rate limit") {
		t.Errorf("over the limit: %d %s", w.Code, w.Body)
	}
	for name, want := range map[string]string{"Retry-After": "40", "Retry-After-Ms": "39500", "X-Ratelimit-Reset-Requests": "40", "X-Ratelimit-Remaining-Requests": "0", "Policy-Id": "DeploymentRatelimit-Call"} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if w, _ := post(t, s, strings.Replace(chatPath, "/d/", "/other/", 1), hello); w.Code != 200 {
		t.Errorf("another deployment: %d", w.Code)
	}
	c.at = c.at.Add(39500 * time.Millisecond)
	if w, _ := post(t, s, chatPath, hello); w.Code != 200 {
		t.Errorf("after retry-after-ms: %d", w.Code)
	}
}

func TestTPMCountsPromptAndWhatMayBeGenerated(t *testing.T) {
	c := newClock()
	prompt := ChatTokens([]byte(hello))
	s := New(Options{Now: c.now, Deployments: map[string]Deployment{"gpt": {TPM: 2 * (prompt + 100)}}})
	body := `{"model":"gpt","max_tokens":100,` + hello[1:]
	for i, want := range []int{200, 200, 429} {
		w, _ := post(t, s, "/v1/chat/completions", body)
		if w.Code != want {
			t.Errorf("call %d: %d, want %d: %s", i, w.Code, want, w.Body)
		}
		if want == 429 && (member(w, "error.type") != "tokens" || member(w, "error.code") != "rate_limit_exceeded" ||
			w.Header().Get("X-Ratelimit-Reset-Tokens") != "60s" || w.Header().Get("Retry-After-Ms") != "60000") {
			t.Errorf("%s %v", w.Body, w.Header())
		}
	}
	c.at = c.at.Add(time.Minute)
	if w, _ := post(t, s, "/v1/chat/completions", body); w.Code != 200 {
		t.Errorf("a minute later: %d", w.Code)
	}
}

func TestRPMHoldsUnderConcurrency(t *testing.T) {
	s := New(Options{Now: newClock().now, Deployments: map[string]Deployment{"d": {RPM: 10}}})
	var mu sync.Mutex
	got := map[int]int{}
	var wait sync.WaitGroup
	for range 40 {
		wait.Go(func() {
			w, _ := post(t, s, chatPath, hello)
			mu.Lock()
			defer mu.Unlock()
			got[w.Code]++
		})
	}
	wait.Wait()
	if got[200] != 10 || got[429] != 30 {
		t.Errorf("answers %v, want 10 of 200 and 30 of 429", got)
	}
}

func TestOtherServicesAreLimitedToo(t *testing.T) {
	s := New(Options{Now: newClock().now, Deployments: map[string]Deployment{"translator": {RPM: 1}, "search": {RPM: 1}}})
	for i, want := range []int{200, 429} {
		w, _ := post(t, s, "/translate?api-version=3.0&to=de", `[{"Text":"a"}]`)
		if w.Code != want || want == 429 && member(w, "error.code") != "429001" {
			t.Errorf("translator %d: %d %s", i, w.Code, w.Body)
		}
		if w, _ := post(t, s, "/indexes/i/docs/search?api-version=1", `{"search":"a"}`); w.Code != want {
			t.Errorf("search %d: %d %s", i, w.Code, w.Body)
		}
	}
}
