package tokens

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// The examples of the cookbook, with what the service counted for them.
const (
	jargon = `"messages":[
		{"role":"system","content":"You are a helpful, pattern-following assistant that translates corporate jargon into plain English."},
		{"role":"system","name":"example_user","content":"New synergies will help drive top-line growth."},
		{"role":"system","name":"example_assistant","content":"Things working well together will increase revenue."},
		{"role":"system","name":"example_user","content":"Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage."},
		{"role":"system","name":"example_assistant","content":"Let's talk later when we're less busy about how to do better."},
		{"role":"user","content":"This late pivot means we don't have time to boil the ocean for the client deliverable."}]`
	weather = `"messages":[
		{"role":"system","content":"You are a helpful assistant that can answer to questions about the weather."},
		{"role":"user","content":"What's the weather like in San Francisco?"}]`
	weatherTool = `{"name":"get_current_weather","description":"Get the current weather in a given location","parameters":{
		"type":"object","properties":{
			"location":{"type":"string","description":"The city and state, e.g. San Francisco, CA"},
			"unit":{"type":"string","description":"The unit of temperature to return","enum":["celsius","fahrenheit"]}},
		"required":["location"]}}`
)

func TestChatCountsWhatTheServiceDoes(t *testing.T) {
	for _, c := range []struct {
		model, body string
		want        int
	}{
		{"gpt-3.5-turbo-0301", jargon, 127},
		{"gpt-3.5-turbo", jargon, 129},
		{"gpt-35-turbo-0613", jargon, 129},
		{"gpt-4", jargon, 129},
		{"gpt-4o", jargon, 124},
		{"gpt-4o-mini", jargon, 124},
		{"gpt-3.5-turbo", weather + `,"tools":[{"type":"function","function":` + weatherTool + `}]`, 105},
		{"gpt-4", weather + `,"tools":[{"type":"function","function":` + weatherTool + `}]`, 105},
		{"gpt-4o", weather + `,"tools":[{"type":"function","function":` + weatherTool + `}]`, 101},
		{"gpt-4o", `"functions":[` + weatherTool + `],` + weather, 101},
	} {
		if got := For(c.model).Prompt("chat/completions", []byte("{"+c.body+"}")); got != c.want {
			t.Errorf("%s: %d tokens, want %d: %.40s", c.model, got, c.want, c.body)
		}
	}
}

// Each case is a message and what it has beside 3 for itself, by hand: a role
// is 1 token, hello is 1, and hello world is 2.
func TestMessageCountsItsParts(t *testing.T) {
	for name, c := range map[string]struct {
		message string
		want    int
	}{
		"text":          {`{"role":"user","content":"hello"}`, 2},
		"escaped":       {`{"role":"user","cont\u0065nt":"hell\u006f"}`, 2},
		"name":          {`{"role":"user","content":"hello","name":"hello"}`, 4},
		"no content":    {`{"role":"assistant","content":null}`, 1},
		"parts":         {`{"role":"user","content":[{"type":"text","text":"hello"},{"type":"text","text":"hello world"}]}`, 4},
		"refusal":       {`{"role":"assistant","refusal":"hello"}`, 2},
		"tool":          {`{"role":"tool","tool_call_id":"hello","content":"hello world"}`, 4},
		"calls":         {`{"role":"assistant","tool_calls":[{"id":"call_1","type":"function","function":{"name":"hello","arguments":"hello world"}}]}`, 1 + toolCall + 3},
		"two calls":     {`{"role":"assistant","tool_calls":[{"function":{"name":"hello"}},{"custom":{"name":"hello","input":"hello"}}]}`, 1 + 2*toolCall + 3},
		"old call":      {`{"role":"assistant","function_call":{"name":"hello","arguments":"{}"}}`, 1 + toolCall + 2},
		"linked image":  {`{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://example.com/a.png"}}]}`, 1 + 765},
		"low image":     {`{"role":"user","content":[{"type":"image_url","image_url":{"detail":"low","url":"https://example.com/a.png"}}]}`, 1 + 85},
		"inline image":  {`{"role":"user","content":[{"type":"image_url","image_url":{"url":"` + dataURL(png(2048, 4096)) + `"}}]}`, 1 + 1105},
		"escaped image": {`{"role":"user","content":[{"type":"image_url","image_url":{"url":"` + strings.ReplaceAll(dataURL(png(2048, 4096)), "/", `\/`) + `"}}]}`, 1 + 1105},
		"responses":     {`{"type":"message","id":"msg_1","status":"completed","role":"user","content":[{"type":"input_text","text":"hello"},{"type":"input_image","detail":"low","image_url":"https://example.com/a.png"}]}`, 2 + 85},
		"audio":         {`{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}}]}`, 1},
		"space":         {" \n{ \"role\" : \"user\" ,\n \"content\" : \"hello\" } ", 2},
		"no object":     {`"hello"`, 0},
		"nothing":       {``, 0},
	} {
		m := For("gpt-4o")
		if got := m.Message([]byte(c.message)) - 3; got != c.want {
			t.Errorf("%s: %d tokens, want %d", name, got, c.want)
		}
		body := `{"messages":[` + c.message + `,{"role":"user","content":"hello"}]}`
		if got := m.Prompt("chat/completions", []byte(body)) - 3 - 5 - 3; c.message != "" && got != c.want {
			t.Errorf("%s: %d tokens in a prompt, want %d", name, got, c.want)
		}
	}
}

func TestFunctionsCountTheirSchemas(t *testing.T) {
	m := For("gpt-4o")
	tools := func(parameters string) int {
		body := `{"tools":[{"type":"function","function":{"name":"f","description":"Do it.","parameters":` + parameters + `}}]}`
		return m.Prompt("chat/completions", []byte(body)) - reply - function4o - functionsTail - m.Count("f:Do it")
	}
	for name, c := range map[string]struct {
		parameters string
		want       int
	}{
		"none":          {`{}`, 0},
		"no properties": {`{"type":"object","properties":{}}`, 0},
		"one":           {`{"properties":{"a":{"type":"string","description":"The a."}}}`, 3 + 3 + m.Count("a:string:The a")},
		"types":         {`{"properties":{"a":{"type":[ "string", "null" ]}}}`, 3 + 3 + m.Count(`a:["string","null"]:`)},
		"enum":          {`{"properties":{"a":{"type":"integer","enum":[1, 20]}}}`, 3 + 3 + m.Count("a:integer:") - 3 + 3 + 1 + 3 + 1},
		"empty enum":    {`{"properties":{"a":{"type":"integer","enum":[]}}}`, 3 + 3 + m.Count("a:integer:")},
		"nested":        {`{"properties":{"a":{"type":"object","properties":{"b":{"type":"string"}}}}}`, 3 + 3 + m.Count("a:object:") + 3 + 3 + m.Count("b:string:")},
		"array":         {`{"properties":{"a":{"type":"array","items":{"properties":{"b":{"type":"string"}}}}}}`, 3 + 3 + m.Count("a:array:") + 3 + 3 + m.Count("b:string:")},
		"alternatives":  {`{"anyOf": [ {"type": "string"} ]}`, m.Count(`[{"type":"string"}]`)},
	} {
		if got := tools(c.parameters); got != c.want {
			t.Errorf("%s: %d tokens, want %d", name, got, c.want)
		}
	}
}

func TestOtherOperationsCountTheirTexts(t *testing.T) {
	m := For("gpt-4o")
	for _, c := range []struct {
		operation, body string
		want            int
	}{
		{"completions", `{"prompt":"hello world"}`, 2},
		{"completions", `{"prompt":["hello","hello world"],"suffix":"hello"}`, 4},
		{"completions", `{"prompt":[1,2,3]}`, 3},
		{"completions", `{"prompt":[[1,2],[3],[]]}`, 3},
		{"completions", `{}`, 0},
		{"embeddings", `{"input":"hello world"}`, 2},
		{"embeddings", `{"input":["hello world","hello"],"model":"x"}`, 3},
		{"embeddings", `{"input":[[15339, 1917]]}`, 2},
		{"responses", `{"input":"hello world"}`, 3 + 4 + 2},
		{"responses", `{"instructions":"hello","input":[{"role":"user","content":"hello"},{"type":"function_call_output","call_id":"c","output":"hello"}]}`, 3 + 5 + 5 + 4},
		{"responses", `{"input":"hello","tools":[` + strings.Replace(weatherTool, "{", `{"type":"function",`, 1) + `]}`, 3 + 5 + 101 - m.Prompt("chat/completions", []byte("{"+weather+"}"))},
		{"responses", `{"input":"hello","text":{"format":{"type":"json_schema","name":"hello","schema":{"type": "object"}}}}`, 3 + 5 + 1 + m.Count(`{"type":"object"}`)},
		{"chat/completions", `{"messages":[],"response_format":{"type":"json_schema","json_schema":{"name":"hello","schema":{"type": "object"}}}}`, 3 + 1 + m.Count(`{"type":"object"}`)},
		{"chat/completions", `{"messages":[],"response_format":{"type":"json_object"}}`, 3},
		{"images/generations", `{"prompt":"hello"}`, 0},
		{"chat/completions", `[]`, 3},
		{"embeddings", ``, 0},
	} {
		if got := m.Prompt(c.operation, []byte(c.body)); got != c.want {
			t.Errorf("%s: %d tokens, want %d: %s", c.operation, got, c.want, c.body)
		}
	}
}

func TestAPlainPromptNeedsNoMemory(t *testing.T) {
	if withRace {
		t.Skip("pools forget")
	}
	m := For("gpt-4o")
	body := []byte(`{"model":"gpt-4o",` + jargon + `,"stream":true}`)
	m.Prompt("chat/completions", body)
	if n := testing.AllocsPerRun(100, func() { m.Prompt("chat/completions", body) }); n >= 1 {
		t.Errorf("%v allocations", n)
	}
}

// What would take a minute if any of it took the square of its length.
func TestHostileBodiesTakeTheTimeOfTheirLength(t *testing.T) {
	const size = 10 << 20
	nested := func(open, inside, end string, n int) string {
		return strings.Repeat(open, n) + inside + strings.Repeat(end, n)
	}
	for name, c := range map[string]struct{ operation, body string }{
		"messages":    {"chat/completions", `{"messages":[` + strings.Repeat(`{"role":"user","content":"a"},`, 100_000) + `{}]}`},
		"one letter":  {"chat/completions", `{"messages":[{"content":"` + strings.Repeat("a", size) + `"}]}`},
		"escapes":     {"chat/completions", `{"messages":[{"content":"` + strings.Repeat(`\u0000`, size/6) + `"}]}`},
		"surrogates":  {"chat/completions", `{"messages":[{"content":"` + strings.Repeat(`\ud83d`, size/6) + `"}]}`},
		"backslashes": {"chat/completions", `{"messages":[{"content":"` + strings.Repeat(`\\`, size/2) + `"}]}`},
		"arrays":      {"completions", `{"prompt":` + nested("[", "", "]", size/2) + `}`},
		"parts":       {"chat/completions", `{"messages":[{"content":[` + strings.Repeat(`{"text":"a"},`, size/13) + `{}]}]}`},
		"schema":      {"chat/completions", `{"tools":[{"function":{"parameters":` + nested(`{"properties":{"a":`, "{}", "}}", size/21) + `}}]}`},
		"items":       {"chat/completions", `{"tools":[{"parameters":` + nested(`{"items":`, "{}", "}", size/10) + `}]}`},
		"enums":       {"chat/completions", `{"tools":[{"parameters":{"properties":{"a":{"enum":[` + strings.Repeat(`"a",`, size/4) + `1]}}}}]}`},
		"a name":      {"chat/completions", `{"` + strings.Repeat(`\n`, size/2) + `":1}`},
		"tokens":      {"embeddings", `{"input":[` + strings.Repeat("1,", size/2) + `1]}`},
		"images":      {"chat/completions", `{"messages":[{"content":[` + strings.Repeat(`{"image_url":"data:image/jpeg;base64,/9j/////////////////////////////////////////"},`, size/100) + `{}]}]}`},
	} {
		body := []byte(c.body)
		if !json.Valid(body) && name != "arrays" && name != "schema" && name != "items" { // those nest deeper than it reads
			t.Fatalf("%s is not JSON", name)
		}
		before := bytes.Clone(body)
		if n := For("gpt-4o").Prompt(c.operation, body); n < 0 || n > 10*size {
			t.Errorf("%s: %d tokens", name, n)
		}
		if !bytes.Equal(before, body) {
			t.Errorf("%s: the body was changed", name)
		}
	}
}

func FuzzPromptIsNeverNegative(f *testing.F) {
	f.Add("{" + jargon + "}")
	f.Add("{" + weather + `,"tools":[{"type":"function","function":` + weatherTool + "}]}")
	f.Add(`{"input":[{"type":"input_image","image_url":"` + dataURL(png(3, 4)) + `"}],"prompt":[[1]],"text":{"format":{"schema":{}}}}`)
	f.Add(`{"messages":[{"name":"","content":[{"image_url":{"url":"data:;base64,/9j/","detail":"low"}}],"tool_calls":[{"function":{}}]}]}`)
	f.Add(`{"functions":[{"parameters":{"properties":{"a":{"enum":[],"items":{"enum":[]}}}}}]}`)
	f.Fuzz(func(t *testing.T, body string) {
		for _, model := range []string{"gpt-4o", "gpt-3.5-turbo-0301", "o4-mini"} {
			for _, operation := range []string{"chat/completions", "completions", "embeddings", "responses"} {
				if n := For(model).Prompt(operation, []byte(body)); n < 0 {
					t.Errorf("%s %s: %d tokens", model, operation, n)
				}
			}
			For(model).Message([]byte(body))
		}
	})
}

func ExampleModel_Prompt() {
	m := For("gpt-4o-mini")
	fmt.Println(m.Prompt("chat/completions", []byte(`{"messages":[{"role":"user","content":"Hello, world!"}]}`)))
	// Output: 11
}
