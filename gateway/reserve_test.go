package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/tidwall/gjson"

	"aigateway/simulator"
)

// held is a model behind several deployments that says nothing until it is told
// to, so that requests are under way for as long as a test wants.
type held struct {
	url     string
	arrived chan string // deployments, as they are called
	letGo   func()      // all calls, those to come too

	released chan struct{}
}

// What held answers use, in tokens.
const (
	heldPrompt     = 8
	heldCompletion = 12
	heldUsed       = heldPrompt + heldCompletion
)

// newHeld starts one. Its test lets go before it returns: the gateway waits for
// its requests at the end.
func newHeld(t *testing.T) *held {
	t.Helper()
	h := &held{arrived: make(chan string, 1000), released: make(chan struct{})}
	h.letGo = sync.OnceFunc(func() { close(h.released) })
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		h.arrived <- strings.Split(r.URL.Path, "/")[3]
		select {
		case <-h.released:
		case <-r.Context().Done():
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"id":"held","object":"chat.completion","created":1,"model":"gpt-4o","choices":[{"index":0,"finish_reason":"stop",`+
			`"message":{"role":"assistant","content":"Yes."}}],"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}}`,
			heldPrompt, heldCompletion, heldUsed)
	}))
	t.Cleanup(server.Close)
	h.url = server.URL
	return h
}

// uri is a deployment's chat operation.
func (h *held) uri(deployment string) string {
	return strings.Replace(chatURI(deployment), "{{sim}}", h.url, 1)
}

// app is an application whose endpoints are held deployments, in order; members
// are added to each endpoint's own.
func (h *held) app(id, members string, deployments ...string) string {
	endpoints := make([]string, len(deployments))
	for i, d := range deployments {
		endpoints[i] = `{"id":"` + d + `",` + members + `"apikey":"key-of-` + d + `","uri":"` + h.uri(d) + `"}`
	}
	return `{"appId":"` + id + `","appType":"azure_oai","endpoints":[` + strings.Join(endpoints, ",") + `]}`
}

// statuses makes n requests at once and returns how many were answered with
// what: those that came through are held until all others have their answer.
func (h *held) statuses(s *setup, n int, path, body string) map[int]int {
	answers := make(chan int, n)
	for range n {
		go func() {
			status := 0
			if resp, err := s.client.Post(s.url+path, "application/json", strings.NewReader(body)); err == nil {
				status = resp.StatusCode
				resp.Body.Close()
			}
			answers <- status
		}()
	}
	got := map[int]int{}
	through := 0
	for range n { // each is held or has its answer
		select {
		case <-h.arrived:
			through++
		case status := <-answers:
			got[status]++
		}
	}
	h.letGo()
	for range through {
		got[<-answers]++
	}
	return got
}

// quiet waits until no request is under way.
func (s *setup) quiet() {
	s.t.Helper()
	within(s.t, "every request is settled", func() bool {
		_, _, text := s.get("/metrics?format=prometheus")
		return strings.Contains(text, "\ngateway_in_flight_requests 0\n")
	})
}

// standing is how one amount of a limit stands on an application's page.
func (s *setup) standing(app, limit, amount string) gjson.Result {
	s.t.Helper()
	status, _, page := s.get("/limits/"+app, "Authorization", "Bearer "+adminKey)
	for _, one := range gjson.Get(page, "limits").Array() {
		if one.Get("limit").String() == limit && one.Get("amount").String() == amount {
			return one
		}
	}
	s.t.Fatalf("%d: the page of %s has no %s of %s: %s", status, app, amount, limit, page)
	return gjson.Result{}
}

// prices are those of the model that the tests ask.
const prices = `,"prices":[{"model":"gpt-4o","input":2.5,"output":10}]}`

func TestRequestsAtOnceCannotOvershootWhatTheyReserve(t *testing.T) {
	// Each reserves 8 tokens for its prompt and 1,000 for its answer: 0.01002.
	const body = `{"max_tokens":1000,"messages":[{"role":"user","content":"hi"}]}`
	const requests, fit = 40, 5
	cost := (2.5*heldPrompt + 10*heldCompletion) / 1e6
	for _, tt := range []struct {
		amount, most string
		endpoint     bool // the limit is the endpoint's
		refused      int
		used         float64 // by one request, in the end
	}{
		{"tokensPerMinute", "5500", false, 429, heldUsed},
		{"tokensPerDay", "5500", false, 403, heldUsed},
		{"tokensPerMonth", "5500", false, 403, heldUsed},
		{"costPerDay", "0.0550", false, 403, cost},
		{"costPerMonth", "0.0550", false, 403, cost},
		{"requestsPerMinute", "5", false, 429, 1},
		{"concurrent", "5", false, 429, 0},
		{"tokensPerMinute", "5500", true, 429, heldUsed},
		{"tokensPerDay", "5500", true, 403, heldUsed},
		{"costPerDay", "0.0550", true, 403, cost},
		{"concurrent", "5", true, 429, 0},
	} {
		t.Run(fmt.Sprintf("%s, endpoint's %v", tt.amount, tt.endpoint), func(t *testing.T) {
			h := newHeld(t)
			defer h.letGo()
			allow := `{"` + tt.amount + `":` + tt.most + `}`
			name, config := "all", limited(`{"id":"all","allow":`+allow+`}`, h.app("bot", "", "gpt-4o"))
			if tt.endpoint {
				name, config = "endpoint bot/gpt-4o", applications(h.app("bot", `"limits":`+allow+`,`, "gpt-4o"))
			}
			s := newSetup(t, strings.TrimSuffix(config, "}")+prices)
			got := h.statuses(s, requests, "/lb/bot", body)
			if got[200] != fit || got[tt.refused] != requests-fit {
				t.Errorf("statuses %v, want %d of 200 and %d of %d", got, fit, requests-fit, tt.refused)
			}
			s.quiet()
			if used := s.standing("bot", name, tt.amount).Get("used").Float(); used < tt.used*fit*0.999999 || used > tt.used*fit*1.000001 {
				t.Errorf("%v used in the end, want %v for each of %d", used, tt.used, fit)
			}
		})
	}
}

func TestAnAnswerWithoutBoundReservesWhatTheApplicationsAnswersUsuallyTake(t *testing.T) {
	config := limited(`{"id":"tpm","per":["app"],"allow":{"tokensPerMinute":100000000}}`, chatApp("bot", "", "gpt-4o"), chatApp("other", "", "gpt-4o"))
	s := newSetup(t, config)
	const messages = `"messages":[{"role":"user","content":"hi"}]}`
	// A stream's header comes before its usage: it tells what was reserved.
	reserved := func(app, members string) (n int64) {
		t.Helper()
		status, header, body := s.post("/lb/"+app, `{"stream":true,`+members+messages)
		if _, err := fmt.Sscan(header.Get("X-Gateway-Limit-Consumed-Tokens"), &n); err != nil || status != http.StatusOK {
			t.Fatalf("%d %v: %v: %s", status, header, err, body)
		}
		return n
	}
	prompt := reserved("other", `"max_tokens":1,`) - 1
	first := reserved("other", "") - prompt
	// answers lets the application answer often, and returns how long it did.
	answers := func(words int) (n int64) {
		t.Helper()
		for range 200 {
			_, _, body := s.post("/lb/bot", fmt.Sprintf(`{"user":"sim:words=%d",`, words)+messages)
			n = gjson.Get(body, "usage.completion_tokens").Int()
		}
		s.quiet()
		return n
	}
	for _, words := range []int{10, 2000, 30} {
		long := answers(words)
		got := reserved("bot", fmt.Sprintf(`"user":"sim:words=%d",`, words)) - prompt
		if near := long/50 + 5; long == 0 || got < long-near || got > long+near {
			t.Errorf("after many answers of %d tokens, %d are reserved for one", long, got)
		}
		s.quiet()
	}
	s.source.set(strings.Replace(config, "100000000", "200000000", 1))
	if _, err := s.server.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := reserved("bot", "") - prompt; got > 100 {
		t.Errorf("after a reload %d tokens are reserved for an answer", got)
	}
	if got := reserved("other", "") - prompt; got < first/2 {
		t.Errorf("another application's answers changed from %d tokens to %d", first, got)
	}
}

func TestWhoAsksInTurnIsNeverTwoAtATime(t *testing.T) {
	s := newSetup(t, limited(`{"id":"one","allow":{"concurrent":1}}`,
		strings.Replace(chatApp("bot", "", "gpt-4o"), `"id":"gpt-4o",`, `"id":"gpt-4o","limits":{"concurrent":1},`, 1)))
	for i := range 300 {
		body := goodChat
		if i%2 == 1 {
			body = `{"stream":true,` + goodChat[1:]
		}
		resp := s.send(http.MethodPost, "/lb/bot", strings.NewReader(body))
		lines := bufio.NewScanner(resp.Body)
		for lines.Scan() && lines.Text() != "data: [DONE]" {
		}
		resp.Body.Close()
		s.client.CloseIdleConnections()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("request %d: %d", i, resp.StatusCode)
		}
	}
}

func TestARefusalForGoodDoesNotHideThatAnotherEndpointIsOnlyBusy(t *testing.T) {
	app := `{"appId":"bot","appType":"azure_oai","endpoints":[
		{"id":"small","apikey":"key-of-small","uri":"` + chatURI("small") + `","limits":{"tokensPerMinute":100}},
		{"id":"large","apikey":"key-of-large","uri":"` + chatURI("large") + `","limits":{"tokensPerMinute":1000}}]}`
	s := newSetupSim(t, simulator.Options{Deployments: map[string]simulator.Deployment{"large": {Fault: "words=2000"}}}, applications(app))
	body := `{"max_tokens":900,` + goodChat[1:]
	if status, _, answer := s.post("/lb/bot", body); status != http.StatusOK {
		t.Fatalf("%d: %s", status, answer)
	}
	if status, header, answer := s.post("/lb/bot", body); status != http.StatusTooManyRequests || header.Get("Retry-After") == "" {
		t.Errorf("%d %v: %s", status, header, answer)
	}
}
