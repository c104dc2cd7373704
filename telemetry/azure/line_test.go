package azure

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"pgregory.net/rapid"
)

func TestDurationsHaveTheSchemasForm(t *testing.T) {
	for _, c := range []struct {
		give time.Duration
		want string
	}{
		{0, "0.00:00:00.0000000"},
		{-time.Second, "0.00:00:00.0000000"},
		{99, "0.00:00:00.0000000"},
		{100, "0.00:00:00.0000001"},
		{1500 * time.Millisecond, "0.00:00:01.5000000"},
		{59*time.Minute + 59*time.Second + 999999900, "0.00:59:59.9999999"},
		{49*time.Hour + time.Minute, "2.01:01:00.0000000"},
		{1 << 62, "999.23:59:59.9999999"},
	} {
		var l line
		l.duration("duration", c.give)
		if want := `"duration":"` + c.want + `",`; string(l) != want {
			t.Errorf("%v: got %s, want %s", c.give, l, want)
		}
	}
}

func TestTextsAreCutInCharactersAndStayJSON(t *testing.T) {
	for _, c := range []struct {
		give string
		most int
		want string
	}{
		{"abc", 3, "abc"},
		{"abcd", 3, "abc"},
		{"üüü", 2, "üü"},
		{"🐇🐇", 3, "🐇"},
		{"🐇", 1, ""},
		{"a\"\\\n\r\tb", 20, "a\"\\\n\r\tb"},
		{"a\x00\x1b\x7fb", 20, "a\uFFFD\uFFFD\uFFFDb"},
		{"a\xffb\xe2\x82", 20, "a\uFFFDb\uFFFD\uFFFD"},
	} {
		var got string
		if err := json.Unmarshal(appendText(nil, c.give, c.most), &got); err != nil || got != c.want {
			t.Errorf("%q: got %q, %v, want %q", c.give, got, err, c.want)
		}
	}
}

func TestAnyTextIsShortJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
		if rapid.Bool().Draw(t, "text") {
			s = rapid.String().Draw(t, "s")
		}
		most := rapid.IntRange(1, 40).Draw(t, "most")
		quoted := appendText(nil, s, most)
		var got string
		if err := json.Unmarshal(quoted, &got); err != nil {
			t.Fatal(err)
		}
		if n := len(utf16.Encode([]rune(got))); n > most || len(quoted) > 3*most+2 {
			t.Fatalf("got %d characters in %d bytes", n, len(quoted))
		}
		clean := strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }) < 0
		if clean && len(utf16.Encode([]rune(s))) <= most && got != s {
			t.Fatalf("got %q of %q", got, s)
		}
	})
}
