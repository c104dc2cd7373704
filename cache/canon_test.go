package cache

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// keys returns the exact key and the fingerprint.
func keys(t interface{ Fatal(...any) }, body string) (key, masked Hash) {
	r := readers.Get().(*reader)
	defer r.release()
	masked, ok := r.read(parse(t, body))
	if !ok {
		t.Fatal("not cached:", body)
	}
	return r.key(Hash{}, masked), masked
}

// drawJSON draws a value as encoding/json would decode it.
func drawJSON(t *rapid.T, depth int) any {
	kinds := 6
	if depth == 0 {
		kinds = 4
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return nil
	case 1:
		return rapid.Bool().Draw(t, "bool")
	case 2:
		return json.Number(strconv.Itoa(rapid.IntRange(-2000, 2000).Draw(t, "number")))
	case 3:
		return rapid.String().Draw(t, "string")
	case 4:
		list := make([]any, rapid.IntRange(0, 3).Draw(t, "elements"))
		for i := range list {
			list[i] = drawJSON(t, depth-1)
		}
		return list
	default:
		return drawObject(t, depth-1)
	}
}

func drawObject(t *rapid.T, depth int) map[string]any {
	object := map[string]any{}
	for range rapid.IntRange(0, 4).Draw(t, "members") {
		object["x"+rapid.StringN(0, 6, -1).Draw(t, "name")] = drawJSON(t, depth)
	}
	return object
}

// spell writes a value with members, white space, escapes and the spelling of
// numbers at random.
func spell(v any, r *rand.Rand) string {
	space := func() string { return []string{"", "", " ", "\n\t", "\r "}[r.IntN(5)] }
	word := func(s string) string {
		var b strings.Builder
		b.WriteByte('"')
		for _, c := range s {
			switch {
			case c < 0x10000 && (c < ' ' || c == '"' || c == '\\' || r.IntN(4) == 0):
				fmt.Fprintf(&b, []string{`\u%04x`, `\u%04X`}[r.IntN(2)], c)
			case c == '/':
				b.WriteString(`\/`)
			case c >= 0x10000 && r.IntN(2) == 0:
				c -= 0x10000
				fmt.Fprintf(&b, `\u%04x\u%04x`, 0xD800+c>>10, 0xDC00+c&0x3FF)
			default:
				b.WriteRune(c)
			}
		}
		return b.String() + `"`
	}
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return strconv.FormatBool(v)
	case string:
		return word(v)
	case json.Number:
		s := string(v)
		return []string{s, s + ".0", s + "e0", s + ".000E+00", s + ".0e-0"}[r.IntN(5)]
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = space() + spell(e, r) + space()
		}
		return "[" + strings.Join(parts, ",") + "]"
	case map[string]any:
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, space()+word(name)+space()+":"+space()+spell(v[name], r)+space())
		}
		r.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		return "{" + space() + strings.Join(parts, ",") + "}"
	}
	panic(fmt.Sprintf("BUG: a %T", v))
}

func drawRequest(t *rapid.T) map[string]any {
	body := drawObject(t, 3)
	var messages []any
	for range rapid.IntRange(0, 3).Draw(t, "messages") {
		messages = append(messages, map[string]any{
			"role":    rapid.SampledFrom([]string{"system", "user", "assistant"}).Draw(t, "role"),
			"content": rapid.String().Draw(t, "content"),
		})
	}
	body["messages"] = append(messages, map[string]any{"role": "user", "content": rapid.String().Draw(t, "question")})
	return body
}

func TestSpellingDoesNotChangeTheKey(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		body := drawRequest(t)
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		one, two := spell(body, r), spell(body, r)
		keyOne, printOne := keys(t, one)
		keyTwo, printTwo := keys(t, two)
		if keyOne != keyTwo || printOne != printTwo {
			t.Fatalf("keys differ:\n%s\n%s", one, two)
		}
	})
}

// mutate changes one thing in v, and reports whether it found one.
func mutate(v any, r *rand.Rand) (any, bool) {
	switch v := v.(type) {
	case nil:
		return false, true
	case bool:
		return !v, true
	case string:
		return v + "x", true
	case json.Number:
		return json.Number("1" + strings.TrimPrefix(string(v), "-")), true
	case []any:
		if len(v) == 0 || r.IntN(4) == 0 {
			return append(slices.Clone(v), nil), true
		}
		i := r.IntN(len(v))
		c := slices.Clone(v)
		var ok bool
		c[i], ok = mutate(v[i], r)
		return c, ok
	case map[string]any:
		c := maps.Clone(v)
		names := slices.Sorted(maps.Keys(v))
		if len(names) == 0 || r.IntN(4) == 0 {
			c["added"] = nil
			return c, true
		}
		name := names[r.IntN(len(names))]
		if r.IntN(4) == 0 {
			delete(c, name)
			return c, true
		}
		var ok bool
		c[name], ok = mutate(c[name], r)
		return c, ok
	}
	return nil, false
}

func TestAnyChangeOutsideTheQuestionChangesKeyAndFingerprint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		body := drawRequest(t)
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		messages := body["messages"].([]any)
		before := map[string]any{"history": messages[:len(messages)-1]}
		for name, v := range body {
			if name != "messages" {
				before[name] = v
			}
		}
		changed, _ := mutate(before, r)
		after := changed.(map[string]any)
		history, ok := after["history"].([]any)
		if !ok {
			return // the history itself was taken away or became something else
		}
		for _, m := range history {
			if m, ok := m.(map[string]any); !ok || m["role"] == nil {
				return
			} else if _, ok := m["role"].(string); !ok {
				return
			} else if content, ok := m["content"]; ok {
				if _, ok := content.(string); !ok {
					return
				}
			}
		}
		delete(after, "history")
		after["messages"] = append(slices.Clone(history), messages[len(messages)-1])

		keyOne, printOne := keys(t, spell(body, r))
		keyTwo, printTwo := keys(t, spell(after, r))
		if keyOne == keyTwo || printOne == printTwo {
			t.Fatalf("keys are equal:\n%v\n%v", body, after)
		}
	})
}

func TestAnotherQuestionChangesTheKeyAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		body := drawRequest(t)
		messages := body["messages"].([]any)
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		keyOne, printOne := keys(t, spell(body, r))
		question := messages[len(messages)-1].(map[string]any)["content"].(string)
		other := rapid.String().Filter(func(s string) bool { return s != question }).Draw(t, "other")
		body["messages"] = append(messages[:len(messages)-1:len(messages)-1], map[string]any{"role": "user", "content": other})
		keyTwo, printTwo := keys(t, spell(body, r))
		if keyOne == keyTwo || printOne != printTwo {
			t.Fatalf("keys differ: %v, fingerprints differ: %v; want true, false", keyOne != keyTwo, printOne != printTwo)
		}
	})
}

func TestWhatShapesAnAnswerAndWhatDoesNot(t *testing.T) {
	message := `"messages":[{"role":"user","content":"q"}]`
	base, _ := keys(t, `{`+message+`}`)
	for _, member := range []string{
		`"stream":true`, `"stream_options":{"include_usage":true}`, `"user":"u"`, `"metadata":{"a":"b"}`, `"store":true`,
		`"safety_identifier":"s"`, `"prompt_cache_key":"k"`, `"prompt_cache_retention":"24h"`, `"service_tier":"flex"`, `"str\u0065am":false`,
	} {
		if key, _ := keys(t, `{`+member+`,`+message+`}`); key != base {
			t.Errorf("%s changes the key", member)
		}
	}
	seen := map[Hash]string{base: "nothing"}
	for _, member := range []string{
		`"model":"a"`, `"model":"b"`, `"temperature":0`, `"temperature":null`, `"temperature":1`, `"n":2`, `"seed":1`, `"seed":9007199254740993`,
		`"seed":9007199254740992`, `"tools":[]`, `"tools":[{"a":1}]`, `"tool_choice":"none"`, `"response_format":{"type":"json_object"}`, `"logprobs":true`,
		`"data_sources":[{"user":"inner members all count"}]`, `"x":"1"`, `"x":1`, `"x":[1]`, `"x":[[1]]`, `"x":[]`, `"x":{}`, `"x":"\ud800"`, `"x":"\udc00"`,
		`"x":"\ufffd"`, `"x":""`, `"x":false`, `"x":1e1000000000000`, `"x":["a","b"]`, `"x":["b","a"]`, `"x":["ab"]`, `"x":{"metadata":1}`,
	} {
		key, _ := keys(t, `{`+member+`,`+message+`}`)
		if other := seen[key]; other != "" {
			t.Errorf("%s has the key of %s", member, other)
		}
		seen[key] = member
	}
}

func TestSmallRequestsAreDigestedWithoutAllocations(t *testing.T) {
	req := parse(t, chat("How do I reset my password?"))
	r := &reader{canon: newCanon()}
	if n := testing.AllocsPerRun(100, func() {
		masked, ok := r.read(req)
		if r.key(Hash{}, masked); !ok {
			t.Fatal("not cached")
		}
	}); n > 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func BenchmarkKey(b *testing.B) {
	for _, size := range []int{100, 10_000, 200_000} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			req := parse(b, chat(strings.Repeat("A line of some sixty letters, as people and papers write.\\n", size/60)))
			b.SetBytes(int64(len(req.Bytes())))
			b.ReportAllocs()
			for b.Loop() {
				r := readers.Get().(*reader)
				masked, _ := r.read(req)
				r.key(Hash{}, masked)
				r.release()
			}
		})
	}
}
