package gateway_test

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"aigateway/simulator"
)

// recording is a form for a transcription with a file of size bytes.
func recording(t *testing.T, size int) (contentType string, body []byte) {
	t.Helper()
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	if err := form.WriteField("model", "whisper"); err != nil {
		t.Fatal(err)
	}
	file, err := form.CreateFormFile("file", "meeting.mp3")
	if err != nil {
		t.Fatal(err)
	}
	piece := []byte("0123456789\x00\xff\r\n--abcdef")
	for left := size; left > 0; left -= len(piece) {
		file.Write(piece[:min(left, len(piece))])
	}
	if err := form.Close(); err != nil {
		t.Fatal(err)
	}
	return form.FormDataContentType(), b.Bytes()
}

// transcriptions is an application with a transcription endpoint for each
// deployment.
func transcriptions(members string, deployments ...string) string {
	return strings.ReplaceAll(chatApp("voice", members, deployments...), "/chat/completions", "/audio/transcriptions")
}

func TestUploadReachesTheEndpointWhole(t *testing.T) {
	const large = 3 << 20
	for _, c := range []struct {
		name    string
		size    int
		chunked bool
	}{
		{"small", 1000, false},
		{"small, chunked", 1000, true},
		{"streamed", large, false},
		{"streamed, chunked", large, true},
	} {
		for path, app := range map[string]string{
			"/lb/voice":                      transcriptions("", "whisper"),
			"/lb/voice/audio/transcriptions": `{"appId":"voice","appType":"openai","endpoints":[{"uri":"{{sim}}/v1","apikey":"key-of-v1"}]}`,
			"/lb/v1/audio/transcriptions":    `{"appId":"whisper","appType":"openai","endpoints":[{"uri":"{{sim}}/v1","apikey":"key-of-v1"}]}`,
		} {
			t.Run(c.name+path, func(t *testing.T) {
				s := newSetup(t, applications(app))
				kind, body := recording(t, c.size)
				var from io.Reader = bytes.NewReader(body)
				if c.chunked {
					from = io.MultiReader(from) // hides the length
				}
				resp := s.send(http.MethodPost, path, from, "Content-Type", kind)
				answer, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(answer), fmt.Sprintf("%d bytes", c.size)) {
					t.Errorf("%d %v: %s", resp.StatusCode, err, answer)
				}
				seen := s.sim.Requests()
				if len(seen) != 1 || !bytes.Equal(seen[0].Body, body) || seen[0].Header.Get("Content-Type") != kind {
					t.Fatalf("what reached the endpoint differs; %d requests", len(seen))
				}
				s.settled(1)
				if !strings.Contains(s.log.String(), fmt.Sprintf(`"bytes_in":%d`, len(body))) {
					t.Error("the access line does not count the body")
				}
			})
		}
	}
}

func TestThrottledUploadGoesElsewhereWhenItCan(t *testing.T) {
	const throttled = "status=429;retry-after=60"
	s := newSetup(t, applications(transcriptions("", "one", "two")))
	s.sim.Script("one", throttled)
	kind, body := recording(t, 1000)
	status, header, answer := s.post("/lb/voice", string(body), "Content-Type", kind)
	if status != http.StatusOK || header.Get("X-Gateway-Endpoint") != "two" || !strings.Contains(answer, "1000 bytes") {
		t.Errorf("small: %d by %q: %s", status, header.Get("X-Gateway-Endpoint"), answer)
	}

	// A long one has left when the endpoint refuses it: the client is asked to
	// send it again, and then it goes to the endpoint that does not rest.
	s = newSetup(t, applications(transcriptions("", "one", "two")))
	s.sim.Script("one", throttled)
	kind, body = recording(t, 3<<20)
	status, header, answer = s.post("/lb/voice", string(body), "Content-Type", kind)
	if status != http.StatusTooManyRequests || header.Get("Retry-After") == "" {
		t.Errorf("long: %d, retry-after %q: %s", status, header.Get("Retry-After"), answer)
	}
	if calls := s.sim.Calls("two"); calls != 0 {
		t.Errorf("half a body was sent on to another endpoint")
	}
	status, header, answer = s.post("/lb/voice", string(body), "Content-Type", kind)
	if status != http.StatusOK || header.Get("X-Gateway-Endpoint") != "two" {
		t.Errorf("sent again: %d by %q: %s", status, header.Get("X-Gateway-Endpoint"), answer)
	}
}

func TestUploadThatBreaksOffChargesNobody(t *testing.T) {
	for _, announced := range []int{500_000, 5 << 20} {
		t.Run(fmt.Sprint(announced), func(t *testing.T) {
			s := newSetup(t, applications(transcriptions("", "one", "two")))
			at, err := url.Parse(s.url)
			if err != nil {
				t.Fatal(err)
			}
			kind, body := recording(t, 400_000)
			const times = 5
			for i := range times {
				conn, err := net.Dial("tcp", at.Host)
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(conn, "POST /lb/voice HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", at.Host, kind, announced, body)
				conn.Close()
				s.settled(i + 1)
			}
			within(t, "the endpoint is free", func() bool { return s.sim.Open() == 0 })
			if got := s.states("voice"); got[0] != "available" {
				t.Errorf("the endpoint is %v", got)
			}
			if got := s.counts("voice"); got[0].FailedAPICalls != 0 || got[1].APICalls+got[1].FailedAPICalls != 0 {
				t.Errorf("counted %+v", got)
			}
			if n := strings.Count(s.log.String(), `"status":5`); n != 0 {
				t.Errorf("%d access lines blame the gateway or an endpoint:\n%s", n, s.log)
			}
			if status, header, _ := s.post("/lb/voice", string(body), "Content-Type", kind); status != http.StatusOK || header.Get("X-Gateway-Endpoint") != "one" {
				t.Errorf("the next upload: %d by %q", status, header.Get("X-Gateway-Endpoint"))
			}
		})
	}
}

func TestUploadLargerThanAllowedIsRefused(t *testing.T) {
	const most = 2 << 20
	for _, chunked := range []bool{true, false} {
		for kind, body := range map[string][]byte{
			"a form":           nil,
			"application/json": []byte(`{"messages":"` + strings.Repeat("x", most+100_000) + `"}`),
		} {
			t.Run(fmt.Sprintf("%s chunked=%v", kind, chunked), func(t *testing.T) {
				s := newSetup(t, applications(transcriptions(fmt.Sprintf(`"maxBodyBytes":%d,`, most), "one", "two")))
				if body == nil {
					kind, body = recording(t, most+100_000)
				}
				var from io.Reader = bytes.NewReader(body)
				if chunked {
					from = io.MultiReader(from)
				}
				resp := s.send(http.MethodPost, "/lb/voice", from, "Content-Type", kind)
				answer, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				wantError(t, resp.StatusCode, resp.Header, string(answer), http.StatusRequestEntityTooLarge, "invalidPayload")
				s.settled(1)
				within(t, "the endpoint is free", func() bool { return s.sim.Open() == 0 })
				if got := s.counts("voice"); got[0].FailedAPICalls != 0 || got[1].FailedAPICalls != 0 {
					t.Errorf("counted %+v", got)
				}
				if got := s.states("voice"); got[0] != "available" {
					t.Errorf("the endpoint is %v", got)
				}
			})
		}
	}
}

func TestOtherOperationsPassUnchanged(t *testing.T) {
	const app = `{"appId":"any","appType":"openai","endpoints":[{"id":"one","uri":"{{sim}}/v1","apikey":"key-of-v1"}]}`
	for _, c := range []struct{ name, operation, body, kind string }{
		{"response", "responses", `{"model":"gpt","input":"What is a gateway?"}`, "application/json"},
		{"streamed response", "responses", `{"model":"gpt","stream":true,"input":"What is a gateway?"}`, "text/event-stream"},
		{"image", "images/generations", `{"model":"image","prompt":"a gate","response_format":"b64_json"}`, "application/json"},
		{"speech", "audio/speech", `{"model":"voice","input":"Hello there","voice":"alloy"}`, "audio/mpeg"},
		{"long speech", "audio/speech", `{"model":"voice","input":"Hello there","user":"sim:big=3000000"}`, "audio/mpeg"},
		{"moderation", "moderations", `{"model":"mod","input":["nothing bad","violence-test"]}`, "application/json"},
		{"completion", "completions", `{"model":"gpt","prompt":["one","two"]}`, "application/json"},
		{"embedding", "embeddings", `{"model":"embed","input":"What is a gateway?"}`, "application/json"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := simulator.Options{Now: fixedTime}
			want := direct(t, o, "/v1/"+c.operation, "application/json", c.body)
			s := newSetupSim(t, o, applications(app))
			resp, got, err := s.stream("/lb/any/"+c.operation, c.body)
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Fatalf("%d %v: %s", resp.StatusCode, err, got)
			}
			if got != want.Body.String() {
				t.Errorf("%d bytes came that differ from the %d sent", len(got), want.Body.Len())
			}
			if kind := resp.Header.Get("Content-Type"); !strings.HasPrefix(kind, c.kind) {
				t.Errorf("content-type %q, want %q", kind, c.kind)
			}
			if seen := s.sim.Requests(); string(seen[0].Body) != c.body || seen[0].Path != "/v1/"+c.operation {
				t.Errorf("the endpoint got %s %s", seen[0].Path, seen[0].Body)
			}
		})
	}
}

func TestStreamedResponseThatBreaksIsCutOff(t *testing.T) {
	s := newSetup(t, applications(`{"appId":"any","appType":"openai","endpoints":[{"id":"one","uri":"{{sim}}/v1","apikey":"key-of-v1"}]}`))
	_, text, err := s.stream("/lb/any/responses", `{"model":"gpt","stream":true,"user":"sim:cut=4","input":"What is a gateway?"}`)
	if err == nil || !strings.Contains(text, "event: response.created") || !strings.Contains(text, "event: error\n") {
		t.Errorf("ended with %v: %s", err, text)
	}
}
