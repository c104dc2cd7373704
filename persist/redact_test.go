package persist

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

func redactor(t testing.TB, patterns ...string) *Redactor {
	t.Helper()
	r, err := NewRedactor(patterns)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRedactorReplacesMatchesInStringValuesOnly(t *testing.T) {
	r := redactor(t, `\d{3}-\d{4}`, `(?i)alice\s+b\w+`, `4-55`, `"q"`, `5-12`, `\b`)
	for _, c := range []struct{ name, in, want string }{
		{"value", `{"a":"call 555-1234 now"}`, `{"a":"call [redacted] now"}`},
		{"name of a member", `{"555-1234":"x"}`, `{"555-1234":"x"}`},
		{"name with space behind it", "{\"555-1234\" \n: \"x\"}", "{\"555-1234\" \n: \"x\"}"},
		{"several", `["555-1234 555-9999","ALICE  bee",1]`, `["[redacted] [redacted]","[redacted]",1]`},
		{"overlapping", `["555-1234-55"]`, `["[redacted]"]`},
		{"one within another", `["555-12345-123"]`, `["[redacted][redacted]3"]`},
		{"across an escape", `["alice\nbrown \u0001\\"]`, `["[redacted] \u0001\\"]`},
		{"hidden by escapes", `["\u0035\u0035\u0035-1234"]`, `["[redacted]"]`},
		{"quotes", `["a \"q\" b"]`, `["a [redacted] b"]`},
		{"in a string of JSON", `{"arguments":"{\"n\":\"555-1234\"}"}`, `{"arguments":"{\"n\":\"[redacted]\"}"}`},
		{"nothing", `{"a":"\u00e9 é"}`, `{"a":"\u00e9 é"}`},
		{"numbers", `{"a":5551234}`, `{"a":5551234}`},
		{"log probabilities", `{"a":[{"logprobs" : {"content":[{"token":"55","top":["]"]},{"token":"5-1234"}]},"b":"555-1234"}]}`, `{"a":[{"logprobs" : null,"b":"[redacted]"}]}`},
		{"those wished for", `{"logprobs":true,"top_logprobs":5}`, `{"logprobs":true,"top_logprobs":5}`},
		{"their name in escapes", `{"log\u0070robs":["5"],"x":"logprobs"}`, `{"log\u0070robs":null,"x":"logprobs"}`},
		{"log probabilities cut off", `{"logprobs":[{"a":"b`, `{"logprobs":null`},
		{"name at the end", `{"logprobs":`, `{"logprobs":`},
		{"top level", `"555-1234"`, `"[redacted]"`},
		{"cut off", `{"a":"555-1234 and`, `{"a":"[redacted] and"`},
		{"empty", ``, ``},
	} {
		if got := string(r.Apply([]byte(c.in))); got != c.want {
			t.Errorf("%s: %s became %s, want %s", c.name, c.in, got, c.want)
		}
	}
}

func TestRedactorWithoutMatchesReturnsItsInput(t *testing.T) {
	in := []byte(`{"a":"b"}`)
	for _, r := range []*Redactor{nil, redactor(t), redactor(t, "x")} {
		if got := r.Apply(in); &got[0] != &in[0] {
			t.Errorf("%v: a copy was made", r)
		}
	}
}

func TestRedactorErrorsNameThePattern(t *testing.T) {
	for _, bad := range []string{`(`, `a(?!b)`, `x*`} {
		if _, err := NewRedactor([]string{`fine`, bad}); err == nil || !strings.Contains(err.Error(), bad) || !strings.Contains(err.Error(), "1") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestRedactorHidesPlainText(t *testing.T) {
	r := redactor(t, `\d{3}-\d{4}`)
	for in, want := range map[string]string{`a "555-1234"`: `a "[redacted]"`, `\ "x"`: `\ "x"`, "": ""} {
		if got := r.Text(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
	if got := (*Redactor)(nil).Text("555-1234"); got != "555-1234" {
		t.Errorf("without patterns: %q", got)
	}
}

func FuzzRedactor(f *testing.F) {
	for _, s := range []string{`{"a":"secret-1\n\"","secret-2":["x secret-3"]}`, `"\ud800secret-4\u0000"`, "\"\xffsecret-5\"", `{"a":"secret-6`} {
		f.Add([]byte(s))
	}
	r := redactor(f, `secret-\d+`, `\d\\`, `\bb+\b`)
	f.Fuzz(func(t *testing.T, in []byte) {
		out := r.Apply(append([]byte(nil), in...))
		if !json.Valid(in) {
			return
		}
		if !json.Valid(out) {
			t.Fatalf("%q became %q", in, out)
		}
		var v any
		if json.Unmarshal(out, &v) == nil {
			eachValue(v, func(s string) {
				if regexp.MustCompile(`secret-\d+`).MatchString(s) {
					t.Fatalf("%q is left in %q", s, out)
				}
			})
		}
	})
}

// eachValue visits all strings that are no names.
func eachValue(v any, visit func(string)) {
	switch v := v.(type) {
	case string:
		visit(v)
	case []any:
		for _, e := range v {
			eachValue(e, visit)
		}
	case map[string]any:
		for _, e := range v {
			eachValue(e, visit)
		}
	}
}
