package openai

import (
	"encoding/json"
	"testing"

	"pgregory.net/rapid"
)

func TestTextJoinsPartsCutAnywhere(t *testing.T) {
	for _, tt := range []struct {
		parts []string
		want  string
	}{
		{nil, ""},
		{[]string{`a\n\t\r\b\f\/\\\"`, `b`}, "a\n\t\r\b\f/\\\"b"},
		{[]string{`\ud83d`, `\ude00`}, "😀"},
		{[]string{`x\ud83d`, ``, `\ude00y`}, "x😀y"},
		{[]string{`\ud83d\ude00`}, "😀"},
		{[]string{`\ud83d`, `x`}, "\uFFFDx"},
		{[]string{`\ud83d`, `\ud83d`, `\ude00`}, "\uFFFD😀"},
		{[]string{`\ud83d\ud83d\ude00`}, "\uFFFD😀"},
		{[]string{`\ude00`}, "\uFFFD"},
		{[]string{`a\ud83d`}, "a\uFFFD"},
		{[]string{"\xf0\x9f", "\x98\x80"}, "😀"},
		{[]string{"a\xf0\x9f"}, "a\uFFFD"},
		{[]string{`\u00e9\u65E5`}, "é日"},
		{[]string{`\u12`, `\uzzzz`, `\`}, "\uFFFD12\uFFFDzzzz"},
	} {
		var got text
		for _, p := range tt.parts {
			got.add([]byte(p))
		}
		if got.String() != tt.want {
			t.Errorf("%q: got %q, want %q", tt.parts, got.String(), tt.want)
		}
	}
}

func TestTextDecodesAsEncodingJSONDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw, _ := json.Marshal(rapid.String().Draw(t, "text"))
		var want string
		if err := json.Unmarshal(raw, &want); err != nil {
			t.Fatal(err)
		}
		if got := unquote(raw); got != want {
			t.Fatalf("%s: got %q, want %q", raw, got, want)
		}
	})
}
