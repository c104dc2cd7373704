package simulator

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidwall/gjson"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	chatPath = "/openai/deployments/d/chat/completions?api-version=2024-10-21"
	hello    = `{"messages":[{"role":"user","content":"What is a gateway?"}]}`
	streamed = `{"stream":true,"messages":[{"role":"user","content":"What is a gateway?"}]}`
)

// post calls s without a network. A broken connection shows as aborted.
func post(t testing.TB, s http.Handler, path, body string, header ...string) (w *httptest.ResponseRecorder, aborted bool) {
	t.Helper()
	return do(t, s, http.MethodPost, path, body, header...)
}

func do(t testing.TB, s http.Handler, method, path, body string, header ...string) (w *httptest.ResponseRecorder, aborted bool) {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Api-Key", "k")
	r.Header.Set("Ocp-Apim-Subscription-Key", "k")
	r.Header.Set("Authorization", "Bearer k")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
		if header[i+1] == "" {
			r.Header.Del(header[i])
		}
	}
	w = httptest.NewRecorder()
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			aborted = true
		default:
			t.Fatalf("panic: %v", p)
		}
	}()
	s.ServeHTTP(w, r)
	return w, false
}

// member is the text of one member of a JSON body.
func member(w *httptest.ResponseRecorder, path string) string {
	return gjson.Get(w.Body.String(), path).String()
}

// events are the payloads of a stream's data lines.
func events(body string) (list []string) {
	for line := range strings.Lines(body) {
		if payload, found := strings.CutPrefix(strings.TrimRight(line, "\r\n"), "data: "); found {
			list = append(list, payload)
		}
	}
	return list
}

func TestCallsAndRequestsRememberWhatArrived(t *testing.T) {
	s := New(Options{})
	post(t, s, chatPath, hello, "X-Custom", "v")
	post(t, s, chatPath, hello, "Api-Key", "", "Authorization", "")
	post(t, s, "/nowhere", hello)
	if got := s.Calls("d"); got != 2 {
		t.Errorf("calls = %d, want 2: a refused call is a call too", got)
	}
	seen := s.Requests()
	if len(seen) != 3 {
		t.Fatalf("saw %d requests, want 3", len(seen))
	}
	if r := seen[0]; r.Method != "POST" || r.Path != "/openai/deployments/d/chat/completions" || r.Query.Get("api-version") != "2024-10-21" ||
		r.Header.Get("X-Custom") != "v" || string(r.Body) != hello {
		t.Errorf("first request = %+v", r)
	}
	s.Reset()
	if s.Calls("d") != 0 || len(s.Requests()) != 0 {
		t.Error("reset left something behind")
	}
}

func TestRequestsAreBounded(t *testing.T) {
	s := New(Options{})
	for range maxSeen + 10 {
		post(t, s, "/nowhere", "{}")
	}
	if got := len(s.Requests()); got != maxSeen {
		t.Errorf("kept %d requests, want %d", got, maxSeen)
	}
	large := `{"x":"` + strings.Repeat("x", maxSeenBytes/2) + `"}`
	post(t, s, "/nowhere", large)
	post(t, s, "/nowhere", large)
	if got := len(s.Requests()); got != 1 {
		t.Errorf("kept %d requests, want only the last large one", got)
	}
}

func TestDeploymentsMadeOnFirstUseAreBounded(t *testing.T) {
	s := New(Options{Deployments: map[string]Deployment{"mine": {}}})
	for i := range maxDeployments {
		s.Script(strconv.Itoa(i), "")
	}
	w, _ := post(t, s, "/openai/deployments/onemore/chat/completions?api-version=2024-10-21", hello)
	if w.Code != 404 || member(w, "error.code") != "DeploymentNotFound" {
		t.Errorf("one deployment too many: %d %s", w.Code, w.Body)
	}
	if w, _ := post(t, New(Options{}), "/v1/chat/completions", `{"model":"`+strings.Repeat("m", maxName+1)+`",`+hello[1:]); w.Code != 404 {
		t.Errorf("a name too long: %d", w.Code)
	}
	if w, _ := post(t, s, "/openai/deployments/mine/chat/completions?api-version=2024-10-21", hello); w.Code != 200 {
		t.Errorf("a configured deployment: %d", w.Code)
	}
}

func TestBodyTooLargeIs413(t *testing.T) {
	s := New(Options{})
	r := httptest.NewRequest("POST", chatPath, io.LimitReader(endless{}, maxBody+1))
	r.ContentLength = -1
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code != 413 {
		t.Errorf("status = %d, want 413", w.Code)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestClientThatLeavesEndsTheCall(t *testing.T) {
	for name, fault := range map[string]Fault{
		"before the headers": "hang", "in latency": "latency=1h", "between events": "cadence=1h", "in mid-stream silence": "hang=2",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := New(Options{})
				s.Script("d", fault)
				ctx, cancel := context.WithCancel(t.Context())
				r := httptest.NewRequest("POST", chatPath, strings.NewReader(streamed)).WithContext(ctx)
				r.Header.Set("Api-Key", "k")
				var wait sync.WaitGroup
				wait.Go(func() { s.ServeHTTP(httptest.NewRecorder(), r) })
				synctest.Wait()
				if s.Open() != 1 || s.Canceled() != 0 {
					t.Errorf("while waiting: open %d, canceled %d", s.Open(), s.Canceled())
				}
				cancel()
				wait.Wait()
				if s.Open() != 0 || s.Canceled() != 1 {
					t.Errorf("afterwards: open %d, canceled %d, want 0, 1", s.Open(), s.Canceled())
				}
			})
		})
	}
}

func TestLatencyAndCadenceAreWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Latency: time.Second, Cadence: 10 * time.Millisecond})
		start := time.Now()
		w, _ := post(t, s, chatPath, streamed)
		n := strings.Count(w.Body.String(), "\n\n")
		if got, want := time.Since(start), time.Second+time.Duration(n-1)*10*time.Millisecond; got != want {
			t.Errorf("%d events took %v, want %v", n, got, want)
		}
	})
}

// TestOverTheNetwork checks what only a real connection shows.
func TestOverTheNetwork(t *testing.T) {
	s := New(Options{})
	server := httptest.NewServer(s)
	defer server.Close()
	client := server.Client()
	ask := func(ctx context.Context, fault, body string) (*http.Response, error) {
		r, err := http.NewRequestWithContext(ctx, "POST", server.URL+chatPath, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Api-Key", "k")
		r.Header.Set("X-Sim-Fault", fault)
		return client.Do(r)
	}
	if resp, err := ask(t.Context(), "reset", hello); err == nil {
		_ = resp.Body.Close()
		t.Error("reset: got an answer")
	}
	for _, body := range []string{hello, streamed} {
		for _, fault := range []string{"cut=3", "truncate"} {
			resp, err := ask(t.Context(), fault, body)
			if err != nil {
				t.Fatalf("%s: %v", fault, err)
			}
			got, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if !errors.Is(err, io.ErrUnexpectedEOF) || len(got) == 0 || bytes.Contains(got, []byte("[DONE]")) {
				t.Errorf("%s of %s: read %d bytes, error %v; want some and an unexpected EOF", fault, body, len(got), err)
			}
		}
	}
	resp, err := ask(t.Context(), "", streamed)
	if err != nil {
		t.Fatal(err)
	}
	if whole, err := io.ReadAll(resp.Body); err != nil || !bytes.HasSuffix(whole, []byte(done)) {
		t.Errorf("whole stream: %v, ends %q", err, whole[max(0, len(whole)-20):])
	}
	_ = resp.Body.Close()

	ctx, cancel := context.WithCancel(t.Context())
	resp, err = ask(ctx, "hang=2", streamed)
	if err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil || !strings.HasPrefix(line, "data: ") {
		t.Errorf("first event %q, %v: it must arrive before the stream ends", line, err)
	}
	cancel()
	_ = resp.Body.Close()
	server.Close()
	// Close does not wait for a call whose connection was taken over or cut.
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for patience := 10_000; s.Open() != 0 && patience > 0; patience-- {
		<-tick.C
	}
	if s.Canceled() != 1 || s.Open() != 0 {
		t.Errorf("canceled %d, open %d; want 1, 0", s.Canceled(), s.Open())
	}
}

func FuzzChat(f *testing.F) {
	for _, seed := range []string{
		hello, streamed, ``, `{}`, `[`, `{"messages":[]}`, `{"messages":null}`, `{"messages":[{"role":"user","content":[{"type":"text","text":"é"}]}]}`,
		`{"user":"sim:cut=1;split","stream":true,"messages":[{"role":"user","content":"weather"}],"tools":[{"function":{"name":"f","parameters":{"properties":{"a":{"type":"string"}}}}}]}`,
		`{"prompt":["a",[1,2]],"n":3,"max_tokens":2,"input":"x","stream":true,"stream_options":{"include_usage":true}}`,
		`{"input":[{"role":"user","content":"x"}],"stream":true}`, strings.Repeat("[", 20000), "{\"user\":\"sim:big=3;words=2;x-a\\nb=\"}", `{"n":1e300,"input":[[1,2],"a"]}`,
	} {
		f.Add(seed)
	}
	s := New(Options{})
	f.Fuzz(func(t *testing.T, body string) {
		// Not what takes time on purpose: latency, silence, very long answers.
		if marker := strings.ToLower(gjson.Get(body, "user").String()); strings.Contains(marker, "hang") || strings.Contains(marker, "stall") || strings.Contains(marker, "latency") ||
			strings.Contains(marker, "cadence") || strings.Contains(marker, "big") || strings.Contains(marker, "words") {
			return
		}
		for _, path := range []string{
			chatPath, "/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/moderations", "/v1/images/generations",
			"/v1/audio/transcriptions", "/indexes/i/docs/search?api-version=1", "/language/:analyze-text?api-version=1", "/translate?api-version=3.0&to=de",
			"/contentsafety/text:analyze?api-version=1",
		} {
			w, aborted := post(t, s, path, body)
			if w.Code < 200 || w.Code > 599 {
				t.Errorf("%s: status %d", path, w.Code)
			}
			kind := w.Header().Get("Content-Type")
			if !aborted && w.Code == 200 && kind == kindJSON && !strings.Contains(body, "sim:") && !gjson.Valid(w.Body.String()) {
				t.Errorf("%s: answer is not JSON: %s", path, w.Body)
			}
		}
	})
}
