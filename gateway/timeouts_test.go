package gateway_test

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"aigateway/simulator"
)

const waiting = ": waiting for the model\n\n"

func TestKeepAliveCommentsComeBeforeTheFirstEventOnly(t *testing.T) {
	o := simulator.Options{Now: fixedTime}
	s := newSetupSim(t, o, applications(chatApp("chat", `"sseKeepAlive":"1 second",`, "one")))
	// The pauses within the answer are longer than those before a comment.
	const pauses = "latency=1300ms;cadence=1200ms"
	body := streamBody(pauses, askUsage+`"max_tokens":1,`)
	_, text, err := s.stream("/lb/chat", body)
	if err != nil {
		t.Fatal(err)
	}
	want := direct(t, o, strings.TrimPrefix(chatURI("one"), "{{sim}}"), "application/json", strings.Replace(body, pauses, "", 1)).Body.String()
	events := text
	for strings.HasPrefix(events, waiting) {
		events = events[len(waiting):]
	}
	if events == text {
		t.Errorf("no comment came first: %s", text)
	}
	if events != want {
		t.Errorf("behind the comments:\n%s", cmp.Diff(want, events))
	}
}

func TestErrorAfterKeepAliveCommentsIsAnEvent(t *testing.T) {
	for name, c := range map[string]struct{ fault, want string }{
		"endpoint's own": {"latency=1300ms;status=400", `"code":"`},
		"the gateway's":  {"latency=1300ms;reset", `"code":"backendFailure"`},
		"throttled":      {"latency=1300ms;status=429;retry-after=60", `"code":"tooManyRequests"`},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSetup(t, applications(chatApp("chat", `"sseKeepAlive":"1 second",`, "one")))
			resp, text, err := s.stream("/lb/chat", streamBody(c.fault, ""))
			if resp.StatusCode != http.StatusOK || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("status %d, ended with %v", resp.StatusCode, err)
			}
			comments, event, found := strings.Cut(text, "event: error\ndata: ")
			if !found || strings.Trim(strings.ReplaceAll(comments, waiting, ""), "\n") != "" || !strings.HasPrefix(comments, waiting) {
				t.Fatalf("want comments and an error event: %s", text)
			}
			if !json.Valid([]byte(event)) || !strings.Contains(event, c.want) {
				t.Errorf("the event is %s, want %s in it", event, c.want)
			}
		})
	}
}

func TestTimeoutsBeforeTheAnswerGoToTheNextEndpoint(t *testing.T) {
	silent := silentListener(t)
	for _, c := range []struct {
		name, timeouts string
		fault          simulator.Fault
		uri            string // of the first endpoint; empty is the simulator's
	}{
		{"no header", `"firstByte":"0.1 seconds"`, "hang", ""},
		{"header, but no event", `"firstByte":"0.1 seconds"`, "hang=0", ""},
		{"opening event, but no content", `"firstByte":"0.1 seconds","idle":"0.1 seconds"`, "hang=1", ""},
		{"no handshake", `"connect":"0.1 seconds"`, "", "https://" + silent + "/openai/deployments/x/chat/completions"},
	} {
		t.Run(c.name, func(t *testing.T) {
			one := chatApp("chat", `"timeouts":{`+c.timeouts+`},`, "one", "two")
			alone := chatApp("alone", `"timeouts":{`+c.timeouts+`},`, "one")
			if c.uri != "" {
				one = strings.Replace(one, chatURI("one"), c.uri, 1)
				alone = strings.Replace(alone, chatURI("one"), c.uri, 1)
			}
			s := newSetup(t, applications(one, alone))
			s.sim.Script("one", c.fault, c.fault)
			resp, text, err := s.stream("/lb/chat", streamBody("", ""))
			if err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("X-Gateway-Endpoint") != "two" {
				t.Errorf("with another endpoint: %d %v by %q: %s", resp.StatusCode, err, resp.Header.Get("X-Gateway-Endpoint"), text)
			}
			resp, text, err = s.stream("/lb/alone", streamBody("", ""))
			if err != nil || resp.StatusCode != http.StatusGatewayTimeout || !strings.Contains(text, `"code":"backendFailure"`) {
				t.Errorf("without: %d %v: %s", resp.StatusCode, err, text)
			}
		})
	}
}

// silentListener is an address that takes connections and never says a word.
func silentListener(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

func TestSlowFirstEventIsGrantedTheFirstByteBudget(t *testing.T) {
	s := newSetup(t, applications(chatApp("chat", `"timeouts":{"firstByte":"1 minute","idle":"0.1 seconds"},`, "one")))
	// The header comes at once, the first event after more than the idle budget.
	slow := http.NewServeMux()
	slow.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-time.After(400 * time.Millisecond)
		io.WriteString(w, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"thought\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n")
	})
	endpoint := httptest.NewServer(slow)
	defer endpoint.Close()
	s.source.set(applications(strings.Replace(chatApp("chat", `"timeouts":{"firstByte":"1 minute","idle":"0.1 seconds"},`, "one"), "{{sim}}", endpoint.URL, 1)))
	if _, err := s.server.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	resp, text, err := s.stream("/lb/chat", streamBody("", ""))
	s.server.CloseIdle(0)
	if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(text, "thought") {
		t.Errorf("%d %v: %s", resp.StatusCode, err, text)
	}
}

func TestTimeoutsWithinTheAnswerBreakItOff(t *testing.T) {
	for _, c := range []struct{ name, timeouts, fault string }{
		{"silence", `"idle":"0.1 seconds"`, "hang=6"},
		{"too long in all", `"connect":"0.1 seconds","total":"0.3 seconds"`, "words=5000;cadence=10ms"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSetup(t, applications(chatApp("chat", `"timeouts":{`+c.timeouts+`},`, "one")))
			resp, text, err := s.stream("/lb/chat", streamBody(c.fault, ""))
			if resp.StatusCode != http.StatusOK || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("status %d, ended with %v", resp.StatusCode, err)
			}
			if _, event, _ := strings.Cut(text, "event: error\ndata: "); !strings.Contains(event, "did not answer in time") {
				t.Errorf("no error event: %s", text)
			}
			within(t, "the call is over", func() bool { return s.sim.Open() == 0 })
		})
	}
}

func TestBudgetThatIsOffDoesNotLimitTheAnswer(t *testing.T) {
	for name, timeouts := range map[string]string{
		"idle":           `"firstByte":"0.2 seconds","idle":"0"`,
		"idle and total": `"firstByte":"0.2 seconds","idle":"0","total":"0"`,
		"all but one":    `"firstByte":"0","idle":"1 minute","total":"0"`,
		"all":            `"connect":"0","firstByte":"0","idle":"0","total":"0"`,
	} {
		t.Run(name, func(t *testing.T) {
			s := newSetup(t, applications(chatApp("chat", `"timeouts":{`+timeouts+`},`, "one")))
			resp, text, err := s.stream("/lb/chat", streamBody("cadence=40ms", `"max_tokens":8,`))
			if err != nil || resp.StatusCode != http.StatusOK || !strings.HasSuffix(text, "data: [DONE]\n\n") {
				t.Errorf("%d %v: %s", resp.StatusCode, err, text)
			}
		})
	}
}

func TestTotalBudgetCoversAllAttempts(t *testing.T) {
	s := newSetup(t, applications(chatApp("chat", `"timeouts":{"connect":"0.1 seconds","total":"0.2 seconds"},`, "one", "two", "three")))
	s.sim.Script("one", "hang")
	s.sim.Script("two", "hang")
	status, _, body := s.post("/lb/chat", goodChat)
	if status != http.StatusGatewayTimeout {
		t.Errorf("%d: %s", status, body)
	}
	if calls := s.sim.Calls("three"); calls != 0 {
		t.Errorf("an endpoint was called after the budget was spent")
	}
}
