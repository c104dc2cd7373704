package openai

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestParseRequestReportsFacts(t *testing.T) {
	type facts struct {
		Model, User                                                          string
		Stream, WantsUsage, HasMessages, HasPrompt, HasInput, HasDataSources bool
	}
	const hi = `"messages":[{"role":"user","content":"hi"}]`
	for _, tt := range []struct {
		body string
		want facts
	}{
		{`{}`, facts{}},
		{`{` + hi + `}`, facts{HasMessages: true}},
		{" {\"model\":\"gpt-\\u0034o\", \"user\":\"\\ud83d\\ude00 \\\"x\\\"\"}\n", facts{Model: "gpt-4o", User: "😀 \"x\""}},
		{`{"mod\u0065l":"m"}`, facts{Model: "m"}},
		{`{"model":null,"user":null,"stream":null,"n":null,"max_tokens":null,"stream_options":null,"tools":null}`, facts{}},
		{`{"stream":true,"stream_options":{"include_usage":true}}`, facts{Stream: true, WantsUsage: true}},
		{`{"stream":false,"stream_options":{"include_usage":false}}`, facts{}},
		{`{"x":{"include_usage":true},"stream_options":{"y":{"include_usage":true}}}`, facts{}},
		{`{"stream_options":{"include_usage":"true"}}`, facts{}},
		{`{"prompt":"p"}`, facts{HasPrompt: true}},
		{`{"prompt":["p","q"]}`, facts{HasPrompt: true}},
		{`{"input":[[1,2]]}`, facts{HasInput: true}},
		{`{"data_sources":[ ]}`, facts{}},
		{`{"data_sources":[{}]}`, facts{HasDataSources: true}},
		{`{"n":2,"max_tokens":-1,"max_completion_tokens":16.0,"tools":[]}`, facts{}},
		{`{"messages":[{"role":"assistant","content":null},{"content":[{"type":"text"}],"role":"user"},{"role":"tool"}]}`, facts{HasMessages: true}},
		{`{"user":"` + strings.Repeat("u", 1000) + `"}`, facts{User: strings.Repeat("u", 1000)}},
		{`{"deep":{"model":1,"messages":2,"stream":3}}`, facts{}},
	} {
		r, err := ParseRequest([]byte(tt.body))
		if err != nil {
			t.Errorf("%s: %v", tt.body, err)
			continue
		}
		got := facts{r.Model, r.User, r.Stream, r.WantsUsage, r.HasMessages, r.HasPrompt, r.HasInput, r.HasDataSources}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", tt.body, diff)
		}
		if string(r.Bytes()) != tt.body {
			t.Errorf("%s: bytes have become %s", tt.body, r.Bytes())
		}
	}
}

func TestParseRequestSaysWhatIsWrong(t *testing.T) {
	for _, tt := range []struct{ body, param, want string }{
		{``, "", "not valid JSON: the text ends where a value should be"},
		{`[]`, "", "the body must be a JSON object, not an array"},
		{`"{}"`, "", "the body must be a JSON object, not a string"},
		{`{"a":1}x`, "", "not valid JSON: byte 7 is 'x' after the end"},
		{`{"a":"` + "\n" + `"}`, "", `not valid JSON: byte 6 is '\n' inside a string`},
		{"{\"a\":\"\xff\"}", "", "not valid JSON: byte 6 is not UTF-8"},
		{"{\"a\":\"\xed\xa0\x80\"}", "", "not valid JSON: byte 6 is not UTF-8"},
		{`{"a":1,"a":1}`, "a", `member "a" is given twice in one object`},
		{`{"x":[{"b":1,"\u0062":1}]}`, "b", `member "b" is given twice in one object`},
		{`{"x":[{"\u0062":1,"b":1}]}`, "b", `member "b" is given twice in one object`},
		{strings.Repeat(`{"a":`, 128) + `{}` + strings.Repeat(`}`, 128), "", "the JSON is nested more than 128 deep"},
		{`{"model":4}`, "model", "model must be a string, not a number"},
		{`{"user":{}}`, "user", "user must be a string, not an object"},
		{`{"stream":"true"}`, "stream", "stream must be a boolean, not a string"},
		{`{"stream_options":true}`, "stream_options", "stream_options must be an object, not a boolean"},
		{`{"messages":"hi"}`, "messages", "messages must be an array of objects, not a string"},
		{`{"messages":null}`, "messages", "messages must be an array of objects, not null"},
		{`{"messages":[]}`, "messages", "messages must have at least one element"},
		{`{"messages":[{"role":"user"},"hi"]}`, "messages[1]", "messages[1] must be an object, not a string"},
		{`{"messages":[{"content":"x"}]}`, "messages[0].role", "messages[0].role must be a string, not missing"},
		{`{"messages":[{"role":"user"},{"role":1}]}`, "messages[1].role", "messages[1].role must be a string, not a number"},
		{`{"messages":[{"role":"user","content":{}}]}`, "messages[0].content", "messages[0].content must be a string or an array, not an object"},
		{`{"prompt":1}`, "prompt", "prompt must be a string or an array, not a number"},
		{`{"input":{}}`, "input", "input must be a string or an array, not an object"},
		{`{"data_sources":{}}`, "data_sources", "data_sources must be an array, not an object"},
		{`{"tools":{}}`, "tools", "tools must be an array, not an object"},
		{`{"n":0}`, "n", "n must be a positive integer, not 0"},
		{`{"n":1.5}`, "n", "n must be a positive integer, not 1.5"},
		{`{"n":"1"}`, "n", "n must be a positive integer, not a string"},
		{`{"max_tokens":0.5}`, "max_tokens", "max_tokens must be an integer, not 0.5"},
		{`{"max_completion_tokens":1e999}`, "max_completion_tokens", "max_completion_tokens must be an integer, not 1e999"},
		{`{"n":-` + strings.Repeat("9", 40) + `}`, "n", "n must be a positive integer, not -" + strings.Repeat("9", 31) + "..."},
		{`{"` + strings.Repeat("k", 100) + `":1,"` + strings.Repeat("k", 100) + `":1}`, strings.Repeat("k", 64) + "...", `member "` + strings.Repeat("k", 64) + `..." is given twice in one object`},
		{`{"n":0,"a":}`, "", "not valid JSON: byte 11 is '}' where a value should be"},
	} {
		_, err := ParseRequest([]byte(tt.body))
		var fault *RequestError
		if !errors.As(err, &fault) {
			t.Errorf("%s: error %v", tt.body, err)
			continue
		}
		if diff := cmp.Diff(&RequestError{Param: tt.param, Message: tt.want}, fault); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", tt.body, diff)
		}
	}
}

func TestRepeatedMembersAreFoundInLargeObjects(t *testing.T) {
	object := func(names ...string) string {
		var b strings.Builder
		for i := range 500 {
			fmt.Fprintf(&b, `"k%d":{"k%d":%d},`, i, i, i)
		}
		for _, n := range names {
			b.WriteString(`"` + n + `":0,`)
		}
		return `{"x":{` + strings.TrimSuffix(b.String(), ",") + `}}`
	}
	for _, tt := range []struct {
		body string
		ok   bool
	}{
		{object(), true},
		{object("k500", "k501"), true},
		{object("k0"), false},
		{object("k499"), false},
		{object("z", "z"), false},
		{object(`\u006b31`), false},
		{object(`\u007a`, "z"), false},
	} {
		if _, err := ParseRequest([]byte(tt.body)); (err == nil) != tt.ok {
			t.Errorf("...%s: error %v", tt.body[len(tt.body)-30:], err)
		}
	}
}

func TestParseRequestAllocatesLittle(t *testing.T) {
	body := chatBody(1000)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := ParseRequest(body); err != nil {
			t.Fatal(err)
		}
	}); n > 3 {
		t.Errorf("%v allocations for a request of 1 kB, want 3 at most", n)
	}
}

// Every position in a word and in an unrolled block must find what ends a
// plain run, whatever stands around it.
func TestPlainStopsAtTheFirstSpecialByte(t *testing.T) {
	for _, fill := range []string{"a", "!", "#", "\x7f", "é", "\x80", "\xff", "]"} {
		for size := range 100 {
			line := []byte(strings.Repeat(fill, size+1)[:size])
			if got, _ := plain(line, 0); got != size {
				t.Fatalf("%q: stopped at %d", line, got)
			}
			for at := range line {
				for _, c := range []byte{'"', '\\', 0, 0x1f, '\n'} {
					b := append([]byte(nil), line...)
					b[at] = c
					for from := 0; from <= at; from += 3 {
						if got, _ := plain(b, from); got != at {
							t.Fatalf("%q from %d: stopped at %d, want %d", b, from, got, at)
						}
					}
				}
			}
		}
	}
}

// depth returns how deep the arrays and objects of valid JSON are nested.
func depth(raw []byte) int {
	d, deepest, inString := 0, 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			d++
			deepest = max(deepest, d)
		case c == '}' || c == ']':
			d--
		}
	}
	return deepest
}

func FuzzParseRequest(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"a":1}`, `{"a":-0.5e+10,"b":[true,false,null]}`, `{"a":"\ud800"}`, `{"a":"\u0000"}`, "{\"a\":\"\x00\"}",
		`{"messages":[{"role":"user","content":"hi"}],"stream":true}`, `{"a":01}`, `{"a":1.}`, `{"a":.5}`, `{"a":+1}`,
		`{"a":1e}`, `{"a":tru}`, `{"a":"\x"}`, `{"a":"\u12g4"}`, `{"a":1,}`, `{,}`, `[1,]`, `{"a" "b"}`, "{\"é\":\"日本\"}",
		"{\"a\":\"\xc3\x28\"}", `{"a":1,"a":2}`, strings.Repeat("[", 200), `{"a":"` + strings.Repeat("x", 70) + `\"}`, "\ufeff{}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		s := scanner{b: raw}
		_, end, _ := s.document(0, shapeAny)
		valid := json.Valid(raw) && utf8.Valid(raw)
		switch {
		case end >= 0 && !valid:
			t.Fatalf("%q: accepted", raw)
		case end < 0 && valid && s.err.Param == "" && depth(raw) <= maxDepth && !strings.Contains(s.err.Message, "twice"):
			t.Fatalf("%q: refused: %v", raw, s.err)
		}

		before := string(raw)
		r, err := ParseRequest(raw)
		if string(raw) != before {
			t.Fatalf("%q: the caller's bytes have become %q", before, raw)
		}
		var fault *RequestError
		switch {
		case err != nil && !errors.As(err, &fault):
			t.Fatalf("%q: error of type %T", raw, err)
		case err == nil && end < 0:
			t.Fatalf("%q: accepted as a request, but not as JSON", raw)
		case err == nil && string(r.Bytes()) != before:
			t.Fatalf("%q: bytes have become %q", raw, r.Bytes())
		}
	})
}

// chatBody returns a chat request of about size bytes: a short system message
// and a few turns up to 4 kB, mostly one long text beyond.
func chatBody(size int) []byte {
	line := "The quick brown fox jumps over the lazy dog, and \\\"nobody\\\" minds it at all; so it goes on.\\n"
	b := `{"model":"gpt-4o","messages":[{"role":"system","content":"You are a helpful assistant."},{"role":"user","content":"`
	tail := `"}],"temperature":0.7,"max_tokens":800,"stream":true,"user":"alice@example.com","tools":[{"type":"function","function":{"name":"weather","parameters":{"type":"object","properties":{"city":{"type":"string"}}}}}]}`
	for len(b)+len(tail)+len(line) < size {
		b += line
		if size <= 4096 {
			b += `"},{"role":"assistant","content":"ok"},{"role":"user","content":"`
		} else if len(b)%10 != 0 {
			b += strings.Repeat("plain words of a long document ", 20)
		}
	}
	return []byte(b + tail)
}

func benchmarkParseRequest(b *testing.B, size int) {
	body := chatBody(size)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseRequest(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseRequest1k(b *testing.B)   { benchmarkParseRequest(b, 1000) }
func BenchmarkParseRequest200k(b *testing.B) { benchmarkParseRequest(b, 200_000) }

func TestNullStandsForAnAbsentMember(t *testing.T) {
	r, err := ParseRequest([]byte(`{"model":null,"stream":null,"prompt":null,"input":null,"data_sources":null,"tools":null,"n":null}`))
	if err != nil {
		t.Fatal(err)
	}
	if r.HasPrompt || r.HasInput || r.HasDataSources || r.Stream || r.Model != "" {
		t.Errorf("null was taken for a value: %+v", r)
	}
}
