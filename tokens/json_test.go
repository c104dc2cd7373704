package tokens

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestStringsSayWhatTheyDoToOthers(t *testing.T) {
	for _, raw := range []string{
		`""`, `"a"`, `"\n\t\r\b\f\/\\\""`, `"\u0041\u00e9\u4e2d"`, `"\ud83d\ude00"`, `"\ud83d"`, `"\ude00\ud83d"`,
		`"\ud83dx"`, `"\ud83d\n"`, `"\ud83d\u0041"`, `"\ud83d\ud83d\ude00"`, `"a\u000a"`, `"\uD83D\uDE00\uABCD"`,
	} {
		var want string
		if err := json.Unmarshal([]byte(raw), &want); err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		if got := string(appendText(nil, raw)); got != want {
			t.Errorf("%s says %q, want %q", raw, got, want)
		}
		if got, want := o200k().countJSON(raw), o200k().count(want); got != want {
			t.Errorf("%s is %d tokens, want %d", raw, got, want)
		}
	}
}

func TestMembersAndElementsAreThoseOfJSON(t *testing.T) {
	leaf := rapid.OneOf(
		rapid.Just[any](nil), rapid.Just[any](true), rapid.Map(rapid.Float64Range(-1e9, 1e9), func(f float64) any { return f }),
		rapid.Map(rapid.String(), func(s string) any { return s }),
		rapid.SampledFrom([]any{`"`, `\`, `]}`, "{[,:", "", "\n"}),
	)
	var value func(depth int) *rapid.Generator[any]
	value = func(depth int) *rapid.Generator[any] {
		if depth == 0 {
			return leaf
		}
		return rapid.OneOf(leaf,
			rapid.Map(rapid.SliceOfN(value(depth-1), 0, 4), func(s []any) any { return s }),
			rapid.Map(rapid.MapOfN(rapid.String(), value(depth-1), 0, 4), func(m map[string]any) any { return m }))
	}
	rapid.Check(t, func(t *rapid.T) {
		want := value(3).Draw(t, "value")
		raw, err := json.Marshal(want)
		if rapid.Bool().Draw(t, "indented") {
			raw, err = json.MarshalIndent(want, " ", "\t")
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := decode(t, string(raw)); !cmp.Equal(got, want) {
			t.Fatalf("%s: %s", raw, cmp.Diff(want, got))
		}
		var inLine strings.Builder
		json.NewEncoder(&inLine).Encode(json.RawMessage(raw))
		if got, want := string(compact(nil, string(raw))), strings.TrimSpace(inLine.String()); got != want {
			t.Errorf("%s becomes %s, want %s", raw, got, want)
		}
	})
}

// decode reads a value by members and elements.
func decode(t *rapid.T, raw string) any {
	switch kindOf(raw) {
	case '{':
		m := map[string]any{}
		for name, v := range members(raw) {
			m[name] = decode(t, v)
		}
		return m
	case '[':
		s := []any{}
		for v := range elements(raw) {
			s = append(s, decode(t, v))
		}
		return s
	case '"':
		return string(appendText(nil, raw))
	}
	var v any
	if err := json.Unmarshal([]byte(raw), &v); err != nil {
		t.Fatalf("%q: %v", raw, err)
	}
	return v
}

func TestBrokenJSONEnds(t *testing.T) {
	for _, raw := range []string{
		"", "{", "[", `"`, `{"`, `{"a`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a" 1}`, `{a:1}`, `[1`, `[,]`, `[]]`, `[1 2`,
		`"\`, `"\u`, `"\u12`, `{"a":}`, `[[[`, `{"\`, `:`, `{"a":1 "b":2}`, "[\x00", `"\ud83d\u12"`,
	} {
		for range members(raw) {
		}
		for range elements(raw) {
		}
		appendText(nil, raw)
		compact(nil, raw)
	}
}
