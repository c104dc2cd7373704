package gateway_test

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// baseApp is an application whose endpoint is a base URI; members are added to
// the application, endpoint to its endpoint.
func baseApp(uri, members, endpoint string) string {
	return applications(`{"appId":"base","appType":"openai",` + members + `"endpoints":[{"uri":"` + uri + `","apikey":"key-of-base"` + endpoint + `}]}`)
}

func TestOperationCannotLeaveItsBase(t *testing.T) {
	s := newSetup(t, baseApp("{{sim}}/v1", "", ""))
	for _, path := range []string{
		"/lb/base/../other/chat/completions", "/lb/base/%2e%2e/%2e%2e/admin/keys", "/lb/base/..%2f..%2fx", "/lb/base/%252e%252e/x",
		"/lb/base/./chat/completions", "/lb/base/a/..", `/lb/base/..\..\x`, "/lb/base/chat%2f..%2f..%2fkeys",
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/lb/base/x", strings.NewReader(goodChat))
		if err != nil {
			t.Fatal(err)
		}
		req.URL.Opaque = "//" + req.URL.Host + path // as it is written
		if status, _, body := s.exchange(req); status != http.StatusNotFound {
			t.Errorf("%s: status %d, %s", path, status, body)
		}
	}
	if seen := s.sim.Requests(); len(seen) != 0 {
		t.Errorf("the endpoint was asked for %s", seen[0].Path)
	}
}

func TestDeepJSONToOtherServicesIsRefused(t *testing.T) {
	s := newSetup(t, azureServices())
	for _, body := range []string{strings.Repeat("[", 5<<20), strings.Repeat(`{"a":`, 1<<20), strings.Repeat("[", 20000) + strings.Repeat("]", 20000)} {
		status, header, answer := s.post("/lb/language-app", body)
		wantError(t, status, header, answer, http.StatusBadRequest, "invalidPayload")
	}
}

// form is a multipart form; each field is a name and a value.
func form(t *testing.T, fields ...string) (contentType, body string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := 0; i < len(fields); i += 2 {
		field, err := w.CreateFormField(fields[i])
		if fields[i] == "file" {
			field, err = w.CreateFormFile("file", "sound.wav")
		}
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(field, fields[i+1])
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return w.FormDataContentType(), b.String()
}

func TestModelOfAFormIsHeldToTheAllowed(t *testing.T) {
	s := newSetup(t, baseApp("{{sim}}/v1", `"allowedModels":["whisper-1"],`, ""))
	const path = "/lb/base/audio/transcriptions"
	for _, c := range []struct {
		name   string
		fields []string
		want   int
	}{
		{"allowed", []string{"model", "whisper-1", "file", "sound"}, http.StatusOK},
		{"another", []string{"file", "sound", "model", "other"}, http.StatusBadRequest},
		{"two", []string{"model", "whisper-1", "model", "other"}, http.StatusBadRequest},
	} {
		contentType, body := form(t, c.fields...)
		if status, _, answer := s.post(path, body, "content-type", contentType); (status == http.StatusOK) != (c.want == http.StatusOK) || c.want != http.StatusOK && status != c.want {
			t.Errorf("%s: status %d, want %d: %s", c.name, status, c.want, answer)
		}
	}
	// What looks like a boundary and is none must not hide the real model.
	trap := "--b\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\n\r\n--bX\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n" +
		"--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nother\r\n--b--\r\n"
	if status, _, answer := s.post(path, trap, "content-type", "multipart/form-data; boundary=b"); status != http.StatusBadRequest {
		t.Errorf("status %d: %s", status, answer)
	}
	if status, _, answer := s.post(path, "--b\r\nno form", "content-type", "multipart/form-data; boundary=b"); status != http.StatusBadRequest {
		t.Errorf("a form cut short: status %d: %s", status, answer)
	}
}

func TestModelOfAFormIsReplacedForTheEndpoint(t *testing.T) {
	s := newSetup(t, baseApp("{{sim}}/v1", "", `,"model":"whisper-large"`))
	contentType, body := form(t, "prompt", "model", "model", "base", "file", "a\r\nsound")
	status, _, answer := s.post("/lb/v1/audio/transcriptions", body, "content-type", contentType)
	if status != http.StatusOK {
		t.Fatalf("status %d: %s", status, answer)
	}
	sent := s.sim.Requests()[0]
	if _, want := form(t, "prompt", "model", "model", "whisper-large", "file", "a\r\nsound"); withoutBoundary(string(sent.Body)) != withoutBoundary(want) {
		t.Errorf("sent %s", sent.Body)
	}
}

// withoutBoundary drops the lines that begin with two dashes.
func withoutBoundary(form string) string {
	var kept []string
	for line := range strings.SplitSeq(form, "\r\n") {
		if !strings.HasPrefix(line, "--") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\r\n")
}

func TestBodyThatStallsIsAnsweredInTime(t *testing.T) {
	s := newSetup(t, `{"server":{"bodyTimeout":"100 ms"},`+baseApp("{{sim}}/v1", "", "")[1:])
	for _, c := range []struct {
		path, header string
		want         int
	}{
		{"/lb/base", "Content-Type: application/json\r\nContent-Length: 100\r\n", http.StatusRequestTimeout},
		{"/lb/nosuch", "Content-Type: application/json\r\nContent-Length: 100\r\n", http.StatusNotFound},
		{"/lb/base/audio/transcriptions", "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 2000000\r\n", http.StatusRequestTimeout},
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: gateway\r\n%s\r\n{", c.path, c.header)
		answer, err := io.ReadAll(conn) // to the end: the connection is given up too
		if !strings.HasPrefix(string(answer), fmt.Sprintf("HTTP/1.1 %d ", c.want)) {
			t.Errorf("%s: got %.200s, %v; want %d", c.path, answer, err, c.want)
		}
		conn.Close()
	}
	s.settled(0)
	if got := s.states("base"); got[0] != "available" {
		t.Errorf("the endpoint is %s", got[0])
	}
}

// raw is an endpoint that answers each request with the same bytes and hangs
// up.
func raw(t *testing.T, answer string) (uri string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		io.WriteString(c, answer)
		c.Close()
	}))
	t.Cleanup(server.Close)
	return server.URL + "/v1"
}

func TestSearchKeyThatAnErrorQuotesIsTakenBack(t *testing.T) {
	body := `{"error":{"message":"the key secret-search-key was refused"}}`
	uri := raw(t, fmt.Sprintf("HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	s := newSetup(t, applications(
		`{"appId":"search-app","appType":"azure_search","endpoints":[{"apikey":"secret-search-key","uri":"{{sim}}/indexes/i/docs/search?api-version=2024-07-01"}]}`,
		`{"appId":"docs","appType":"openai","searchAiApp":"search-app","endpoints":[{"apikey":"key-of-docs","uri":"`+uri+`"}]}`))
	status, _, answer := s.post("/lb/docs", goodChat)
	if want := `{"error":{"message":"the key search-app was refused"}}`; status != http.StatusBadRequest || answer != want {
		t.Errorf("status %d, %s; want %s", status, answer, want)
	}
}

func TestHalfAnAnswerIsNoAnswer(t *testing.T) {
	uri := raw(t, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"id\":\"x\",\"choices\":[{\"inde")
	s := newSetup(t, baseApp(uri, "", ""))
	status, header, body := s.post("/lb/base", goodChat)
	wantError(t, status, header, body, http.StatusBadGateway, "backendFailure")
}

func TestJSONBehindKeepAliveCommentsIsNotPastedIntoTheStream(t *testing.T) {
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		<-time.After(1500 * time.Millisecond)
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"pasted":true}`)
	}))
	t.Cleanup(slow.Close)
	s := newSetup(t, baseApp(slow.URL+"/v1", `"sseKeepAlive":"1 second",`, ""))
	_, text, err := s.stream("/lb/base", `{"stream":true,"messages":[{"role":"user","content":"x"}]}`)
	if err == nil || strings.Contains(text, "pasted") || !strings.Contains(text, "event: error") {
		t.Errorf("stream %q, %v", text, err)
	}
}

func TestEndpointIsNotChargedForTimeThatAnotherSpent(t *testing.T) {
	s := newSetup(t, applications(chatApp("app", `"timeouts":{"connect":"100 ms","total":"100 ms"},`, "slow", "fast")))
	for range 3 {
		s.sim.Script("slow", "hang")
		status, header, body := s.post("/lb/app", goodChat)
		wantError(t, status, header, body, http.StatusGatewayTimeout, "backendFailure")
		if n := header.Get("X-Gateway-Attempts"); n != "1" {
			t.Errorf("%s attempts", n)
		}
	}
	if got := s.states("app"); got[0] != "failing" || got[1] != "available" {
		t.Errorf("states %v", got)
	}
	if n := s.sim.Calls("fast"); n != 0 {
		t.Errorf("the second endpoint was called %d times", n)
	}
}
