package simulator

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"
)

// clock is an Options.Now that stands still until moved.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newClock() *clock { return &clock{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

// keys are the member names of a JSON object, in order.
func keys(v gjson.Result) (names []string) {
	v.ForEach(func(k, _ gjson.Result) bool {
		names = append(names, k.Str)
		return true
	})
	return names
}

func TestChatAnswerHasAzureShape(t *testing.T) {
	s := New(Options{Now: newClock().now, Deployments: map[string]Deployment{"d": {Model: "gpt-4o"}}})
	w, _ := post(t, s, chatPath, hello)
	root := gjson.Parse(w.Body.String())
	if w.Code != 200 || !gjson.Valid(w.Body.String()) {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	want := []string{"choices", "created", "id", "model", "object", "prompt_filter_results", "system_fingerprint", "usage"}
	if diff := cmp.Diff(want, keys(root)); diff != "" {
		t.Error(diff)
	}
	want = []string{"content_filter_results", "finish_reason", "index", "logprobs", "message"}
	if diff := cmp.Diff(want, keys(root.Get("choices.0"))); diff != "" {
		t.Error(diff)
	}
	for path, want := range map[string]string{
		"model": "gpt-4o", "object": "chat.completion", "created": fmt.Sprint(newClock().at.Unix()), "choices.#": "1",
		"choices.0.finish_reason": "stop", "choices.0.message.role": "assistant",
		"choices.0.message.content":                                         "Simulated answer of gpt-4o to “What is a gateway?”. It has read 1 message.",
		"choices.0.content_filter_results.violence.severity":                "safe",
		"prompt_filter_results.0.content_filter_results.hate":               `{"filtered":false,"severity":"safe"}`,
		"prompt_filter_results.0.content_filter_results.jailbreak":          `{"filtered":false,"detected":false}`,
		"usage.prompt_tokens":                                               fmt.Sprint(ChatTokens([]byte(hello))),
		"usage.completion_tokens":                                           fmt.Sprint(Tokens(root.Get("choices.0.message.content").String())),
		"prompt_filter_results.0.content_filter_results.self_harm.filtered": "false",
	} {
		if got := root.Get(path).String(); got != want {
			t.Errorf("%s = %s, want %s", path, got, want)
		}
	}
	if got := root.Get("usage.total_tokens").Int(); got != root.Get("usage.prompt_tokens").Int()+root.Get("usage.completion_tokens").Int() {
		t.Errorf("total_tokens = %d", got)
	}
	for _, name := range []string{"X-Ratelimit-Remaining-Requests", "X-Ratelimit-Remaining-Tokens", "X-Ms-Region", "Apim-Request-Id", "X-Request-Id", "X-Envoy-Upstream-Service-Time", "Azureml-Model-Session"} {
		if w.Header().Get(name) == "" {
			t.Errorf("no header %s", name)
		}
	}
}

func TestChatOnOpenAIRouteHasNoFilterResults(t *testing.T) {
	for _, body := range []string{`{"model":"gpt-4o",` + hello[1:], `{"model":"gpt-4o",` + streamed[1:]} {
		w, _ := post(t, New(Options{}), "/v1/chat/completions", body)
		if w.Code != 200 || strings.Contains(w.Body.String(), "filter") || !strings.Contains(w.Body.String(), `"model":"gpt-4o"`) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if w.Header().Get("Openai-Processing-Ms") == "" || w.Header().Get("X-Ms-Region") != "" {
			t.Errorf("headers %v", w.Header())
		}
	}
	w, _ := post(t, New(Options{}), "/openai/v1/chat/completions", `{"model":"gpt-4o",`+hello[1:])
	if w.Code != 200 || member(w, "prompt_filter_results.#") != "1" {
		t.Errorf("Azure's own v1: %d %s", w.Code, w.Body)
	}
}

func TestChatStreamHasAzureEvents(t *testing.T) {
	s := New(Options{Now: newClock().now})
	whole, _ := post(t, s, chatPath, hello)
	w, _ := post(t, s, chatPath, `{"stream":true,"stream_options":{"include_usage":true},`+hello[1:])
	list := events(w.Body.String())
	n := len(list)
	if n < 6 || list[n-1] != "[DONE]" {
		t.Fatalf("events: %q", list)
	}
	for i, e := range list[:n-1] {
		if !gjson.Valid(e) {
			t.Errorf("event %d: %s", i, e)
		}
		if i > 0 && i < n-2 && gjson.Get(e, "usage").Raw != "null" {
			t.Errorf("event %d: usage %q, want null", i, gjson.Get(e, "usage").Raw)
		}
	}
	if e := list[0]; gjson.Get(e, "choices").Raw != "[]" || gjson.Get(e, "prompt_filter_results.0.content_filter_results.hate.severity").String() != "safe" {
		t.Errorf("first event: %s", e)
	}
	if e := list[1]; gjson.Get(e, "choices.0.delta.role").String() != "assistant" || gjson.Get(e, "object").String() != "chat.completion.chunk" {
		t.Errorf("role event: %s", e)
	}
	if e := list[n-3]; gjson.Get(e, "choices.0.finish_reason").String() != "stop" || gjson.Get(e, "choices.0.delta").Raw != "{}" || !gjson.Get(e, "choices.0.content_filter_results.hate").Exists() {
		t.Errorf("stop event: %s", e)
	}
	if e := list[n-2]; gjson.Get(e, "choices").Raw != "[]" || gjson.Get(e, "usage").Raw != gjson.Get(whole.Body.String(), "usage").Raw {
		t.Errorf("usage event: %s", e)
	}
	if got, want := text(list), member(whole, "choices.0.message.content"); got != want {
		t.Errorf("streamed %q, whole %q", got, want)
	}
	if w, _ := post(t, s, chatPath, streamed); strings.Contains(w.Body.String(), "usage") {
		t.Errorf("usage that nobody asked for: %s", w.Body)
	}
}

func TestChatAnswersAreDeterministicButForIds(t *testing.T) {
	s := New(Options{Now: newClock().now})
	a, _ := post(t, s, chatPath, hello)
	b, _ := post(t, s, chatPath, hello)
	if member(a, "choices") != member(b, "choices") {
		t.Errorf("%s\n%s", a.Body, b.Body)
	}
	if member(a, "id") == member(b, "id") || a.Header().Get("X-Request-Id") == b.Header().Get("X-Request-Id") {
		t.Error("two calls share an id")
	}
}

func TestChatReadsConversationAndParts(t *testing.T) {
	body := `{"messages":[{"role":"system","content":"Be kind."},{"role":"user","content":"old"},{"role":"assistant","content":null,"tool_calls":[]},
		{"role":"user","content":[{"type":"text","text":"Look \"here\""},{"type":"image_url","image_url":{"url":"data:,"}}]}]}`
	w, _ := post(t, New(Options{}), chatPath, body)
	if got := member(w, "choices.0.message.content"); !strings.Contains(got, `“Look "here"”`) || !strings.Contains(got, "4 messages") {
		t.Errorf("answer: %q", got)
	}
	if got := ChatTokens([]byte(body)); got < 85+4*4 {
		t.Errorf("tokens = %d: an image costs 85", got)
	}
	long := `{"messages":[{"role":"user","content":"` + strings.Repeat("word ", 50) + `"}]}`
	if w, _ := post(t, New(Options{}), chatPath, long); !strings.Contains(member(w, "choices.0.message.content"), strings.Repeat("word ", 12)+"…") {
		t.Errorf("long question: %s", w.Body)
	}
}

func TestChatHonoursMaxTokensAndN(t *testing.T) {
	for _, name := range []string{"max_tokens", "max_completion_tokens"} {
		w, _ := post(t, New(Options{}), chatPath, `{"n":3,"`+name+`":4,`+hello[1:])
		if member(w, "choices.#") != "3" || member(w, "choices.2.index") != "2" || member(w, "usage.completion_tokens") != "12" {
			t.Errorf("%s: %s", name, w.Body)
		}
		if got := member(w, "choices.1.message.content"); member(w, "choices.1.finish_reason") != "length" || Tokens(got) != 4 {
			t.Errorf("%s: %q", name, got)
		}
	}
	w, _ := post(t, New(Options{}), chatPath, `{"n":2,`+streamed[1:])
	if got := strings.Count(w.Body.String(), `"finish_reason":"stop"`); got != 2 {
		t.Errorf("%d choices finished, want 2", got)
	}
}

func TestChatAnswersJSONWhenAsked(t *testing.T) {
	w, _ := post(t, New(Options{}), chatPath, `{"response_format":{"type":"json_object"},`+hello[1:])
	var answer struct{ Answer string }
	if err := json.Unmarshal([]byte(member(w, "choices.0.message.content")), &answer); err != nil || !strings.Contains(answer.Answer, "gateway") {
		t.Errorf("%v: %s", err, w.Body)
	}
}

func TestChatContentFilterRefusesPrompt(t *testing.T) {
	body := strings.Replace(hello, "gateway", "violence-test", 1)
	w, _ := post(t, New(Options{}), chatPath, body)
	root := gjson.Parse(w.Body.String())
	if w.Code != 400 || root.Get("error.code").String() != "content_filter" || root.Get("error.status").Int() != 400 ||
		root.Get("error.innererror.code").String() != "ResponsibleAIPolicyViolation" ||
		!root.Get("error.innererror.content_filter_result.violence.filtered").Bool() || root.Get("error.innererror.content_filter_result.hate.filtered").Bool() {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w, _ := post(t, New(Options{}), "/v1/chat/completions", body); w.Code != 200 {
		t.Errorf("OpenAI: %d", w.Code)
	}
	w, _ = post(t, New(Options{}), chatPath, strings.Replace(hello, "gateway", "completion-filter-test", 1))
	if w.Code != 200 || member(w, "choices.0.finish_reason") != "content_filter" || member(w, "choices.0.content_filter_results.violence.filtered") != "true" {
		t.Errorf("answer filtered: %d %s", w.Code, w.Body)
	}
}

func TestChatRefusesWhatTheServiceRefuses(t *testing.T) {
	f := func(name, body, wantParam string) {
		t.Helper()
		w, _ := post(t, New(Options{}), chatPath, body)
		if w.Code != 400 || member(w, "error.type") != "invalid_request_error" || member(w, "error.param") != wantParam || member(w, "error.message") == "" {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	f("not JSON", `{"messages":`, "")
	f("no object", `[]`, "")
	f("nothing", ``, "")
	f("nested too deep", strings.Repeat("[", 20_000)+strings.Repeat("]", 20_000), "")
	f("no messages", `{}`, "messages")
	f("empty messages", `{"messages":[]}`, "messages")
	f("messages no list", `{"messages":"hi"}`, "messages")
	f("role", `{"messages":[{"role":"user","content":"a"},{"role":"king","content":"a"}]}`, "messages[1].role")
	f("content", `{"messages":[{"role":"user","content":3}]}`, "messages[0].content")
	f("no content", `{"messages":[{"role":"user"}]}`, "messages[0].content")
	f("n", `{"n":0,`+hello[1:], "n")
	f("max_tokens", `{"max_tokens":-1,`+hello[1:], "max_tokens")
	f("temperature", `{"temperature":3,`+hello[1:], "temperature")
	f("stream", `{"stream":"yes",`+hello[1:], "stream")
	f("stream_options alone", `{"stream_options":{"include_usage":true},`+hello[1:], "stream_options")
	f("tool without name", `{"tools":[{"type":"function"}],`+hello[1:], "tools[0].function.name")
	f("tool_choice alone", `{"tool_choice":"required",`+hello[1:], "tool_choice")

	f("too many tools", `{"tools":[`+strings.Repeat(`{"function":{"name":"f"}},`, maxTools)+`{"function":{"name":"f"}}],`+hello[1:], "tools")
	f("choices beyond memory", `{"n":128,"user":"sim:words=100000",`+streamed[1:], "n")

	w, _ := post(t, New(Options{}), chatPath, hello, "Content-Type", "text/plain")
	if w.Code != 400 || member(w, "error.code") != "unsupported_content_type" {
		t.Errorf("content type: %d %s", w.Code, w.Body)
	}
}

const tools = `"tools":[{"type":"function","function":{"name":"find_flights","parameters":{"type":"object","properties":{"n":{"type":"integer"}}}}},
	{"type":"function","function":{"name":"get_weather","parameters":{"type":"object","properties":{"city":{"type":"string"},"unit":{"enum":["c","f"]},"days":{"type":"integer"},"exact":{"type":"boolean"}}}}}],`

func TestChatCallsTools(t *testing.T) {
	weather := `{"messages":[{"role":"user","content":"How is the weather in Łódź or Paris today?"}]}`
	f := func(name, body string, want ...string) {
		t.Helper()
		w, _ := post(t, New(Options{}), chatPath, body)
		var got []string
		gjson.Get(w.Body.String(), "choices.0.message.tool_calls").ForEach(func(_, c gjson.Result) bool {
			got = append(got, c.Get("function.name").String()+" "+c.Get("function.arguments").String())
			if c.Get("id").String() == "" || c.Get("type").String() != "function" {
				t.Errorf("%s: %s", name, c.Raw)
			}
			return true
		})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s\n%s", name, diff, w.Body)
		}
		if finish := member(w, "choices.0.finish_reason"); (finish == "tool_calls") != (want != nil) {
			t.Errorf("%s: finish %s", name, finish)
		}
	}
	call := `get_weather {"city":"Paris","unit":"c","days":1,"exact":true}`
	f("mentioned", `{`+tools+weather[1:], call)
	f("none", `{"tool_choice":"none",`+tools+weather[1:])
	f("not mentioned", `{`+tools+hello[1:])
	f("required", `{"tool_choice":"required",`+tools+hello[1:], `find_flights {"n":1}`)
	f("named", `{"tool_choice":{"type":"function","function":{"name":"get_weather"}},`+tools+hello[1:], `get_weather {"city":"What is a gateway?","unit":"c","days":1,"exact":true}`)
	f("every", `{`+tools+`"messages":[{"role":"user","content":"Try every tool for Paris"}]}`, `find_flights {"n":1}`, call)
	f("after the tool's answer", `{`+tools+`"messages":[{"role":"user","content":"weather?"},{"role":"assistant","content":null,"tool_calls":[{"id":"1"}]},{"role":"tool","tool_call_id":"1","content":"sun"}]}`)
}

func TestChatStreamsToolCallsAsDeltas(t *testing.T) {
	w, _ := post(t, New(Options{}), chatPath, `{"stream":true,`+tools+`"messages":[{"role":"user","content":"Use every tool in Paris"}]}`)
	arguments, names, finish := map[int64]string{}, map[int64]string{}, ""
	for _, e := range events(w.Body.String()) {
		for _, d := range gjson.Get(e, "choices.0.delta.tool_calls").Array() {
			i := d.Get("index").Int()
			names[i] += d.Get("function.name").String()
			arguments[i] += d.Get("function.arguments").String()
		}
		finish += gjson.Get(e, "choices.0.finish_reason").String()
	}
	if finish != "tool_calls" || names[0] != "find_flights" || names[1] != "get_weather" ||
		arguments[0] != `{"n":1}` || arguments[1] != `{"city":"Paris","unit":"c","days":1,"exact":true}` {
		t.Errorf("finish %q, names %v, arguments %v", finish, names, arguments)
	}
}

func TestChatOnYourDataAnswersWithCitations(t *testing.T) {
	s := New(Options{Keys: []string{"k", "search-key"}})
	f := func(key string, stream bool) *httptest.ResponseRecorder {
		w, _ := post(t, s, chatPath, fmt.Sprintf(`{"stream":%v,"data_sources":[{"type":"azure_search","parameters":{"endpoint":"https://x","index_name":"i","authentication":{"type":"api_key","key":%q}}}],%s`, stream, key, hello[1:]))
		return w
	}
	if w := f("search-key", false); w.Code != 200 || member(w, "choices.0.message.context.citations.#") != "2" || !gjson.Valid(member(w, "choices.0.message.context.intent")) || strings.Contains(w.Body.String(), "search-key") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := f("search-key", true); w.Code != 200 || gjson.Get(events(w.Body.String())[1], "choices.0.delta.context.citations.#").Int() != 2 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := f("wrong-key", false); w.Code != 400 || member(w, "error.code") != "400" || strings.Contains(w.Body.String(), "wrong-key") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w, _ := post(t, s, chatPath, `{"data_sources":{},`+hello[1:]); w.Code != 400 {
		t.Errorf("no list: %d %s", w.Code, w.Body)
	}
}

func TestTokensCountsPieces(t *testing.T) {
	for text, want := range map[string]int{
		"": 0, "  \n": 0, "a": 1, "gateway": 2, "hello, world!": 4, "abcdef ghijkl": 2, "日本語": 3, "żółw": 1, strings.Repeat("x", 60): 10,
	} {
		if got := Tokens(text); got != want {
			t.Errorf("Tokens(%q) = %d, want %d", text, got, want)
		}
	}
	for _, bad := range []string{"", "{", "{}", `{"messages":3}`} {
		if got := ChatTokens([]byte(bad)); got != 0 {
			t.Errorf("ChatTokens(%q) = %d", bad, got)
		}
	}
}

// discard is a ResponseWriter that costs nothing, so that a benchmark sees the simulator alone.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}
func (d discard) Flush()                      {}

func BenchmarkChat(b *testing.B) {
	for name, body := range map[string]string{"whole": hello, "stream of 200 words": `{"user":"sim:words=200",` + streamed[1:]} {
		b.Run(name, func(b *testing.B) {
			s := New(Options{})
			b.ReportAllocs()
			count := 0
			for b.Loop() {
				r := httptest.NewRequest("POST", chatPath, nil)
				r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
				r.Header["Api-Key"] = []string{"k"}
				s.ServeHTTP(discard{http.Header{}}, r)
				count++
			}
			if s.Calls("d") != count {
				b.Fatal("a call was lost")
			}
		})
	}
}
