package gateway_test

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"aigateway/simulator"
)

func TestFailingEndpointIsFollowedByTheNext(t *testing.T) {
	for _, fault := range []simulator.Fault{
		"status=429", "status=429; retry-after=1", "status=500", "status=502", "status=503", "status=504", "status=529",
		"status=401", "status=403", "status=404", "status=408", "reset", "html", "empty", "cut=5", "truncate", "errorevent=0",
		"status=301", "status=500; big=1048576", "hang",
	} {
		for _, stream := range []bool{false, true} {
			name, request := string(fault), goodChat
			if stream {
				name, request = name+", streamed", strings.Replace(goodChat, "{", `{"stream":true,`, 1)
				if fault == "cut=5" || fault == "truncate" {
					continue // breaks after its first content
				}
			}
			if !stream && fault == "errorevent=0" {
				continue // an error object under 200 is an answer
			}
			t.Run(name, func(t *testing.T) {
				s := newSetup(t, applications(chatApp("chat", `"timeouts":{"firstByte":"50 milliseconds"},`, "one", "two")))
				if fault != "hang" {
					s.source.set(applications(chatApp("chat", "", "one", "two")))
					if _, err := s.server.Reload(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				s.sim.Script("one", fault)
				status, h, body := s.post("/lb/chat", request)
				if status != http.StatusOK || !strings.Contains(body, "Simulated") && !strings.Contains(body, "[DONE]") {
					t.Fatalf("%d %.300s", status, body)
				}
				if h.Get("X-Gateway-Endpoint") != "two" || h.Get("X-Gateway-Attempts") != "2" {
					t.Errorf("endpoint %q, attempts %q", h.Get("X-Gateway-Endpoint"), h.Get("X-Gateway-Attempts"))
				}
				if one, two := s.sim.Calls("one"), s.sim.Calls("two"); one != 1 || two != 1 {
					t.Errorf("calls %d, %d", one, two)
				}
				seen := s.sim.Requests()
				if string(seen[0].Body) != string(seen[1].Body) {
					t.Errorf("bodies differ: %s, %s", seen[0].Body, seen[1].Body)
				}
			})
		}
	}
}

func TestRefusedConnectionIsFollowedByTheNext(t *testing.T) {
	s := newSetup(t, applications(`{"appId":"chat","appType":"azure_oai","endpoints":[
		{"apikey":"key-of-zero","uri":"http://127.0.0.1:1/openai/deployments/zero/chat/completions?api-version=2024-10-21"},
		{"apikey":"key-of-one","uri":"`+chatURI("one")+`"}]}`))
	status, h, body := s.post("/lb/chat", goodChat)
	if status != http.StatusOK || h.Get("X-Gateway-Endpoint") != "1" || h.Get("X-Gateway-Attempts") != "2" {
		t.Errorf("%d %v %.200s", status, h, body)
	}
}

func TestRefusalOfTheRequestIsAnsweredUnchanged(t *testing.T) {
	for _, code := range []int{400, 402, 405, 409, 413, 415, 422} {
		for _, stream := range []string{"", `"stream":true,`} {
			t.Run(strconv.Itoa(code)+" "+stream, func(t *testing.T) {
				s := newSetup(t, applications(chatApp("chat", "", "one", "two")))
				// The fault travels in the body, to the simulator behind the gateway and without one.
				request := strings.Replace(goodChat, "{", `{"user":"sim:status=`+strconv.Itoa(code)+`",`+stream, 1)
				status, h, body := s.post("/lb/chat", request)
				direct, err := http.NewRequestWithContext(t.Context(), http.MethodPost, strings.ReplaceAll(chatURI("one"), "{{sim}}", s.simURL), strings.NewReader(request))
				if err != nil {
					t.Fatal(err)
				}
				direct.Header.Set("api-key", "any")
				wantStatus, wantKind, want := s.exchange(direct)
				if status != wantStatus || body != want || h.Get("Content-Type") != wantKind {
					t.Errorf("%d %q %s, want %d %q %s", status, h.Get("Content-Type"), body, wantStatus, wantKind, want)
				}
				if n := s.sim.Calls("two"); n != 0 {
					t.Errorf("the second endpoint was asked")
				}
				if h.Get("X-Request-Id") == "" {
					t.Error("no x-request-id")
				}
			})
		}
	}
}

// exchange makes a request past the gateway.
func (s *setup) exchange(req *http.Request) (status int, kind, body string) {
	s.t.Helper()
	resp, err := s.client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	var b strings.Builder
	if _, err := io.Copy(&b, resp.Body); err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Content-Type"), b.String()
}

func TestContentFilterAnswerIsUnchanged(t *testing.T) {
	s := newSetup(t, applications(chatApp("chat", "", "one", "two")))
	status, _, body := s.post("/lb/chat", `{"messages":[{"role":"user","content":"violence-test"}]}`)
	if status != http.StatusBadRequest || !strings.Contains(body, "content_filter_result") || strings.Contains(body, `"target"`) {
		t.Errorf("%d %s", status, body)
	}
	if s.sim.Calls("two") != 0 {
		t.Error("the second endpoint was asked")
	}
}

func TestLastEndpointsFailureIsTheAnswer(t *testing.T) {
	for _, c := range []struct {
		name     string
		one, two simulator.Fault
		status   int
		code     string
	}{
		{"both 500", "status=500", "status=500", 502, "backendFailure"},
		{"both 503 with a wait", "status=503; retry-after=9", "status=503; retry-after=9", 502, "backendFailure"},
		{"reset, then 500", "reset", "status=500", 502, "backendFailure"},
		{"500, then silence", "status=500", "hang", 504, "backendFailure"},
		{"silence, then reset", "hang", "reset", 502, "backendFailure"},
		{"429, then 500", "status=429", "status=500", 502, "backendFailure"},
		{"500, then 429", "status=500", "status=429", 429, "tooManyRequests"},
		{"both 429", "status=429", "status=429", 429, "tooManyRequests"},
		{"500, then 401", "status=500", "status=401", 401, ""},
		{"both 404", "status=404", "status=404", 404, ""},
		{"500, then 400", "status=500", "status=400", 400, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSetup(t, applications(chatApp("chat", `"timeouts":{"firstByte":"60 milliseconds"},`, "one", "two")))
			s.sim.Script("one", c.one)
			s.sim.Script("two", c.two)
			status, h, body := s.post("/lb/chat", goodChat)
			if c.code != "" {
				wantError(t, status, h, body, c.status, c.code)
			} else if status != c.status || strings.Contains(body, `"target"`) {
				t.Errorf("%d %s", status, body)
			}
			if (status == 429) != (h.Get("Retry-After") != "") {
				t.Errorf("%d with retry-after %q", status, h.Get("Retry-After"))
			}
		})
	}
}

// waits reads the two headers of a 429 and checks that they agree.
func waits(t *testing.T, h http.Header) time.Duration {
	t.Helper()
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil {
		t.Fatalf("retry-after: %v", err)
	}
	ms, err := strconv.Atoi(h.Get("Retry-After-Ms"))
	if err != nil || ms <= 0 {
		t.Fatalf("retry-after-ms: %q", h.Get("Retry-After-Ms"))
	}
	if want := int(math.Ceil(float64(ms) / 1000)); seconds != want {
		t.Errorf("retry-after %d, retry-after-ms %d", seconds, ms)
	}
	return time.Duration(ms) * time.Millisecond
}

func TestThrottledEndpointRestsAsLongAsItAsks(t *testing.T) {
	hence := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	for _, c := range []struct {
		name  string
		fault simulator.Fault
		least time.Duration // the rest, less what the test itself may take
		most  time.Duration
	}{
		{"seconds", "retry-after=3600", 59 * time.Minute, time.Hour},
		{"milliseconds win", "retry-after=9; retry-after-ms=3600000", 59 * time.Minute, time.Hour},
		{"Azure's milliseconds win", "retry-after=9; x-ms-retry-after-ms=3600000", 59 * time.Minute, time.Hour},
		{"date", simulator.Fault("retry-after=" + hence(time.Hour)), 58 * time.Minute, time.Hour},
		{"date in the past", simulator.Fault("retry-after=" + hence(-time.Hour)), 0, 10 * time.Second},
		{"date of another century", "retry-after=Fri, 31 Dec 2199 23:59:59 GMT", 5 * time.Second, 10 * time.Second},
		{"negative", "retry-after=-5", 5 * time.Second, 10 * time.Second},
		{"absurd", "retry-after=99999999999999999999", 5 * time.Second, 10 * time.Second},
		{"not a number", "retry-after=soon", 5 * time.Second, 10 * time.Second},
		{"missing", "", 5 * time.Second, 10 * time.Second},
		{"reset of the rate limit", "x-ratelimit-reset-requests=1h0m0s; x-ratelimit-reset-tokens=2h", 59 * time.Minute, time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSetup(t, applications(chatApp("chat", "", "one")))
			s.sim.Script("one", "status=429;"+c.fault)
			status, h, body := s.post("/lb/chat", goodChat)
			message := wantError(t, status, h, body, http.StatusTooManyRequests, "tooManyRequests")
			wait := waits(t, h)
			if wait < c.least || wait > c.most {
				t.Errorf("wait %v, want %v to %v", wait, c.least, c.most)
			}
			want := fmt.Sprintf("All backend Azure OAI endpoints are too busy! Retry after [%s] seconds ...", h.Get("Retry-After"))
			if message != want {
				t.Errorf("message %q, want %q", message, want)
			}
			if c.least > 0 {
				if status, _, _ := s.post("/lb/chat", goodChat); status != http.StatusTooManyRequests || s.sim.Calls("one") != 1 {
					t.Errorf("while it rests: %d, %d calls", status, s.sim.Calls("one"))
				}
			}
			s.advance(wait + time.Second)
			if status, _, body := s.post("/lb/chat", goodChat); status != http.StatusOK {
				t.Errorf("after its rest: %d %s", status, body)
			}
		})
	}
}

func TestAllThrottledAnswersTheSmallestWait(t *testing.T) {
	s := newSetup(t, applications(chatApp("chat", "", "one", "two", "three")))
	s.sim.Script("one", "status=429; retry-after=9000")
	s.sim.Script("two", "status=429; retry-after=1000")
	s.sim.Script("three", "status=429; retry-after=20000")
	status, h, body := s.post("/lb/chat", goodChat)
	wantError(t, status, h, body, http.StatusTooManyRequests, "tooManyRequests")
	if wait := waits(t, h); wait > 1000*time.Second || wait < 900*time.Second {
		t.Errorf("wait %v", wait)
	}
	s.advance(1001 * time.Second)
	if _, h, _ = s.post("/lb/chat", goodChat); h.Get("X-Gateway-Endpoint") != "two" || h.Get("X-Gateway-Attempts") != "1" {
		t.Errorf("endpoint %q in %q attempts", h.Get("X-Gateway-Endpoint"), h.Get("X-Gateway-Attempts"))
	}
	s.advance(9000 * time.Second)
	if _, h, _ = s.post("/lb/chat", goodChat); h.Get("X-Gateway-Endpoint") != "one" {
		t.Errorf("the first endpoint did not come back: %q", h.Get("X-Gateway-Endpoint"))
	}
}

func TestRPMIsNeverExceeded(t *testing.T) {
	s := newSetup(t, applications(`{"appId":"chat","appType":"azure_oai","endpoints":[
		{"rpm":7,"apikey":"key-of-one","uri":"`+chatURI("one")+`"},
		{"rpm":5,"apikey":"key-of-two","uri":"`+chatURI("two")+`"}]}`))
	for round := 1; round <= 2; round++ {
		var wg sync.WaitGroup
		var mu sync.Mutex
		counts := map[int]int{}
		for range 100 {
			wg.Go(func() {
				resp, err := s.client.Post(s.url+"/lb/chat", "application/json", strings.NewReader(goodChat))
				if err != nil {
					t.Error(err)
					return
				}
				defer resp.Body.Close()
				var b strings.Builder
				_, _ = io.Copy(&b, resp.Body)
				if resp.StatusCode == http.StatusTooManyRequests {
					if wait, err := strconv.Atoi(resp.Header.Get("Retry-After")); err != nil || wait < 1 || wait > 60 {
						t.Errorf("retry-after %q", resp.Header.Get("Retry-After"))
					}
				}
				mu.Lock()
				defer mu.Unlock()
				counts[resp.StatusCode]++
			})
		}
		wg.Wait()
		if counts[200] != 12 || counts[429] != 88 {
			t.Errorf("round %d: statuses %v", round, counts)
		}
		if one, two := s.sim.Calls("one"), s.sim.Calls("two"); one != 7*round || two != 5*round {
			t.Errorf("round %d: calls %d, %d", round, one, two)
		}
		s.advance(61 * time.Second)
	}
}

func TestMaxAttemptsBoundsTheEndpointsTried(t *testing.T) {
	s := newSetup(t, applications(chatApp("chat", `"retry":{"maxAttempts":2},`, "one", "two", "three")))
	s.sim.Script("one", "status=500")
	s.sim.Script("two", "status=500")
	status, h, body := s.post("/lb/chat", goodChat)
	wantError(t, status, h, body, http.StatusBadGateway, "backendFailure")
	if n := s.sim.Calls("three"); n != 0 {
		t.Error("a third endpoint was asked")
	}
	if h.Get("X-Gateway-Endpoint") != "two" || h.Get("X-Gateway-Attempts") != "2" {
		t.Errorf("endpoint %q, attempts %q", h.Get("X-Gateway-Endpoint"), h.Get("X-Gateway-Attempts"))
	}
}

func TestEndpointHeaderChoosesWhereAllowed(t *testing.T) {
	s := newSetup(t, applications(chatApp("free", `"endpointHeader":true,`, "one", "two"), chatApp("fixed", "", "one", "two")))
	for _, c := range []struct {
		app, wanted string
		status      int
		endpoint    string
	}{
		{"free", "two", 200, "two"},
		{"free", "one", 200, "one"},
		{"free", "", 200, "one"},
		{"free", "three", 400, ""},
		{"free", "TWO", 400, ""},
		{"fixed", "two", 200, "one"},
		{"fixed", "three", 200, "one"},
	} {
		var headers []string
		if c.wanted != "" {
			headers = []string{"x-gateway-endpoint", c.wanted}
		}
		status, h, body := s.post("/lb/"+c.app, goodChat, headers...)
		if status != c.status || h.Get("X-Gateway-Endpoint") != c.endpoint {
			t.Errorf("%s, %q: %d by %q: %.200s", c.app, c.wanted, status, h.Get("X-Gateway-Endpoint"), body)
		}
		if status == 400 {
			wantError(t, status, h, body, 400, "invalidPayload")
		}
	}
	// The endpoint that was asked for is the only one.
	s.sim.Script("two", "status=500", "status=429; retry-after=3600")
	status, h, body := s.post("/lb/free", goodChat, "x-gateway-endpoint", "two")
	wantError(t, status, h, body, http.StatusBadGateway, "backendFailure")
	for range 2 {
		status, h, body = s.post("/lb/free", goodChat, "x-gateway-endpoint", "two")
		wantError(t, status, h, body, http.StatusTooManyRequests, "tooManyRequests")
		if wait := waits(t, h); wait < 59*time.Minute {
			t.Errorf("wait %v", wait)
		}
	}
}
