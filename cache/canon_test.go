package cache

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"aigateway/openai"
)

// fingerprint digests a request as the cache does, with its question masked.
func fingerprint(t interface{ Fatal(...any) }, body string) (Hash, bool) {
	r := readers.Get().(*reader)
	defer r.release()
	return r.read(parse(t, body))
}

// keys returns the exact key and the fingerprint.
func keys(t interface{ Fatal(...any) }, body string) (key, print Hash) {
	r := readers.Get().(*reader)
	defer r.release()
	print, ok := r.read(parse(t, body))
	if !ok {
		t.Fatal("not cached:", body)
	}
	return r.key(Hash{}, print), print
}

// reference is the digest of a request without masks, by encoding/json.
func reference(body []byte) (Hash, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var top map[string]any
	if err := d.Decode(&top); err != nil {
		return Hash{}, err
	}
	for _, name := range []string{
		"stream", "stream_options", "user", "metadata", "store", "safety_identifier",
		"prompt_cache_key", "prompt_cache_retention", "service_tier",
	} {
		delete(top, name)
	}
	form, err := referenceForm(top)
	if err != nil {
		return Hash{}, err
	}
	return Hash([]byte(form[1:])), nil
}

func referenceForm(v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "n", nil
	case bool:
		return strconv.FormatBool(v)[:1], nil
	case string:
		if len(v) > 256 {
			sum := sha256.Sum256([]byte(v))
			return "L" + string(sum[:]), nil
		}
		return `"` + v + "\xFF", nil
	case json.Number:
		return referenceNumber(string(v))
	case []any:
		all := "["
		for _, e := range v {
			form, err := referenceForm(e)
			if err != nil {
				return "", err
			}
			all += form
		}
		return all + "]", nil
	case map[string]any:
		var members []string
		for name, e := range v {
			form, err := referenceForm(e)
			if err != nil {
				return "", err
			}
			key, _ := referenceForm(name)
			members = append(members, key+form)
		}
		slices.Sort(members)
		sum := sha256.Sum256([]byte(strings.Join(members, "")))
		return "{" + string(sum[:]), nil
	}
	return "", fmt.Errorf("a %T", v)
}

var exponents = regexp.MustCompile(`[eE][+-]?[0-9]{3,}`)

func referenceNumber(s string) (string, error) {
	r := new(big.Rat)
	if exponents.MatchString(s) { // would take memory by its value
		return "", fmt.Errorf("%s is beyond the reference", s)
	}
	if _, ok := r.SetString(s); !ok {
		return "", fmt.Errorf("%s is beyond the reference", s)
	}
	if r.Sign() == 0 {
		return "#0\xFF", nil
	}
	shift := 0
	for !r.IsInt() {
		r.Mul(r, big.NewRat(10, 1))
		shift++
	}
	digits := r.Num().String()
	sign := ""
	if digits[0] == '-' {
		sign, digits = "-", digits[1:]
	}
	point := len(digits) - shift
	return "#" + sign + strings.TrimRight(digits, "0") + "e" + strconv.Itoa(point) + "\xFF", nil
}

var surrogates = regexp.MustCompile(`(?i)\\ud[89a-f]`)

// FuzzCanonicalFormIsTheReferences compares with a slow form made from what
// encoding/json reads.
func FuzzCanonicalFormIsTheReferences(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"a":1.50e1,"b":[null,true,{"c":"é😀\n"}],"stream":true}`,
		`{"":-0.0,"x":{"y":{"z":[{},[]]}},"\u0061b":120,"n":1}`,
		`{"a":"` + strings.Repeat("long ", 80) + `","b":"\n` + strings.Repeat("long ", 80) + `"}`,
		`{"a":0.00012,"b":1E+2,"c":10e-1,"d":-12.340}`, `{"a":"\ud83d\ude00 \ud800 \\\" \/"}`,
		`{"messages":[{"role":"user","content":"hi"}],"temperature":1e0}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		c := newCanon()
		c.request(body, nil) // whatever the bytes are, it ends
		r := readers.Get().(*reader)
		defer r.release()
		req, err := openai.ParseRequest(body)
		if err != nil {
			return
		}
		r.read(req)
		got, ok := c.request(body, nil)
		if !ok {
			t.Fatalf("a valid request has no form: %s", body)
		}
		want, err := reference(body)
		if err != nil || surrogates.Match(body) {
			return // encoding/json makes one character of all halves of pairs
		}
		if got != want {
			t.Errorf("%s\ndigest %x, by the reference %x", body, got, want)
		}
	})
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
	if n := testing.AllocsPerRun(100, func() {
		r := readers.Get().(*reader)
		print, ok := r.read(req)
		if r.key(Hash{}, print); !ok {
			t.Fatal("not cached")
		}
		r.release()
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
				print, _ := r.read(req)
				r.key(Hash{}, print)
				r.release()
			}
		})
	}
}
