package gateway_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"aigateway/simulator"
)

// patience bounds waits for what should come at once.
const patience = 20 * time.Second

// fixedTime is the clock of simulators whose answers are compared: ids follow
// from it and from the number of the call.
func fixedTime() time.Time { return time.Unix(1_760_000_000, 0) }

// within waits until ask says yes.
func within(t *testing.T, what string, ask func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for !ask() {
		select {
		case <-ctx.Done():
			t.Fatalf("not so: %s", what)
		case <-again.C:
		}
	}
}

// streamBody is a chat request for a stream with a fault of the simulator.
func streamBody(fault, members string) string {
	return `{"stream":true,` + members + `"user":"sim:` + fault + `","messages":[{"role":"user","content":"Tell me — “in a few words” — what a gateway is. ` + promptMarker + `"}]}`
}

const askUsage = `"stream_options":{"include_usage":true},`

// stream makes a request and returns what came, and how the answer ended.
func (s *setup) stream(path, body string, headers ...string) (resp *http.Response, text string, err error) {
	s.t.Helper()
	resp = s.send(http.MethodPost, path, strings.NewReader(body), headers...)
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	return resp, string(all), err
}

// direct is what a simulator made as o says answers to its first call.
func direct(t *testing.T, o simulator.Options, path, contentType, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Api-Key", "key-of-a-direct-call")
	w := httptest.NewRecorder()
	simulator.New(o).ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("the simulator answered %d: %s", w.Code, w.Body)
	}
	return w
}

// endpointCounts are the metrics of one endpoint.
type endpointCounts struct {
	APICalls          int     `json:"apiCalls"`
	FailedAPICalls    int     `json:"failedApiCalls"`
	ThrottledAPICalls int     `json:"throttledApiCalls"`
	KInferenceTokens  float64 `json:"kInferenceTokens"`
}

// counts returns the metrics of an application's endpoints.
func (s *setup) counts(app string) []endpointCounts {
	s.t.Helper()
	_, _, body := s.get("/metrics")
	var page struct {
		ApplicationMetrics []struct {
			ApplicationID   string
			EndpointMetrics []struct{ Metrics endpointCounts }
		}
	}
	if err := json.Unmarshal([]byte(body), &page); err != nil {
		s.t.Fatalf("metrics: %v", err)
	}
	var all []endpointCounts
	for _, a := range page.ApplicationMetrics {
		if a.ApplicationID == app {
			for _, e := range a.EndpointMetrics {
				all = append(all, e.Metrics)
			}
		}
	}
	return all
}

// states are the endpoints' states as instanceinfo shows them.
func (s *setup) states(app string) []string {
	s.t.Helper()
	_, _, body := s.get("/instanceinfo")
	var page struct {
		AIApplications []struct {
			ApplicationID string
			Endpoints     map[int]struct{ State string }
		}
	}
	if err := json.Unmarshal([]byte(body), &page); err != nil {
		s.t.Fatalf("instanceinfo: %v", err)
	}
	var all []string
	for _, a := range page.AIApplications {
		if a.ApplicationID == app {
			for i := range len(a.Endpoints) {
				all = append(all, a.Endpoints[i].State)
			}
		}
	}
	return all
}

// settled waits until the log has n access lines of inference calls, which are
// written after the counters are set.
func (s *setup) settled(n int) {
	s.t.Helper()
	within(s.t, fmt.Sprintf("%d calls are settled", n), func() bool {
		return strings.Count(s.log.String(), `"app":`) >= n
	})
}

// withoutUsage leaves out the event that tells the usage and nothing else.
func withoutUsage(stream, lineEnd string) string {
	var kept []string
	for event := range strings.SplitSeq(stream, lineEnd+lineEnd) {
		if !strings.Contains(event, `"usage":{`) {
			kept = append(kept, event)
		}
	}
	return strings.Join(kept, lineEnd+lineEnd)
}

func TestStreamIsRelayedByteForByte(t *testing.T) {
	for _, fault := range []string{"", "crlf", "split", "onechunk", "asyncfilter", "nodone", "crlf;nodone", "crlf;split;words=300", "nofinish", "big=300000"} {
		for _, asked := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s asked=%v", fault, asked), func(t *testing.T) {
				o := simulator.Options{Now: fixedTime}
				s := newSetupSim(t, o, applications(chatApp("chat", "", "one")))
				members, lineEnd := "", "\n"
				if asked {
					members = askUsage
				}
				if strings.Contains(fault, "crlf") {
					lineEnd = "\r\n"
				}
				path := strings.TrimPrefix(chatURI("one"), "{{sim}}")
				want := direct(t, o, path, "application/json", streamBody(fault, askUsage)).Body.String()
				if !strings.Contains(want, "prompt_filter_results") || !strings.Contains(want, `"usage":{`) {
					t.Fatalf("the simulator's stream is not Azure's: %s", want)
				}
				if !asked {
					want = withoutUsage(want, lineEnd)
				}
				resp, got, err := s.stream("/lb/chat", streamBody(fault, members))
				if err != nil {
					t.Fatalf("the stream ended with %v", err)
				}
				if got != want {
					t.Errorf("stream differs:\n%s", cmp.Diff(want, got))
				}
				if kind := resp.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/event-stream") {
					t.Errorf("content-type %q", kind)
				}
				if resp.Header.Get("X-Gateway-Endpoint") != "one" || resp.Header.Get("X-Gateway-Attempts") != "1" {
					t.Errorf("endpoint %q after %q attempts", resp.Header.Get("X-Gateway-Endpoint"), resp.Header.Get("X-Gateway-Attempts"))
				}
			})
		}
	}
}

func TestStreamedTokensAreCounted(t *testing.T) {
	o := simulator.Options{Now: fixedTime}
	s := newSetupSim(t, o, applications(chatApp("chat", "", "one")))
	whole := strings.Replace(streamBody("", ""), `"stream":true,`, "", 1)
	var answer struct {
		Usage struct {
			Total int `json:"total_tokens"`
		}
	}
	told := direct(t, o, strings.TrimPrefix(chatURI("one"), "{{sim}}"), "application/json", whole)
	if err := json.Unmarshal(told.Body.Bytes(), &answer); err != nil || answer.Usage.Total == 0 {
		t.Fatalf("no usage: %v", err)
	}
	for i, members := range []string{"", askUsage} {
		if _, _, err := s.stream("/lb/chat", streamBody("", members)); err != nil {
			t.Fatal(err)
		}
		s.settled(i + 1)
		got, want := s.counts("chat")[0], endpointCounts{APICalls: i + 1, KInferenceTokens: float64(answer.Usage.Total*(i+1)) / 1000}
		if got != want {
			t.Errorf("after %d streams: got %+v, want %+v", i+1, got, want)
		}
	}
}

func TestStreamThatFailsBeforeContentIsAskedElsewhere(t *testing.T) {
	for _, fault := range []simulator.Fault{"errorevent=0", "empty", "cut=0", "cut=1", "cut=2", "html", "reset", "status=500", "retry-after=1;status=429"} {
		t.Run(string(fault), func(t *testing.T) {
			s := newSetup(t, applications(chatApp("chat", "", "one", "two")))
			s.sim.Script("one", fault)
			resp, text, err := s.stream("/lb/chat", streamBody("", ""))
			if err != nil || resp.StatusCode != http.StatusOK || !strings.HasSuffix(text, "data: [DONE]\n\n") {
				t.Fatalf("%d %v: %s", resp.StatusCode, err, text)
			}
			if strings.Contains(text, `"error"`) || strings.Count(text, "prompt_filter_results") != 1 {
				t.Errorf("something of the first endpoint's answer was sent: %s", text)
			}
			if got := resp.Header.Get("X-Gateway-Endpoint") + " " + resp.Header.Get("X-Gateway-Attempts"); got != "two 2" {
				t.Errorf("endpoint and attempts: %s", got)
			}
			s.settled(1)
			if got := s.counts("chat"); got[0].FailedAPICalls != 1 || got[1].APICalls != 1 {
				t.Errorf("counted %+v", got)
			}
		})
	}
}

func TestStreamThatFailsEverywhereBeforeContentIsAnError(t *testing.T) {
	s := newSetup(t, applications(chatApp("chat", "", "one")))
	resp, text, err := s.stream("/lb/chat", streamBody("cut=1", ""))
	if err != nil || resp.StatusCode != http.StatusBadGateway {
		t.Fatalf("%d %v: %s", resp.StatusCode, err, text)
	}
	if !strings.Contains(text, `"code":"backendFailure"`) || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s: %s", resp.Header.Get("Content-Type"), text)
	}
}

func TestStreamThatBreaksAfterContentNeverEndsCleanly(t *testing.T) {
	for _, c := range []struct {
		name, fault string
		ownEvent    bool // the endpoint tells the error itself
	}{
		{"error event", "errorevent=2", true},
		{"error event, CRLF", "errorevent=2;crlf", true},
		{"cut", "cut=6", false},
		{"wrong length", "truncate", false},
		{"no end", "nodone;nofinish", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSetup(t, applications(chatApp("chat", "", "one", "two")))
			resp, text, err := s.stream("/lb/chat", streamBody(c.fault, ""))
			if resp.StatusCode != http.StatusOK || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("status %d, ended with %v", resp.StatusCode, err)
			}
			if strings.Contains(text, "[DONE]") || strings.Count(text, `{"error":`) != 1 || !strings.Contains(text, `"delta":{"content":"`) {
				t.Errorf("want content, one error and no end: %s", text)
			}
			if said := "event: error\ndata: {\"error\":"; strings.Contains(text, said) == c.ownEvent {
				t.Errorf("the gateway's own error event: %v, want %v: %s", c.ownEvent, !c.ownEvent, text)
			}
			if !c.ownEvent {
				_, event, _ := strings.Cut(text, "event: error\ndata: ")
				var told struct {
					Error struct{ Target, Message, Code string }
				}
				if err := json.Unmarshal([]byte(event), &told); err != nil || told.Error.Code != "backendFailure" || told.Error.Message == "" {
					t.Errorf("error event %v: %s", err, event)
				}
			}
			if calls := s.sim.Calls("two"); calls != 0 {
				t.Errorf("an answer that has begun was asked of another endpoint")
			}
			s.settled(1)
			if got := s.counts("chat")[0]; got.FailedAPICalls != 1 || got.APICalls != 0 {
				t.Errorf("counted %+v", got)
			}
		})
	}
}

func TestWholeAnswerThatBreaksLateIsCutOff(t *testing.T) {
	s := newSetup(t, applications(chatApp("chat", "", "one")))
	body := strings.Replace(streamBody("big=4000000;truncate", ""), `"stream":true,`, "", 1)
	resp, text, err := s.stream("/lb/chat", body)
	if resp.StatusCode != http.StatusOK || !errors.Is(err, io.ErrUnexpectedEOF) || strings.Contains(text, "error") {
		t.Errorf("status %d, %d bytes, ended with %v", resp.StatusCode, len(text), err)
	}
	s.settled(1)
	if got := s.counts("chat")[0]; got.FailedAPICalls != 1 {
		t.Errorf("counted %+v", got)
	}
}

// leave makes a call and leaves it: before the first byte, or after it.
func (s *setup) leave(body string, afterFirst bool) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/lb/chat", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	before := s.sim.Canceled()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		resp, err := s.client.Do(r)
		if err != nil {
			return
		}
		defer resp.Body.Close()
		if afterFirst {
			io.ReadFull(resp.Body, make([]byte, 10))
		}
		cancel()
	}()
	if !afterFirst {
		within(s.t, "the call reaches the endpoint", func() bool { return s.sim.Open() > 0 })
		cancel()
	}
	<-gone
	within(s.t, "the endpoint sees that the client left", func() bool { return s.sim.Canceled() == before+1 && s.sim.Open() == 0 })
}

func TestClientThatLeavesCancelsTheCallAndChargesNobody(t *testing.T) {
	for _, c := range []struct {
		name, body string
		afterFirst bool
	}{
		{"before the first byte of a stream", streamBody("hang", ""), false},
		{"after the opening events", streamBody("hang=2", ""), false},
		{"in the middle of a stream", streamBody("hang=6", ""), true},
		{"while it flows", streamBody("words=3000;cadence=1ms", ""), true},
		{"before a whole answer", strings.Replace(streamBody("hang", ""), `"stream":true,`, "", 1), false},
		{"in the middle of a whole answer", strings.Replace(streamBody("big=4000000;hang=1", ""), `"stream":true,`, "", 1), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSetup(t, applications(chatApp("chat", "", "one", "two")))
			const times = 20
			for range times {
				s.leave(c.body, c.afterFirst)
			}
			s.settled(times)
			if got := s.states("chat"); got[0] != "available" {
				t.Errorf("the endpoint is %v", got)
			}
			if status, header, _ := s.post("/lb/chat", goodChat); status != http.StatusOK || header.Get("X-Gateway-Endpoint") != "one" {
				t.Errorf("the next request: %d by %q", status, header.Get("X-Gateway-Endpoint"))
			}
			s.settled(times + 1)
			if got := s.counts("chat")[0]; got.FailedAPICalls != 0 || got.APICalls != 1 {
				t.Errorf("counted %+v", got)
			}
			if calls := s.sim.Calls("two"); calls != 0 {
				t.Errorf("%d calls went on to another endpoint", calls)
			}
			if n := strings.Count(s.log.String(), `"aborted":true`); n != times {
				t.Errorf("%d access lines say aborted, want %d", n, times)
			}
		})
	}
}

func TestReaderThatStallsIsGivenUp(t *testing.T) {
	for name, body := range map[string]string{
		"stream": streamBody("words=60000", ""),
		"whole":  strings.Replace(streamBody("big=30000000", ""), `"stream":true,`, "", 1),
	} {
		t.Run(name, func(t *testing.T) {
			s := newSetup(t, `{"server":{"writeTimeout":"0.1 seconds"},`+applications(chatApp("chat", "", "one"))[1:])
			at, err := url.Parse(s.url)
			if err != nil {
				t.Fatal(err)
			}
			conn, err := net.Dial("tcp", at.Host)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.(*net.TCPConn).SetReadBuffer(4 << 10)
			fmt.Fprintf(conn, "POST /lb/chat HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", at.Host, len(body), body)
			s.settled(1)
			within(t, "the endpoint is free", func() bool { return s.sim.Open() == 0 })
			if got := s.states("chat"); got[0] != "available" {
				t.Errorf("the endpoint is %v", got)
			}
			if got := s.counts("chat")[0]; got.FailedAPICalls != 0 {
				t.Errorf("counted %+v", got)
			}
			if !strings.Contains(s.log.String(), `"aborted":true`) {
				t.Error("the access line does not say that the client was given up")
			}
		})
	}
}

func TestHTTP2WithoutTLS(t *testing.T) {
	o := simulator.Options{Now: fixedTime}
	s := newSetupSim(t, o, applications(chatApp("chat", "", "one")))
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	s.client = &http.Client{Transport: transport}

	want := direct(t, o, strings.TrimPrefix(chatURI("one"), "{{sim}}"), "application/json", streamBody("", askUsage)).Body.String()
	resp, text, err := s.stream("/lb/chat", streamBody("", askUsage))
	if err != nil || resp.ProtoMajor != 2 || text != want {
		t.Errorf("stream: %s %v\n%s", resp.Proto, err, cmp.Diff(want, text))
	}
	if status, _, body := s.post("/lb/chat", goodChat); status != http.StatusOK || !strings.Contains(body, `"finish_reason":"stop"`) {
		t.Errorf("chat: %d %s", status, body)
	}
	if _, text, err = s.stream("/lb/chat", streamBody("cut=6", "")); err == nil || !strings.Contains(text, "event: error\n") {
		t.Errorf("a broken stream ended with %v: %s", err, text)
	}
}

func TestEventsAreFlushedOneByOne(t *testing.T) {
	s := newSetup(t, applications(chatApp("chat", "", "one")))
	resp := s.send(http.MethodPost, "/lb/chat", strings.NewReader(streamBody("hang=5", "")))
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	for range 5 { // all that the endpoint has sent, though it will never send more
		if line, err := lines.ReadString('\n'); err != nil || !strings.HasPrefix(line, "data: ") {
			t.Fatalf("%v: %q", err, line)
		}
		if _, err := lines.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
}
