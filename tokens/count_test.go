package tokens

import (
	"strings"
	"sync"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestOrdinaryTextNeedsNoMemory(t *testing.T) {
	if withRace {
		t.Skip("pools forget")
	}
	m := For("gpt-4o")
	for _, name := range []string{"english", "code", "cjk", "contractions", "digits", "spaces", "emoji"} {
		text := samples[name]
		bytes := []byte(text)
		m.Count(text) // loads the vocabulary
		if n := testing.AllocsPerRun(100, func() { m.Count(text); m.CountBytes(bytes) }); n >= 1 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestCountBytesEqualsCount(t *testing.T) {
	m := For("gpt-4")
	for name, text := range samples {
		if got, want := m.CountBytes([]byte(text)), m.Count(text); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
	if n := m.CountBytes(nil); n != 0 {
		t.Errorf("nothing is %d tokens", n)
	}
}

func TestSpecialTokensAreText(t *testing.T) {
	if n := For("gpt-4o").Count("<|endoftext|>"); n != 7 {
		t.Errorf("%d tokens, want 7: < | end of text | >", n)
	}
}

func TestManyCountAtOnce(t *testing.T) {
	m := For("gpt-4o")
	want := map[string]int{}
	for name, text := range samples {
		want[name] = m.Count(text)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for name, text := range samples {
				if got := m.Count(text); got != want[name] {
					t.Errorf("%s: %d tokens, want %d", name, got, want[name])
				}
			}
		})
	}
	wg.Wait()
}

func TestMemoryOfAnEnormousTextIsNotKept(t *testing.T) {
	v := o200k()
	v.count(strings.Repeat("ab\xff", 1<<20))
	v.countJSON(`"` + strings.Repeat(`\n`, 2<<20) + `"`)
	for range 100 {
		r := v.room()
		if size := cap(r.text) + cap(r.valid) + r.size(); size > 1<<20 {
			t.Fatalf("%d bytes are kept", size)
		}
	}
}

func TestClassesAreThoseOfUnicode(t *testing.T) {
	table := classTable()
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if !utf8.ValidRune(r) {
			continue
		}
		want := class(0)
		switch {
		case r == '\r' || r == '\n':
			want = newline
		case unicode.IsSpace(r):
			want = space
		case unicode.IsUpper(r) || unicode.IsTitle(r):
			want = upper
		case unicode.Is(unicode.Ll, r):
			want = lower
		case unicode.IsLetter(r):
			want = caseless
		case unicode.IsMark(r):
			want = mark
		case unicode.IsNumber(r):
			want = number
		}
		s := string(r)
		if got, n := table.at(s, 0); got != want || n != len(s) {
			t.Fatalf("%U: class %b of %d bytes, want %b of %d", r, got, n, want, len(s))
		}
	}
}
