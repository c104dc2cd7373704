package openai

import (
	"encoding/json"
	"errors"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestSetChangesOneMemberAndNoOtherByte(t *testing.T) {
	for _, tt := range []struct {
		body, path string
		value      any
		want       string
	}{
		{`{}`, "a", 1, `{"a":1}`},
		{" { }\n", "a", "x", " { \"a\":\"x\"}\n"},
		{`{"b" : 1.50e1 }`, "a", nil, `{"b" : 1.50e1 ,"a":null}`},
		{`{ "a" : [1, 2] ,"b":"}"}`, "a", true, `{ "a" : true ,"b":"}"}`},
		{`{"b":"}","a":1}`, "a", []string{"<&>"}, `{"b":"}","a":["<&>"]}`},
		{`{"\u0061":1,"b":2}`, "a", false, `{"\u0061":false,"b":2}`},
		{`{"b":2}`, `a\.b`, 1, `{"b":2,"a.b":1}`},
		{`{"a":{"b":1},"a.b":2}`, `a\.b`, 3, `{"a":{"b":1},"a.b":3}`},
		{`{"b":2}`, `a"b`, 1, `{"b":2,"a\"b":1}`},
		{`{"b":2}`, "a", json.RawMessage(" {\"x\" : [ 1 ]}\n"), `{"b":2,"a":{"x" : [ 1 ]}}`},
		{`{"o":{ "x" : 1.0 , "y":2},"b":1}`, "o.y", "z", `{"o":{ "x" : 1.0 , "y":"z"},"b":1}`},
		{`{"b":1}`, "o.x.y", 1, `{"b":1,"o":{"x":{"y":1}}}`},
		{`{"o":null,"b":1}`, "o.x", 1, `{"o":{"x":1},"b":1}`},
		{`{"l":[1, 2,3]}`, "l.1", 5, `{"l":[1, 5,3]}`},
	} {
		raw := []byte(tt.body)
		r, err := ParseRequest(raw)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Set(tt.path, tt.value); err != nil {
			t.Errorf("%s, %s: %v", tt.body, tt.path, err)
		}
		if got := string(r.Bytes()); got != tt.want {
			t.Errorf("%s, %s: got %s, want %s", tt.body, tt.path, got, tt.want)
		}
		if string(raw) != tt.body {
			t.Errorf("%s, %s: the caller's bytes have become %s", tt.body, tt.path, raw)
		}
	}
}

func TestSetRefusesWhatWouldNotParse(t *testing.T) {
	const body = `{"model":"m","stream":true,"messages":[{"role":"user"}],"s":"x"}`
	for _, tt := range []struct {
		path  string
		value any
	}{
		{"model", 1},
		{"stream", "x"},
		{"messages", []int{}},
		{"messages", json.RawMessage(`[{"role":1}]`)},
		{"messages.0.role", 1},
		{"x", json.RawMessage(`{"a":1,"a":2}`)},
		{"x", json.RawMessage(`1,"y":2`)},
		{"x", json.RawMessage(``)},
		{"x", []byte("x")},
		{"x", func() {}},
		{"x\xff", 1},
		{"s.x", 1},
		{"x", json.RawMessage(strings.Repeat("[", 128) + strings.Repeat("]", 128))},
	} {
		r, _ := ParseRequest([]byte(body))
		if err := r.Set(tt.path, tt.value); err == nil {
			t.Errorf("%s = %v: no error, body %s", tt.path, tt.value, r.Bytes())
		}
		if string(r.Bytes()) != body || r.Model != "m" || !r.Stream || !r.HasMessages {
			t.Errorf("%s = %v: the request has changed: %s", tt.path, tt.value, r.Bytes())
		}
	}
	var fault *RequestError
	r, _ := ParseRequest([]byte(body))
	if err := r.Set("n", 0); !errors.As(err, &fault) || fault.Param != "n" {
		t.Errorf("error %v", err)
	}
}

func TestFactsFollowEdits(t *testing.T) {
	r, _ := ParseRequest([]byte(`{"model":"a","stream":true}`))
	for path, v := range map[string]any{
		"model": "b", "user": "u", "stream": false, "stream_options": map[string]bool{"include_usage": true},
		"messages": json.RawMessage(`[{"role":"user"}]`), "prompt": "p", "input": "i", "data_sources": []int{1},
	} {
		if err := r.Set(path, v); err != nil {
			t.Fatal(err)
		}
	}
	again, err := ParseRequest(r.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if r.Model != "b" || !r.WantsUsage || r.Stream {
		t.Errorf("facts are not those that were set: %+v", r)
	}
	if diff := cmp.Diff(again, r, cmp.AllowUnexported(Request{}, member{}, key{})); diff != "" {
		t.Errorf("an edited request differs from one parsed afresh: (-fresh +edited)\n%s", diff)
	}
}

func TestClonesAreEditedApart(t *testing.T) {
	many := `{"x":1`
	for i := range 30 {
		many += `,"k` + strconv.Itoa(i) + `":0`
	}
	for _, body := range []string{`{"model":"m","b":1}`, many + `,"model":"m"}`} {
		a, err := ParseRequest([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		b := a.Clone()
		if err := b.Set("model", "longer than it was"); err != nil {
			t.Fatal(err)
		}
		c := b.Clone()
		_ = b.Set("only_b", 1)
		_ = c.Set("only_c", 1)
		if string(a.Bytes()) != body || a.Model != "m" || string(a.Raw("model")) != `"m"` {
			t.Errorf("%s: the original has become %s", body, a.Bytes())
		}
		if string(b.Raw("only_b")) != "1" || b.Raw("only_c") != nil || string(c.Raw("only_c")) != "1" || c.Raw("only_b") != nil {
			t.Errorf("%s: clones mix: %s and %s", body, b.Bytes(), c.Bytes())
		}
	}
}

func TestAskUsageKeepsOtherStreamOptions(t *testing.T) {
	for _, tt := range []struct{ body, want string }{
		{`{"stream":true}`, `{"stream":true,"stream_options":{"include_usage":true}}`},
		{`{"stream_options":null}`, `{"stream_options":{"include_usage":true}}`},
		{`{"stream_options":{"include_obfuscation":false},"b":1}`, `{"stream_options":{"include_obfuscation":false,"include_usage":true},"b":1}`},
		{`{"stream_options":{"include_usage":false}}`, `{"stream_options":{"include_usage":true}}`},
		{`{"stream_options":{ "include_usage" : true }}`, `{"stream_options":{ "include_usage" : true }}`},
	} {
		r, _ := ParseRequest([]byte(tt.body))
		if err := r.AskUsage(); err != nil || !r.WantsUsage || string(r.Bytes()) != tt.want {
			t.Errorf("%s: got %s, error %v", tt.body, r.Bytes(), err)
		}
	}
}

func TestGetAndRawReadTheBodyAsItIs(t *testing.T) {
	r, _ := ParseRequest([]byte(`{"a":{"b":[1,2]},"c":null}`))
	if got := r.Get("a.b.1").Int(); got != 2 {
		t.Errorf("Get: %d", got)
	}
	_ = r.Set("a.b.1", 7)
	if got := r.Get("a.b.1").Int(); got != 7 {
		t.Errorf("Get after Set: %d", got)
	}
	if got := string(r.Raw("a")); got != `{"b":[1,7]}` {
		t.Errorf("Raw: %s", got)
	}
	if r.Raw("b") != nil || string(r.Raw("c")) != "null" {
		t.Errorf("Raw: %s, %s", r.Raw("b"), r.Raw("c"))
	}
}

func FuzzSet(f *testing.F) {
	f.Add([]byte(`{"a":1,"b":{"c":[1, 2]}}`), "a", "x", false)
	f.Add([]byte(`{ "\u0061" : 1 }`), "a", `{"z":1}`, true)
	f.Add([]byte(`{"model":"m","messages":[{"role":"user"}]}`), "messages", `[{"role":"x"}]`, true)
	f.Add([]byte(`{}`), "stream_options", `{"include_usage":true}`, true)
	f.Add([]byte(`{"a.b":1}`), "a.b", "é\x00\"", false)
	f.Fuzz(func(t *testing.T, raw []byte, name, value string, asJSON bool) {
		r, err := ParseRequest(raw)
		if err != nil {
			return
		}
		before := r.Clone()
		var v any = value
		if asJSON {
			v = json.RawMessage(value)
		}
		path := strings.NewReplacer(`\`, `\\`, `.`, `\.`).Replace(name)
		err = r.Set(path, v)
		if string(before.Bytes()) != string(raw) {
			t.Fatalf("Set changed the caller's bytes")
		}
		if err != nil {
			if string(r.Bytes()) != string(raw) {
				t.Fatalf("%s: refused with %v, but changed to %s", raw, err, r.Bytes())
			}
			return
		}
		again, err := ParseRequest(r.Bytes())
		if err != nil {
			t.Fatalf("%s with %q = %q: became %s: %v", raw, name, value, r.Bytes(), err)
		}
		if diff := cmp.Diff(again.members, r.members, cmp.AllowUnexported(member{}, key{})); diff != "" {
			t.Fatalf("%s: members differ from those of %s (-fresh +edited)\n%s", raw, r.Bytes(), diff)
		}
		var got, want any
		if err := json.Unmarshal(r.Raw(name), &got); err != nil {
			t.Fatalf("%s: %q is %s: %v", r.Bytes(), name, r.Raw(name), err)
		}
		if want = any(value); asJSON {
			_ = json.Unmarshal([]byte(value), &want)
		}
		if !asJSON && !utf8.ValidString(value) {
			// encoding/json replaces what is not UTF-8
		} else if !reflect.DeepEqual(got, want) {
			t.Fatalf("%q = %q: got %v", name, value, got)
		}
		for i, m := range before.members {
			n := string(appendUnescaped(nil, raw[m.name.from:m.name.to]))
			if n == name {
				continue
			}
			after := r.members[i]
			if string(raw[m.from:m.to]) != string(r.body[after.from:after.to]) || string(raw[m.name.from:m.name.to]) != string(r.body[after.name.from:after.name.to]) {
				t.Fatalf("%s with %q = %q: member %s changed", raw, name, value, n)
			}
		}
		if simple := !strings.ContainsAny(name, "\\.*?|#@!{}[]()\"") && name != "" && name[0] != ':' && name[0] != '~'; simple && utf8.ValidString(name) {
			if got := r.Get(name).Raw; got != string(r.Raw(name)) {
				t.Fatalf("%s: Get(%q) is %s, Raw %s", r.Bytes(), name, got, r.Raw(name))
			}
		}
	})
}
