package memory

import (
	"encoding/json"
	"testing"
)

func TestMessagesAreComparedByWhatTheySay(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{`{"role":"user","content":"hé\n"}`, ` { "content" : "h\u00e9\u000a" , "role" : "user" } `, true},
		{`{"role":"user","content":"hi"}`, `{"role":"user","content":[{"type":"text","text":"hi"}]}`, true},
		{`{"role":"user","content":"ab"}`, `{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}`, false},
		{`{"role":"user","content":"hi"}`, `{"role":"user","content":"Hi"}`, false},
		{`{"role":"user","content":"hi"}`, `{"role":"user","content":"hi","name":"bob"}`, false},
		{`{"role":"user","content":"hi"}`, `{"role":"assistant","content":"hi"}`, false},
		{`{"role":"assistant","content":null}`, `{"role":"assistant","content":""}`, true},
		{`{"role":"assistant","content":null}`, `{"role":"assistant"}`, true},
		{`{"role":"assistant","content":"x"}`, `{"role":"assistant","content":"x","refusal":null,"annotations":[],"audio":null}`, true},
		{`{"role":"assistant","content":"x"}`, `{"role":"assistant","content":null,"refusal":"x"}`, false},
		{`{"role":"assistant","refusal":"x"}`, `{"role":"assistant","content":[{"type":"refusal","refusal":"x"}]}`, true},
		{asks("c1"), `{"role":"assistant","content":"","tool_calls":[{"function":{"arguments":"{\"a\":1}","name":"f"},"id":"c1","type":"function","index":0}]}`, true},
		{asks("c1"), asks("c2"), false},
		{asks("c1", "c2"), asks("c2", "c1"), false},
		{asks("c1"), `{"role":"assistant","tool_calls":[{"id":"c1","function":{"name":"g","arguments":"{\"a\":1}"}}]}`, false},
		{asks("c1"), `{"role":"assistant","tool_calls":[{"id":"c1","function":{"name":"f","arguments":"{\"a\":2}"}}]}`, false},
		{`{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":"{bad"}}]}`, `{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":"{bad"}}]}`, true},
		{`{"role":"assistant","tool_calls":[{"id":"c","type":"custom","custom":{"name":"f","input":"x"}}]}`, `{"role":"assistant","tool_calls":[{"type":"custom","id":"c","custom":{"input":"y","name":"f"}}]}`, false},
		{`{"role":"tool","tool_call_id":"c1","content":"4"}`, `{"role":"tool","tool_call_id":"c2","content":"4"}`, false},
		{`{"role":"assistant","function_call":{"name":"f","arguments":"{ }"}}`, `{"role":"assistant","function_call":{"arguments":"{}","name":"f"}}`, true},
		{`{"role":"user","content":[{"type":"image_url","image_url":{"url":"u","detail":"low"}}]}`, `{"role":"user","content":[{"image_url":{"detail":"low","url":"u"},"type":"image_url"}]}`, true},
		{`{"role":"user","content":[{"type":"image_url","image_url":{"url":"u"}}]}`, `{"role":"user","content":[{"type":"image_url","image_url":{"url":"v"}}]}`, false},
		// White space at the ends, but nowhere else.
		{`{"role":"assistant","content":" Four.\n\n"}`, `{"role":"assistant","content":"Four."}`, true},
		{`{"role":"assistant","content":"\u00a0Four.\r\n"}`, `{"role":"assistant","content":[{"type":"text","text":"\tFour."}]}`, true},
		{`{"role":"assistant","content":null,"refusal":"No. "}`, `{"role":"assistant","content":[{"type":"refusal","refusal":"No."}]}`, true},
		{`{"role":"assistant","content":" \n"}`, `{"role":"assistant","content":null}`, true},
		{`{"role":"tool","tool_call_id":"c1","content":"4\n"}`, `{"role":"tool","tool_call_id":"c1","content":"4"}`, true},
		{`{"role":"user","content":"a  b"}`, `{"role":"user","content":"a b"}`, false},
		{`{"role":"user","name":"n","content":"a"}`, `{"role":"user","name":"n ","content":"a"}`, false},
		// No text imitates the mark of another member.
		{`{"role":"user","content":"at1 b"}`, `{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}`, false},
		{`{"role":"user","name":"n","content":""}`, `{"role":"user","content":"n"}`, false},
	} {
		ms := messagesOf([]json.RawMessage{json.RawMessage(tt.a), json.RawMessage(tt.b)})
		if got := ms[0].equal(ms[1]); got != tt.want {
			t.Errorf("%s\n%s\nequal: %v, want %v", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestCanonicalKeepsWhatIsNotOneJSONValue(t *testing.T) {
	for _, s := range []string{"", "{", "1 2", `{"a":1}x`} {
		if got := canonical(s); got != s {
			t.Errorf("%q has become %q", s, got)
		}
	}
	if a, b := canonical(`{"b":[1.0,2],"a":12345678901234567890}`), canonical(" { \"a\":12345678901234567890,\n\"b\":[1.0, 2] }"); a != b {
		t.Errorf("%q and %q", a, b)
	}
}
