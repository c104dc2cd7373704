package gateway_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"aigateway/simulator"
)

const userMessage = `"messages":[{"role":"user","content":"hello"}]`

func gzipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return b.String()
}

func TestBadRequestsAreRefusedInJSON(t *testing.T) {
	s := newSetup(t, applications(chatApp("chat", `"maxBodyBytes":100000,`, "one")))
	for _, c := range []struct {
		name, body string
		headers    []string
		status     int
		code       string
	}{
		{name: "empty"},
		{name: "white space", body: " \r\n\t"},
		{name: "not JSON", body: "hello " + promptMarker},
		{name: "form", body: "a=b&c=d", headers: []string{"Content-Type", "application/x-www-form-urlencoded"}},
		{name: "truncated", body: `{"messages":[{"role":"user","content":"hel`},
		{name: "truncated in an escape", body: `{"messages":[{"role":"user","content":"\u00`},
		{name: "more than one value", body: `{` + userMessage + `}{}`},
		{name: "trailing comma", body: `{` + userMessage + `,}`},
		{name: "comment", body: `{/* */` + userMessage + `}`},
		{name: "single quotes", body: `{'messages':[]}`},
		{name: "byte order mark", body: "\ufeff{" + userMessage + "}"},
		{name: "null", body: "null"},
		{name: "number", body: "42"},
		{name: "NaN", body: `{` + userMessage + `,"temperature":NaN}`},
		{name: "string", body: `"messages"`},
		{name: "list", body: `[{` + userMessage + `}]`},
		{name: "too deep", body: `{` + userMessage + `,"a":` + strings.Repeat("[", 10000) + strings.Repeat("]", 10000) + `}`},
		{name: "too deep and open", body: strings.Repeat(`{"a":`, 10000)},
		{name: "member twice", body: `{` + userMessage + `,` + userMessage + `}`},
		{name: "model twice", body: `{"model":"a","model":"b",` + userMessage + `}`},
		{name: "member twice, once escaped", body: `{` + userMessage + `,"\u006dessages":[]}`},
		{name: "nested member twice", body: `{"messages":[{"role":"user","role":"system","content":"hello"}]}`},
		{name: "messages missing", body: `{}`},
		{name: "messages a string", body: `{"messages":"hello"}`},
		{name: "messages null", body: `{"messages":null}`},
		{name: "messages an object", body: `{"messages":{"role":"user"}}`},
		{name: "messages empty", body: `{"messages":[]}`},
		{name: "message a string", body: `{"messages":["hello"]}`},
		{name: "message without a role", body: `{"messages":[{"content":"hello"}]}`},
		{name: "content a number", body: `{"messages":[{"role":"user","content":5}]}`},
		{name: "prompt instead of messages", body: `{"prompt":"hello"}`},
		{name: "stream a string", body: `{` + userMessage + `,"stream":"yes"}`},
		{name: "stream a number", body: `{` + userMessage + `,"stream":1}`},
		{name: "stream_options a list", body: `{` + userMessage + `,"stream":true,"stream_options":[]}`},
		{name: "model a number", body: `{"model":4,` + userMessage + `}`},
		{name: "user a list", body: `{"user":[],` + userMessage + `}`},
		{name: "n zero", body: `{"n":0,` + userMessage + `}`},
		{name: "n a string", body: `{"n":"2",` + userMessage + `}`},
		{name: "max_tokens a fraction", body: `{"max_tokens":1.5,` + userMessage + `}`},
		{name: "data_sources an object", body: `{"data_sources":{},` + userMessage + `}`},
		{name: "invalid UTF-8", body: "{\"messages\":[{\"role\":\"user\",\"content\":\"\xff\xfe\"}]}"},
		{name: "half a surrogate of UTF-8", body: "{\"messages\":[{\"role\":\"user\",\"content\":\"\xed\xa0\x80\"}]}"},
		{name: "NUL in a string", body: "{\"messages\":[{\"role\":\"user\",\"content\":\"\x00\"}]}"},
		{name: "NUL", body: "\x00"},
		{name: "too large", body: `{"messages":[{"role":"user","content":"` + strings.Repeat("a", 100000) + `"}]}`, status: 413},
		{
			name: "too large by gzip", body: gzipped(`{"messages":[{"role":"user","content":"` + strings.Repeat("a", 1000000) + `"}]}`),
			headers: []string{"Content-Encoding", "gzip"}, status: 413,
		},
		{name: "gzip that is none", body: goodChat, headers: []string{"Content-Encoding", "gzip"}, status: 415},
		{name: "gzip cut short", body: gzipped(goodChat)[:40], headers: []string{"Content-Encoding", "gzip"}},
		{name: "encoding unknown", body: goodChat, headers: []string{"Content-Encoding", "br"}, status: 415},
		{name: "thread without memory", body: goodChat, headers: []string{"x-thread-id", "3f0e1d3e-2f1b-4a53-9f6d-2f6b4c6b1f7e"}},
	} {
		for _, mode := range []string{"whole", "streamed"} {
			body := c.body
			if mode == "streamed" {
				if !strings.HasPrefix(body, "{") || strings.Contains(body, `"stream":`) {
					continue
				}
				body = strings.Replace(body, "{", `{"stream":true,`, 1)
			}
			t.Run(c.name+", "+mode, func(t *testing.T) {
				status, h, answer := s.post("/lb/chat", body, c.headers...)
				want := c.status
				if want == 0 {
					want = http.StatusBadRequest
				}
				message := wantError(t, status, h, answer, want, "invalidPayload")
				if len(answer) > 2000 || strings.Contains(message, promptMarker) {
					t.Errorf("the answer repeats what was sent: %.300s", answer)
				}
				if n := s.sim.Calls("one"); n != 0 {
					t.Fatalf("it reached the endpoint")
				}
			})
		}
	}
	if status, _, body := s.post("/lb/chat", goodChat); status != http.StatusOK {
		t.Errorf("the next good request: %d %s", status, body)
	}
}

func TestOddButValidRequestsPass(t *testing.T) {
	s := newSetup(t, applications(chatApp("chat", "", "one")))
	for _, c := range []struct {
		name, body string
		headers    []string
	}{
		{"white space around", " \r\n\t{" + userMessage + "} \n", nil},
		{"stream null", `{"stream":null,` + userMessage + `}`, nil},
		{"stream false", `{"stream":false,` + userMessage + `}`, nil},
		{"unknown members", `{"x":{"y":[1,2,{"z":null}]},` + userMessage + `}`, nil},
		{"escaped names", `{"\u006dessages":[{"role":"user","content":"hello"}]}`, nil},
		{"escaped NUL", `{"messages":[{"role":"user","content":"\u0000"}]}`, nil},
		{"content null", `{"messages":[{"role":"assistant","content":null},{"role":"user","content":"hi"}]}`, nil},
		{"content in parts", `{"messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}]}`, nil},
		{"gzip", gzipped(goodChat), []string{"Content-Encoding", "gzip"}},
		{"no content type", goodChat, []string{"Content-Type", ""}},
		{"text/plain", goodChat, []string{"Content-Type", "text/plain"}},
		{"numbers of any size", `{"a":123456789012345678901234567890,"b":1e400,` + userMessage + `}`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, _, answer := s.post("/lb/chat", c.body, c.headers...)
			if status != http.StatusOK {
				t.Fatalf("%d %.300s", status, answer)
			}
			seen := s.sim.Requests()
			want := c.body
			if c.headers != nil && c.headers[1] == "gzip" {
				want = goodChat
			}
			last := seen[len(seen)-1]
			if string(last.Body) != want {
				t.Errorf("the endpoint got %q, want %q", last.Body, want)
			}
			if kind := last.Header.Get("Content-Type"); kind != "application/json" {
				t.Errorf("content-type %q", kind)
			}
		})
	}
}

func TestCompletionsAndEmbeddingsNeedTheirMember(t *testing.T) {
	const deployments = "{{sim}}/openai/deployments/"
	app := func(id, operation string) string {
		return `{"appId":"` + id + `","appType":"azure_oai","endpoints":[{"apikey":"key-of-` + id + `","uri":"` + deployments + id + "/" + operation + apiVersion + `"}]}`
	}
	s := newSetup(t, applications(app("text", "completions"), app("vector", "embeddings")))
	for _, c := range []struct {
		path, body string
		status     int
		want       string
	}{
		{"/lb/text", `{"prompt":"hello"}`, 200, "text_completion"},
		{"/lb/text", `{"prompt":["hello","you"]}`, 200, "text_completion"},
		{"/lb/text", `{"prompt":7}`, 400, "invalidPayload"},
		{"/lb/vector", `{"input":"hello"}`, 200, "embedding"},
		{"/lb/vector", `{"input":["hello","you"]}`, 200, "embedding"},
		{"/lb/vector", `{"input":{}}`, 400, "invalidPayload"},
		{"/lb/vector", `{}`, 400, "invalidPayload"},
		{"/lb/vector", `{` + userMessage + `}`, 400, "invalidPayload"},
	} {
		status, _, answer := s.post(c.path, c.body)
		if status != c.status || !strings.Contains(answer, c.want) {
			t.Errorf("POST %s %s: %d %.200s", c.path, c.body, status, answer)
		}
	}
}

func TestLongHeaderIsRefusedInJSON(t *testing.T) {
	s := newSetup(t, applications(chatApp("chat", "", "one")))
	status, h, body := s.post("/lb/chat", goodChat, "x-long", strings.Repeat("a", 100_000))
	wantError(t, status, h, body, http.StatusRequestHeaderFieldsTooLarge, "invalidPayload")
	if status, _, _ := s.post("/lb/chat", goodChat, "x-long", strings.Repeat("a", 60_000)); status != http.StatusOK {
		t.Errorf("a header of 60 kB: %d", status)
	}
	if n := s.sim.Calls("one"); n != 1 {
		t.Errorf("%d calls", n)
	}
}

func TestBodyLargerThanAnnouncedLimitIsRefusedUnread(t *testing.T) {
	s := newSetup(t, applications(chatApp("chat", `"maxBodyBytes":2000,`, "one")))
	for _, c := range []struct {
		name   string
		head   string
		body   string
		status string
	}{
		{"announced", "Content-Length: 1000000000000\r\n", "", "413"},
		{"chunked", "Transfer-Encoding: chunked\r\n", "fff\r\n" + strings.Repeat("a", 4095) + "\r\n0\r\n\r\n", "413"},
		{"negative", "Content-Length: -5\r\n", "", "400"},
		{"broken off", "Content-Length: 100\r\n", `{"messages"`, "400"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", strings.TrimPrefix(s.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, "POST /lb/chat HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n"+c.head+"\r\n"+c.body)
			if c.name == "broken off" {
				_ = conn.(*net.TCPConn).CloseWrite()
			}
			answer, _ := io.ReadAll(conn)
			if !strings.HasPrefix(string(answer), "HTTP/1.1 "+c.status) {
				t.Errorf("%.300q", answer)
			}
		})
	}
	if status, _, _ := s.post("/lb/chat", goodChat); status != http.StatusOK || s.sim.Calls("one") != 1 {
		t.Errorf("afterwards: %d, %d calls", status, s.sim.Calls("one"))
	}
}

func TestMultipartWithoutAModelNamesNoApplication(t *testing.T) {
	s := newSetup(t, applications(chatApp("chat", "", "one")))
	for _, c := range []struct{ kind, body string }{
		{"multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nabc\r\n--b--\r\n"},
		{"multipart/form-data; boundary=b", "--b"},
		{"multipart/form-data", "abc"},
		{"multipart/form-data; boundary=\"", "abc"},
		{"application/json", `{"messages":[]}`},
		{"application/json", `{"model":7}`},
		{"application/json", ``},
	} {
		status, h, body := s.post("/lb/v1/chat/completions", c.body, "Content-Type", c.kind)
		wantError(t, status, h, body, http.StatusBadRequest, "invalidPayload")
	}
	status, h, body := s.post("/lb/v1/chat/completions", `{"model":"nobody"}`)
	wantError(t, status, h, body, http.StatusNotFound, "notFound")
}

// TestBadAnswersBecomeErrors: what an endpoint may answer, and what becomes of
// it when there is no other.
func TestBadAnswersBecomeErrors(t *testing.T) {
	for _, c := range []struct {
		fault  simulator.Fault
		status int
		code   string // of our own error; empty when the endpoint's answer passes
		want   string // in the answer that passes
	}{
		{"html", 502, "backendFailure", ""},
		{"empty", 502, "backendFailure", ""},
		{"garbage", 502, "backendFailure", ""},
		{"object", 200, "", "{}"},
		{"nochoices", 200, "", `"choices":[]`},
		{"big=10485760", 200, "", "chat.completion"},
		{"truncate", 502, "backendFailure", ""},
		{"cut=5", 502, "backendFailure", ""},
		{"reset", 502, "backendFailure", ""},
		{"status=500", 502, "backendFailure", ""},
		{"status=503; html", 502, "backendFailure", ""},
		{"status=500; empty", 502, "backendFailure", ""},
		{"status=599", 502, "backendFailure", ""},
		{"status=302", 502, "backendFailure", ""},
		{"status=304", 502, "backendFailure", ""},
		{"status=400", 400, "", `"error"`},
		{"status=413", 413, "", `"error"`},
		{"status=422", 422, "", `"error"`},
		{"status=409", 409, "", `"error"`},
		{"status=401", 401, "", `"error"`},
		{"status=404", 404, "", `"error"`},
		{"status=400; html", 400, "backendFailure", ""},
		{"status=400; empty", 400, "backendFailure", ""},
		{"status=429", 429, "tooManyRequests", ""},
	} {
		for _, stream := range []bool{false, true} {
			name, request := string(c.fault), goodChat
			if stream {
				name, request = name+", streamed", strings.Replace(goodChat, "{", `{"stream":true,`, 1)
				if c.code == "" && c.status == 200 || strings.HasPrefix(name, "truncate") || strings.HasPrefix(name, "cut") || c.fault == "garbage" {
					continue // streams have tests of their own
				}
			}
			t.Run(name, func(t *testing.T) {
				s := newSetup(t, applications(chatApp("chat", "", "one")))
				s.sim.Script("one", c.fault)
				status, h, body := s.post("/lb/chat", request)
				if c.code != "" {
					wantError(t, status, h, body, c.status, c.code)
				} else if status != c.status || !strings.Contains(body, c.want) {
					t.Errorf("%d %.200s, want %d %s", status, body, c.status, c.want)
				}
				if c.fault == "big=10485760" && len(body) < 10<<20 {
					t.Errorf("%d bytes of 10 MiB", len(body))
				}
				if c.status == 429 {
					s.advance(11e9)
				}
				status, _, body = s.post("/lb/chat", goodChat)
				if status != http.StatusOK || !strings.Contains(body, `"stop"`) {
					t.Errorf("the next good request: %d %.200s", status, body)
				}
			})
		}
	}
}

// TestGarbageInAStreamBreaksItOff: what no parser takes is passed on, since it
// may be another vendor's event, but such a stream never ends cleanly.
func TestGarbageInAStreamBreaksItOff(t *testing.T) {
	s := newSetup(t, applications(chatApp("chat", "", "one")))
	s.sim.Script("one", "garbage")
	resp := s.send(http.MethodPost, "/lb/chat", strings.NewReader(strings.Replace(goodChat, "{", `{"stream":true,`, 1)))
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the stream ended with %v", err)
	}
	_, last, ok := strings.Cut(string(body), "event: error\ndata: ")
	if !ok || !strings.Contains(last, `"backendFailure"`) {
		t.Errorf("the last event is %q", last)
	}
}

// TestEmptyDataSourcesPass: Azure refuses them in its own words; the gateway
// has nothing to say about them.
func TestEmptyDataSourcesPass(t *testing.T) {
	s := newSetup(t, applications(chatApp("chat", "", "one")))
	sent := `{"data_sources":[],` + userMessage + `}`
	status, _, body := s.post("/lb/chat", sent)
	if status != http.StatusBadRequest || !strings.Contains(body, "exactly one data source") {
		t.Errorf("%d %s", status, body)
	}
	if seen := s.sim.Requests(); len(seen) != 1 || string(seen[0].Body) != sent {
		t.Errorf("the endpoint got %q", seen)
	}
}
