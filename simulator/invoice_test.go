package simulator

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/tidwall/gjson"
	"pgregory.net/rapid"
)

// twoTools is a chat that calls two tools.
const twoTools = `{"messages":[{"role":"user","content":"call every tool"}],"tools":[{"function":{"name":"find_it","parameters":{"properties":{"place":{"type":"string"}}}}},{"function":{"name":"go"}}]}`

// saidIn is what of a chat's stream counts as completion, by choice and kind: its texts as far as they are in the events.
func saidIn(body string) map[string]string {
	said := map[string]string{}
	for _, e := range events(body) {
		index := gjson.Get(e, "choices.0.index").String()
		delta := gjson.Get(e, "choices.0.delta")
		said[index+" text"] += delta.Get("content").String() + gjson.Get(e, "choices.0.text").String()
		delta.Get("tool_calls").ForEach(func(_, call gjson.Result) bool {
			at := index + " tool " + call.Get("index").String()
			said[at+" name"] += call.Get("function.name").String()
			said[at] += call.Get("function.arguments").String()
			return true
		})
	}
	return said
}

// countedIn is the completion of a stream as a reader of its events counts it.
func countedIn(body string, count func(model, text string) int) (tokens int) {
	for _, text := range saidIn(body) {
		tokens += count("", text)
	}
	return tokens
}

// only is the one line of an invoice.
func only(t *testing.T, s *Simulator) Line {
	t.Helper()
	lines := s.Invoice()
	if len(lines) != 1 {
		t.Fatalf("%d lines, want 1: %+v", len(lines), lines)
	}
	return lines[0]
}

func TestInvoiceSaysWhatAWholeAnswerReports(t *testing.T) {
	now := newClock()
	for _, c := range []struct {
		path, body    string
		model, op     string
		prompt, reply string // where the answer reports them
	}{
		{chatPath, hello, "gpt-4o-2024-08-06", "chat/completions", "prompt_tokens", "completion_tokens"},
		{chatPath, twoTools, "gpt-4o-2024-08-06", "chat/completions", "prompt_tokens", "completion_tokens"},
		{chatPath, `{"n":3,` + hello[1:], "gpt-4o-2024-08-06", "chat/completions", "prompt_tokens", "completion_tokens"},
		{completionsPath, `{"prompt":["a","b"],"n":2}`, "gpt-3.5-turbo-instruct", "completions", "prompt_tokens", "completion_tokens"},
		{"/openai/deployments/d/embeddings?api-version=2024-10-21", `{"input":["a b","c"]}`, "text-embedding-3-small", "embeddings", "prompt_tokens", "none"},
		{"/openai/v1/responses", `{"model":"d","input":"a"}`, "gpt-4o-2024-08-06", "responses", "input_tokens", "output_tokens"},
		{"/v1/chat/completions", `{"model":"d",` + hello[1:], "d", "chat/completions", "prompt_tokens", "completion_tokens"},
	} {
		s := New(Options{Now: now.now})
		w, _ := post(t, s, c.path, c.body, "X-Request-Id", "mine")
		usage := gjson.Get(w.Body.String(), "usage")
		want := Line{
			Deployment: "d", Model: c.model, Operation: c.op, RequestID: w.Header().Get("X-Request-Id"), ClientRequestID: "mine",
			PromptTokens: int(usage.Get(c.prompt).Int()), CompletionTokens: int(usage.Get(c.reply).Int()), Ended: EndedWhole, Start: now.at,
		}
		if diff := cmp.Diff(want, only(t, s)); diff != "" || want.PromptTokens == 0 || (want.CompletionTokens == 0) != (c.op == "embeddings") {
			t.Errorf("%s %s: %s", c.path, c.body, diff)
		}
		if id := w.Header().Get("Apim-Request-Id"); id != want.RequestID && strings.HasPrefix(c.path, "/openai/") {
			t.Errorf("%s: apim-request-id %q, x-request-id %q", c.path, id, want.RequestID)
		}
	}
}

func TestStreamIsBilledAsTheWholeAnswerIs(t *testing.T) {
	for _, body := range []string{hello, twoTools, `{"n":2,` + hello[1:], `{"max_tokens":3,` + hello[1:], `{"stream_options":{"include_usage":true},` + hello[1:]} {
		for _, fault := range []Fault{"", "nousage", "badusage=negative", "onechunk", "nodone;nofinish;crlf", "asyncfilter", "reasoning=7;cachedprompt=2"} {
			whole, stream := New(Options{Fault: fault}), New(Options{Fault: fault})
			post(t, whole, chatPath, strings.Replace(body, `"stream_options":{"include_usage":true},`, "", 1))
			w, _ := post(t, stream, chatPath, `{"stream":true,`+body[1:])
			got, want := only(t, stream), only(t, whole)
			if !got.Stream || want.Stream || got.CompletionTokens == 0 {
				t.Errorf("%q of %s: stream %v, %v", fault, body, got, want)
			}
			if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Line{}, "Stream", "RequestID", "Start")); diff != "" {
				t.Errorf("%q of %s: %s", fault, body, diff)
			}
			if said := countedIn(w.Body.String(), func(_, text string) int { return Tokens(text) }) + got.ReasoningTokens; said != got.CompletionTokens {
				t.Errorf("%q of %s: %d tokens were sent, %d billed", fault, body, said, got.CompletionTokens)
			}
		}
	}
}

func TestStreamBrokenAnywhereIsBilledWithWhatWasSent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		body := rapid.SampledFrom([]string{hello, twoTools, `{"n":2,` + hello[1:], `{"prompt":["first","second"],"n":2}`}).Draw(t, "body")
		path := chatPath
		if strings.Contains(body, "prompt") {
			path = completionsPath
		}
		word := rapid.SampledFrom([]string{"cut", "errorevent", "truncate"}).Draw(t, "fault")
		n := rapid.IntRange(1, 60).Draw(t, "after")
		fault := fmt.Sprintf("%s=%d", word, n)
		if word == "truncate" {
			fault = word
		}
		s := New(Options{Count: letters})
		r := httptest.NewRequest("POST", path, strings.NewReader(`{"stream":true,`+body[1:]))
		r.Header.Set("Api-Key", "k")
		r.Header.Set("X-Sim-Fault", fault)
		w := httptest.NewRecorder()
		func() {
			defer func() { _ = recover() }()
			s.ServeHTTP(w, r)
		}()
		lines := s.Invoice()
		if len(lines) != 1 || lines[0].Ended != EndedBroken || lines[0].PromptTokens == 0 {
			t.Fatalf("%s: %+v", fault, lines)
		}
		if got, want := lines[0].CompletionTokens, countedIn(w.Body.String(), letters); got != want {
			t.Fatalf("%s: billed %d, sent %d: %s", fault, got, want, w.Body)
		}
	})
}

func TestWholeAnswerIsBilledHoweverLittleOfItArrives(t *testing.T) {
	s := New(Options{})
	post(t, s, chatPath, hello)
	for _, fault := range []string{"truncate", "cut=1"} {
		post(t, s, chatPath, hello, "X-Sim-Fault", fault)
	}
	lines := s.Invoice()
	if len(lines) != 3 {
		t.Fatalf("%d lines, want 3", len(lines))
	}
	for _, line := range lines[1:] {
		if line.Ended != EndedBroken || line.CompletionTokens != lines[0].CompletionTokens || line.PromptTokens != lines[0].PromptTokens {
			t.Errorf("%+v, want the tokens of %+v", line, lines[0])
		}
	}
}

func TestWhatIsNoAnswerIsNotBilled(t *testing.T) {
	for _, fault := range []string{
		"status=500", "status=429", "status=401", "reset", "cut=0", "html", "html;status=502", "garbage", "garbage;status=500", "empty", "object", "errorevent=0", "nonsense",
	} {
		for _, body := range []string{hello, streamed} {
			s := New(Options{})
			post(t, s, chatPath, body, "X-Sim-Fault", fault)
			if got := s.Invoice(); len(got) != 0 {
				t.Errorf("%s of %s: %+v", fault, body, got)
			}
		}
	}
	s := New(Options{Keys: []string{"other"}, Deployments: map[string]Deployment{"full": {TPM: 1}}})
	post(t, s, chatPath, hello)
	post(t, s, strings.Replace(chatPath, "/d/", "/full/", 1), hello, "Api-Key", "other")
	post(t, s, chatPath, `{}`, "Api-Key", "other")
	post(t, s, chatPath, `{"messages":[{"role":"user","content":"hate-test"}]}`, "Api-Key", "other")
	post(t, s, "/language/:analyze-text?api-version=2023-04-01", `{"kind":"LanguageDetection","analysisInput":{"documents":[{"id":"1","text":"a"}]}}`, "Ocp-Apim-Subscription-Key", "other")
	if got := s.Invoice(); len(got) != 0 {
		t.Errorf("refused calls and services without tokens: %+v", got)
	}
}

func TestInvoiceIsBoundedAndForgottenByReset(t *testing.T) {
	s := New(Options{})
	owed := &bill{used: usage{prompt: 1}}
	r := httptest.NewRequest("POST", "/", nil)
	for range maxLines + 10 {
		s.charge(&call{r: r, bill: owed, begun: true, ended: EndedWhole})
	}
	if got, stats := len(s.Invoice()), s.Stats(); got != maxLines || stats.Billed != maxLines+10 {
		t.Errorf("%d lines of %d billed calls, want %d of %d", got, stats.Billed, maxLines, maxLines+10)
	}
	s.Reset()
	if len(s.Invoice()) != 0 || s.Stats().Billed != 0 {
		t.Error("reset left an invoice")
	}
}

func TestClientsIDIsCutAndCopied(t *testing.T) {
	s := New(Options{})
	post(t, s, chatPath, hello, "X-Ms-Client-Request-Id", strings.Repeat("i", 1000))
	if got := only(t, s).ClientRequestID; got != strings.Repeat("i", maxClientID) {
		t.Errorf("kept %q", got)
	}
}

func TestInvoiceIsServedAsLinesOfJSON(t *testing.T) {
	s := New(Options{Now: newClock().now})
	post(t, s, chatPath, hello)
	post(t, s, chatPath, streamed)
	w, _ := do(t, s, "GET", "/sim/invoice", "")
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/x-ndjson" {
		t.Errorf("%d %s", w.Code, w.Header().Get("Content-Type"))
	}
	var got []Line
	for decoder := json.NewDecoder(w.Body); ; {
		var line Line
		if err := decoder.Decode(&line); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		got = append(got, line)
	}
	if diff := cmp.Diff(s.Invoice(), got); diff != "" || len(got) != 2 {
		t.Errorf("%d lines: %s", len(got), diff)
	}
}

// TestInvoiceOfManyCallsOverTheNetwork reconciles what clients saw with what they are billed, word for word.
func TestInvoiceOfManyCallsOverTheNetwork(t *testing.T) {
	s := New(Options{Count: letters})
	server := httptest.NewServer(s)
	defer server.Close()
	faults := []string{"", "", "cut=9", "stall=4", "errorevent=3", "status=503", "reset", "nousage", "words=40", "stall=0"}
	type seen struct{ completion, billed int }
	results := make(chan map[string]seen)
	const clients, each = 8, 50
	for client := range clients {
		go func() {
			mine := map[string]seen{}
			for i := range each {
				fault := faults[(client+i)%len(faults)]
				id := fmt.Sprintf("%d-%d", client, i)
				if got, began := readStream(t, server, id, fault); began {
					mine[id] = seen{completion: countedIn(got, letters)}
				}
			}
			results <- mine
		}()
	}
	all := map[string]seen{}
	for range clients {
		for id, x := range <-results {
			all[id] = x
		}
	}
	waitFor(t, func() bool { return s.Open() == 0 })
	lines := s.Invoice()
	if len(lines) != len(all) || len(all) < clients*each/2 {
		t.Errorf("%d lines, %d answers", len(lines), len(all))
	}
	for _, line := range lines {
		x, found := all[line.ClientRequestID]
		x.billed++
		all[line.ClientRequestID] = x
		if !found || x.completion != line.CompletionTokens || x.billed > 1 {
			t.Errorf("call %s: saw %+v, billed %+v", line.ClientRequestID, x, line)
		}
	}
}

// readStream reads a streamed chat until it ends or, when it stalls, until as much has come as will, and then leaves.
// began says whether an answer under 200 began.
func readStream(t *testing.T, server *httptest.Server, id, fault string) (got string, began bool) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "POST", server.URL+chatPath, strings.NewReader(streamed))
	if err != nil {
		t.Error(err)
		return "", false
	}
	r.Header.Set("Api-Key", "k")
	r.Header.Set("X-Request-Id", id)
	r.Header.Set("X-Sim-Fault", fault)
	resp, err := server.Client().Do(r)
	if err != nil {
		return "", false
	}
	defer resp.Body.Close()
	events, buffer := 0, make([]byte, 4096)
	stall := 1 << 30 // the filter's event and the role's come before the words
	if _, err := fmt.Sscanf(fault, "stall=%d", &stall); err == nil {
		stall += 2
	}
	for events < stall {
		n, err := resp.Body.Read(buffer)
		got += string(buffer[:n])
		events = strings.Count(got, "\n\n")
		if err != nil {
			break
		}
	}
	return got, resp.StatusCode == 200
}

// waitFor waits for what has no event to wait for: a call ends after its client has read the answer.
func waitFor(t *testing.T, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for patience := 10_000; !condition(); patience-- {
		if patience == 0 {
			t.Fatal("it never came true")
		}
		<-tick.C
	}
}
