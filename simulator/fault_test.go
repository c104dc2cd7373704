package simulator

import (
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"
	"pgregory.net/rapid"
)

func TestFaultCheckNamesTheWordItCannotRead(t *testing.T) {
	for fault, want := range map[Fault]string{
		"": "", " ; ; ": "", "latency=200ms; cadence=10ms; status=503; retry-after=Wed, 21 Oct 2026 07:28:00 GMT": "",
		"reset;hang;hang=3;cut=0;truncate;garbage;html;empty;object;nochoices;big=10;words=3;split;errorevent=0;crlf;nodone;nofinish;onechunk;asyncfilter": "",
		"stall=0;nousage;badusage=strings;badusage=negative;badusage=huge;cachedprompt=0;reasoning=64":                                                     "",
		"X-RateLimit-Reset-Tokens=6m0s; retry-after-ms=5":                                                                                                  "",
		"nonsense":      `fault "nonsense": is not a word of the fault grammar`,
		"reset=1":       `fault "reset=1": takes no value`,
		"status=99":     `fault "status=99": wants a number from 200 to 599, not "99"`,
		"split; cut=-1": `fault "cut=-1": wants a number from 0 to 33554432, not "-1"`,
		"badusage=odd":  `fault "badusage=odd": wants strings, negative or huge, not "odd"`,
		"stall":         `fault "stall": wants a number from 0 to 33554432, not ""`,
		"latency=fast":  `fault "latency=fast": wants a duration such as 200ms, not "fast"`,
		"x-a b=1":       `fault "x-a b=1": is no header name`,
	} {
		got := ""
		if err := fault.Check(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %q, want %q", fault, got, want)
		}
	}
}

func TestFaultCheckTakesAnyText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		_ = Fault(rapid.String().Draw(t, "fault")).Check()
	})
}

func TestFaultsReachACallByEveryWay(t *testing.T) {
	f := func(name string, o Options, body string, header ...string) {
		t.Helper()
		s := New(o)
		if w, _ := post(t, s, chatPath, body, header...); w.Code != 503 {
			t.Errorf("%s: status %d, want 503", name, w.Code)
		}
	}
	f("option", Options{Fault: "status=503"}, hello)
	f("deployment", Options{Deployments: map[string]Deployment{"d": {Fault: "status=503"}}}, hello)
	f("header", Options{}, hello, "X-Sim-Fault", "status=503")
	f("user member", Options{}, `{"user":"sim:status=503",`+hello[1:])
	f("header over option", Options{Fault: "status=500"}, hello, "X-Sim-Fault", "status=503")
	f("user over header", Options{}, `{"user":"sim:status=503",`+hello[1:], "X-Sim-Fault", "status=500")
}

func TestScriptedFaultsCountOneCallEach(t *testing.T) {
	s := New(Options{})
	s.Script("d", "status=500", "", "status=429; retry-after=7")
	for i, want := range []int{500, 200, 429, 200} {
		w, _ := post(t, s, chatPath, hello)
		if w.Code != want {
			t.Errorf("call %d: status %d, want %d", i, w.Code, want)
		}
		if got := w.Header().Get("Retry-After"); (got == "7") != (want == 429) {
			t.Errorf("call %d: retry-after %q", i, got)
		}
	}
	s.Script("other", "status=500")
	if w, _ := post(t, s, chatPath, hello); w.Code != 200 {
		t.Errorf("another deployment's fault: status %d", w.Code)
	}
}

func TestFaultThatCannotBeReadIsToldToTheCaller(t *testing.T) {
	w, _ := post(t, New(Options{Fault: "nonsense"}), chatPath, hello)
	if w.Code != 400 || member(w, "error.code") != "SimulatedFault" || !strings.Contains(member(w, "error.message"), "nonsense") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestScriptedStatusHasNoRetryAfterOfItsOwn(t *testing.T) {
	w, _ := post(t, New(Options{Fault: "status=429"}), chatPath, hello)
	for name := range w.Header() {
		if strings.Contains(name, "Retry") {
			t.Errorf("header %s", name)
		}
	}
	w, _ = post(t, New(Options{Fault: "status=429; x-ratelimit-reset-requests=6m0s; retry-after-ms=1500"}), chatPath, hello)
	if w.Header().Get("X-Ratelimit-Reset-Requests") != "6m0s" || w.Header().Get("Retry-After-Ms") != "1500" {
		t.Errorf("headers %v", w.Header())
	}
}

func TestFaultsOfWholeAnswers(t *testing.T) {
	whole := func(fault string) *httptest.ResponseRecorder {
		w, _ := post(t, New(Options{}), chatPath, hello, "X-Sim-Fault", fault)
		return w
	}
	if w := whole("garbage"); w.Code != 200 || gjson.Valid(w.Body.String()) || utf8.Valid(w.Body.Bytes()) {
		t.Errorf("garbage: %d %q", w.Code, w.Body)
	}
	if w := whole("html; status=502"); w.Code != 502 || w.Header().Get("Content-Type") != kindHTML || !strings.HasPrefix(w.Body.String(), "<html>") {
		t.Errorf("html: %d %q", w.Code, w.Body)
	}
	if w := whole("empty"); w.Code != 200 || w.Body.Len() != 0 {
		t.Errorf("empty: %d %q", w.Code, w.Body)
	}
	if w := whole("object"); w.Body.String() != "{}" {
		t.Errorf("object: %q", w.Body)
	}
	if w := whole("nochoices"); gjson.Get(w.Body.String(), "choices").Raw != "[]" || member(w, "usage.total_tokens") == "" {
		t.Errorf("nochoices: %s", w.Body)
	}
	if w := whole("nofinish"); gjson.Get(w.Body.String(), "choices.0.finish_reason").Raw != "null" {
		t.Errorf("nofinish: %s", w.Body)
	}
	if w := whole("big=100000"); len(member(w, "choices.0.message.content")) != 100000 {
		t.Errorf("big: %d bytes", w.Body.Len())
	}
	if w := whole("words=200"); len(strings.Fields(member(w, "choices.0.message.content"))) != 200 {
		t.Errorf("words: %s", w.Body)
	}
	if w := whole("errorevent=0"); w.Code != 200 || member(w, "error.type") != "server_error" {
		t.Errorf("errorevent: %d %s", w.Code, w.Body)
	}
	w, aborted := post(t, New(Options{}), chatPath, hello, "X-Sim-Fault", "truncate")
	if promised := w.Header().Get("Content-Length"); !aborted || promised == "" || w.Body.Len() == 0 || gjson.Valid(w.Body.String()) {
		t.Errorf("truncate: aborted %v, %s promised, %d sent", aborted, promised, w.Body.Len())
	}
	if w, aborted := post(t, New(Options{}), chatPath, hello, "X-Sim-Fault", "reset"); !aborted || w.Body.Len() != 0 {
		t.Errorf("reset: aborted %v, %d bytes", aborted, w.Body.Len())
	}
}

func TestFaultsOfStreams(t *testing.T) {
	stream := func(fault string) (string, bool) {
		w, aborted := post(t, New(Options{}), chatPath, streamed, "X-Sim-Fault", fault)
		if w.Code != 200 || w.Header().Get("Content-Type") != kindStream {
			t.Errorf("%s: %d %s", fault, w.Code, w.Header().Get("Content-Type"))
		}
		return w.Body.String(), aborted
	}
	plain, _ := stream("")
	n := strings.Count(plain, "\n\n")

	for cut := range 4 {
		if got, aborted := stream("cut=" + string(rune('0'+cut))); !aborted || strings.Count(got, "\n\n") != cut {
			t.Errorf("cut=%d: aborted %v after %d events", cut, aborted, strings.Count(got, "\n\n"))
		}
	}
	if got, _ := stream("errorevent=0"); got != "data: "+errorObject+"\n\n" {
		t.Errorf("errorevent=0: %q", got)
	}
	if got := events(first(stream("errorevent=2"))); len(got) != 5 || got[4] != errorObject || gjson.Get(got[3], "choices.0.delta.content").String() == "" {
		t.Errorf("errorevent=2: %q", got)
	}
	if got, _ := stream("crlf"); strings.Count(got, "\r\n\r\n") != n || strings.Count(got, "\n") != 2*n {
		t.Errorf("crlf: %q", got)
	}
	if got, _ := stream("nodone"); got == plain || strings.Contains(got, "[DONE]") || strings.Count(got, "\n\n") != n-1 {
		t.Errorf("nodone: %q", got)
	}
	if got, _ := stream("nofinish"); strings.Contains(got, `"finish_reason":"`) || strings.Count(got, "\n\n") != n-1 {
		t.Errorf("nofinish: %q", got)
	}
	if got, _ := stream("empty"); got != "" {
		t.Errorf("empty: %q", got)
	}
	if got := events(first(stream("object"))); !cmp.Equal(got, []string{"{}", "[DONE]"}) {
		t.Errorf("object: %q", got)
	}
	if got := events(first(stream("nochoices"))); len(got) != 2 || gjson.Get(got[0], "prompt_filter_results").Raw == "" {
		t.Errorf("nochoices: %q", got)
	}
	if got, _ := stream("garbage"); utf8.ValidString(got) || strings.Count(got, "\n\n") != n {
		t.Errorf("garbage: %q", got)
	}
	if got := text(events(first(stream("big=70000")))); len(got) != 70000 {
		t.Errorf("big: %d bytes of text", len(got))
	}
	late := events(first(stream("asyncfilter")))
	var withoutDelta int
	for _, e := range late {
		if c := gjson.Get(e, "choices.0"); c.Exists() && !c.Get("delta").Exists() {
			withoutDelta++
			if !c.Get("content_filter_offsets.end_offset").Exists() || !c.Get("content_filter_results.hate").Exists() {
				t.Errorf("asyncfilter event: %s", e)
			}
		} else if c.Get("delta.content").String() != "" && c.Get("content_filter_results").Exists() {
			t.Errorf("asyncfilter: a content event carries results: %s", e)
		}
	}
	if withoutDelta != 1 || text(late) != text(events(plain)) {
		t.Errorf("asyncfilter: %d events without delta", withoutDelta)
	}
	if _, aborted := stream("truncate"); !aborted {
		t.Error("truncate: the stream ended in order")
	}
}

func first(s string, _ bool) string { return s }

// text joins the content deltas of a chat stream.
func text(events []string) string {
	var b strings.Builder
	for _, e := range events {
		b.WriteString(gjson.Get(e, "choices.0.delta.content").String())
	}
	return b.String()
}

// writes records each Write by itself.
type writes struct {
	*httptest.ResponseRecorder
	parts []string
}

func (w *writes) Write(b []byte) (int, error) {
	w.parts = append(w.parts, string(b))
	return w.ResponseRecorder.Write(b)
}

func recordWrites(t *testing.T, body, fault string) []string {
	t.Helper()
	r := httptest.NewRequest("POST", chatPath, strings.NewReader(body))
	r.Header.Set("Api-Key", "k")
	r.Header.Set("X-Sim-Fault", fault)
	w := &writes{ResponseRecorder: httptest.NewRecorder()}
	New(Options{}).ServeHTTP(w, r)
	if !utf8.ValidString(strings.Join(w.parts, "")) {
		t.Errorf("%s: the whole is not UTF-8", fault)
	}
	return w.parts
}

func TestStreamIsWrittenEventByEvent(t *testing.T) {
	for _, part := range recordWrites(t, streamed, "") {
		if !strings.HasPrefix(part, "data: ") || strings.Count(part, "\n\n") != 1 || !strings.HasSuffix(part, "\n\n") {
			t.Errorf("a write that is no event: %q", part)
		}
	}
	if got := len(recordWrites(t, streamed, "onechunk")); got != 1 {
		t.Errorf("onechunk: %d writes", got)
	}
}

func TestSplitEndsWritesInsideACharacter(t *testing.T) {
	for _, body := range []string{hello, streamed} {
		broken := 0
		for _, part := range recordWrites(t, body, "split") {
			if !utf8.ValidString(part) {
				broken++
			}
		}
		if broken < 2 {
			t.Errorf("%s: %d writes with part of a character, want 2 at least", body, broken)
		}
	}
}
