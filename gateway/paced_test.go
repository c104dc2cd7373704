package gateway_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"aigateway/openai"
)

const (
	// stepsApart is what the gateway's clock shows between two events of a
	// stepped answer.
	stepsApart = 100 * time.Second
	// stepped are the speeds at which a pause of that is worth a timer, and not.
	steppedSlow, steppedFast = "1e5", "1e9"
	// replayWithin is far above what any replay of the tests takes, and below what
	// a stepped one would at its own speed, where seven pauses are of two seconds.
	replayWithin = 10 * time.Second
)

// steps are the pieces in which a stepped answer comes.
var steps = []string{"The ", "wind ", "blöws", " over the long", " hill", "s: ", "風", "."}

// stepper is an endpoint that streams steps, the role and the first at once and
// each other when it is told to; unstreamed it answers them in one piece.
func stepper(t *testing.T) (url string, next chan<- struct{}) {
	t.Helper()
	step := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if !gjson.GetBytes(body, "stream").Bool() {
			w.Header().Set("Content-Type", "application/json")
			text, _ := json.Marshal(strings.Join(steps, ""))
			io.WriteString(w, `{"id":"whole","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":`+string(text)+`}}]}`)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		chunk := func(delta, finish string) {
			io.WriteString(w, `data: {"id":"stepped","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":`+delta+`,"finish_reason":`+finish+"}]}\n\n")
		}
		chunk(`{"role":"assistant","content":""}`, "null")
		for i, piece := range steps {
			if i > 0 {
				select {
				case <-step:
				case <-r.Context().Done():
					return
				}
			}
			text, _ := json.Marshal(piece)
			chunk(`{"content":`+string(text)+`}`, "null")
			http.NewResponseController(w).Flush()
		}
		chunk(`{}`, `"stop"`)
		io.WriteString(w, "data: [DONE]\n\n")
	}))
	t.Cleanup(server.Close)
	return server.URL, step
}

// steppedApp is an application of a stepper.
func steppedApp(id, url, replay string) string {
	return `{"appId":"` + id + `","appType":"azure_oai","cacheSettings":{"useCache":true,"searchDistance":0.9,"replay":` + replay + `},
		"endpoints":[{"apikey":"key-of-steps","uri":"` + url + `/openai/deployments/steps/chat/completions` + apiVersion + `"}]}`
}

// contentOf are the texts of a stream's events that bring some.
func contentOf(stream string) (texts []string) {
	for event := range strings.SplitSeq(stream, "\n\n") {
		if text := gjson.Get(strings.TrimPrefix(event, "data: "), "choices.0.delta.content").String(); text != "" {
			texts = append(texts, text)
		}
	}
	return texts
}

// stepThrough asks for a stepped stream, and moves the gateway's clock on
// between its events.
func (k *keeping) stepThrough(path, body string, next chan<- struct{}) (texts []string) {
	k.t.Helper()
	begun := k.setup.now()
	k.freeze(begun)
	resp := k.send(http.MethodPost, path, strings.NewReader(body))
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	for {
		line, err := lines.ReadString('\n')
		if err == io.EOF {
			return texts
		}
		if err != nil {
			k.t.Fatalf("after %q: %v", texts, err)
		}
		text := contentOf(line)
		if texts = append(texts, text...); len(text) > 0 && len(texts) < len(steps) {
			k.freeze(begun.Add(time.Duration(len(texts)) * stepsApart))
			next <- struct{}{}
		}
	}
}

// written asks for an answer and returns it as the parts that the gateway wrote
// and flushed one by one: the chunks of HTTP/1.1.
func (k *keeping) written(path, body string) (parts []string) {
	k.t.Helper()
	address := strings.TrimPrefix(k.url, "http://")
	conn, err := (&net.Dialer{}).DialContext(k.t.Context(), "tcp", address)
	if err != nil {
		k.t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(replayWithin))
	if _, err := io.WriteString(conn, "POST "+path+" HTTP/1.1\r\nHost: "+address+"\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: "+
		strconv.Itoa(len(body))+"\r\n\r\n"+body); err != nil {
		k.t.Fatal(err)
	}
	all, err := io.ReadAll(conn)
	if err != nil {
		k.t.Fatalf("%s: after %d bytes: %v", path, len(all), err)
	}
	head, rest, _ := strings.Cut(string(all), "\r\n\r\n")
	if !strings.Contains(head, "\r\nX-Cache: hit\r\n") {
		k.t.Fatalf("%s: no hit: %s", path, all)
	}
	if !strings.Contains(head, "\r\nTransfer-Encoding: chunked\r\n") && !strings.HasSuffix(head, "\r\nTransfer-Encoding: chunked") {
		return []string{rest}
	}
	for {
		size, after, _ := strings.Cut(rest, "\r\n")
		n, err := strconv.ParseUint(size, 16, 31)
		if err != nil || len(after) < int(n) {
			k.t.Fatalf("%s: no chunks: %q", path, rest)
		}
		if n == 0 {
			return parts
		}
		parts = append(parts, after[:n])
		rest = strings.TrimPrefix(after[n:], "\r\n")
	}
}

func TestPacedHitComesInTheEventsAndAtTheTimesOfTheFirstAnswer(t *testing.T) {
	url, next := stepper(t)
	k := newKeeping(t, applications(embedApp,
		steppedApp("slow", url, `{"mode":"paced","speed":`+steppedSlow+`}`),
		steppedApp("fast", url, `{"mode":"paced","speed":`+steppedFast+`}`),
		steppedApp("whole", url, `{"mode":"whole"}`)))
	question := ask(`"stream":true,`, "What does the wind do?")
	whole := strings.Join(steps, "")
	for _, app := range []string{"slow", "fast", "whole"} {
		if diff := cmp.Diff(steps, k.stepThrough("/lb/"+app, question, next)); diff != "" {
			t.Fatalf("%s: the first answer (-want +got):\n%s", app, diff)
		}
		k.entries(app, 1)
	}

	// What is kept are the boundaries and the times by the gateway's clock.
	list, err := k.db.Cache().List(t.Context(), "slow", 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	got, err := openai.DecodeMarks(list[0].Marks)
	if err != nil {
		t.Fatal(err)
	}
	var want []openai.Mark
	for i, length := 0, 0; i < len(steps); i++ {
		length += len(steps[i])
		want = append(want, openai.Mark{At: time.Duration(i) * stepsApart, Text: length})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("marks (-want +got):\n%s", diff)
	}

	for _, c := range []struct {
		app   string
		texts []string
		paced bool // each in a write of its own
	}{
		{"slow", steps, true},
		{"fast", steps, false},
		{"whole", []string{whole}, false},
	} {
		parts := k.written("/lb/"+c.app, question)
		all := strings.Join(parts, "")
		if diff := cmp.Diff(c.texts, contentOf(all)); diff != "" || !strings.HasSuffix(all, "data: [DONE]\n\n") {
			t.Errorf("%s: the hit (-want +got):\n%s\n%s", c.app, diff, all)
		}
		alone := 0
		for _, part := range parts {
			if len(contentOf(part)) == 1 {
				alone++
			}
		}
		if waits := alone == len(steps); waits != c.paced {
			t.Errorf("%s: %d of %d events came alone: %q", c.app, alone, len(steps), parts)
		}
	}

	// Without a stream there is nothing to pace.
	if _, h, body := k.post("/lb/slow", ask("", "What does the wind do?")); h.Get("X-Cache") != "hit" || gjson.Get(body, "choices.0.message.content").String() != whole {
		t.Errorf("not streamed: x-cache %q, %s", h.Get("X-Cache"), body)
	}
}

func TestAnswerThatWasNotStreamedIsPacedEvenly(t *testing.T) {
	url, _ := stepper(t)
	k := newKeeping(t, applications(embedApp, steppedApp("bot", url, `{"mode":"paced","speed":`+steppedSlow+`}`)))
	_, _, first := k.post("/lb/bot", ask("", "What does the wind do?"))
	whole := strings.Join(steps, "")
	if got := gjson.Get(first, "choices.0.message.content").String(); got != whole {
		t.Fatalf("the first answer is %q", got)
	}
	_, h, stream := k.post("/lb/bot", ask(`"stream":true,`, "What does the wind do?"))
	texts := contentOf(stream)
	if h.Get("X-Cache") != "hit" || strings.Join(texts, "") != whole || len(texts) < 3 || !strings.HasSuffix(stream, "data: [DONE]\n\n") {
		t.Errorf("x-cache %q, in pieces %q", h.Get("X-Cache"), texts)
	}
	for _, text := range texts {
		if len(text) > 18 { // 16, and no character is cut
			t.Errorf("a piece has %d bytes: %q", len(text), text)
		}
	}
}
