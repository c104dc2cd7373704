package persist

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"
)

func TestStorable(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"JSON", `{"a":"\u0000é"}`, `{"a":"\u0000é"}`},
		{"broken UTF-8", "{\"a\":\"x\xff\xc3y\"}", `{"a":"x��y"}`},
		{"encoded surrogate", "\"\xed\xa0\x80\"", `"���"`},
		{"no JSON", "<html>\n\x00\"\xff", `"<html>\u000a�\"�"`},
		{"raw NUL in a string", "{\"a\":\"\x00\"}", `"{\"a\":\"�\"}"`},
		{"cut off", `{"a":`, `"{\"a\":"`},
	} {
		if got := string(Storable([]byte(c.in))); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	if got := Storable([]byte{}); got != nil {
		t.Errorf("empty text became %q", got)
	}
}

func FuzzStorable(f *testing.F) {
	for _, s := range []string{`{}`, "\"\xff\"", "\x00", `{"a":"\ud800"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		out := Storable(append([]byte(nil), in...))
		if len(in) == 0 {
			return
		}
		if !json.Valid(out) || !utf8.Valid(out) || bytes.IndexByte(out, 0) >= 0 {
			t.Fatalf("%q became %q", in, out)
		}
		if again := Storable(out); !bytes.Equal(again, out) {
			t.Fatalf("%q became %q", out, again)
		}
	})
}
