package postgres

import (
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestTextAndDocumentsBecomeWhatColumnsTake(t *testing.T) {
	for in, want := range map[string]string{"": "", "plain é": "plain é", "a\x00b": "a\uFFFDb", "a\xffb": "a\uFFFDb", "\x00\xff": "\uFFFD\uFFFD"} {
		if got := text(in); got != want {
			t.Errorf("text(%q) = %q, want %q", in, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
		s := text(string(b))
		for _, r := range s {
			if r == 0 {
				t.Errorf("%q holds NUL", s)
			}
		}
		if !utf8.ValidString(s) || !utf8.Valid(document(b)) || text(s) != s {
			t.Errorf("%q is not clean, or not the same when cleaned again", s)
		}
	})
	if document(nil) != nil || document([]byte{}) != nil {
		t.Error("an empty document is not NULL")
	}
}
