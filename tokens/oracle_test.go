package tokens

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/pkoukk/tiktoken-go"
	loader "github.com/pkoukk/tiktoken-go-loader"
	"pgregory.net/rapid"
)

// oracle is tiktoken-go with the same vocabularies.
var oracle = sync.OnceValue(func() map[string]*tiktoken.Tiktoken {
	tiktoken.SetBpeLoader(loader.NewOfflineLoader())
	all := map[string]*tiktoken.Tiktoken{}
	for _, name := range []string{"cl100k_base", "o200k_base"} {
		t, err := tiktoken.GetEncoding(name)
		if err != nil {
			panic(err)
		}
		all[name] = t
	}
	return all
})

// ours are the vocabularies under the oracle's names.
var ours = map[string]func() *vocabulary{"cl100k_base": cl100k, "o200k_base": o200k}

var samples = map[string]string{
	"english":       strings.Repeat("The quick brown fox doesn't jump over the lazy dog; it's been thinking, at length, about antidisestablishmentarianism and 1,234,567 other things.\n\n", 8),
	"code":          strings.Repeat("func (s *Server) Serve(ctx context.Context) error {\n\tfor i := 0; i < len(s.items); i++ {\n\t\tif err := s.items[i].Do(ctx); err != nil {\n\t\t\treturn fmt.Errorf(\"item %d: %w\", i, err)\n\t\t}\n\t}\n}\n", 8),
	"cjk":           strings.Repeat("人工智能正在改变世界，許多公司已經開始使用。日本語のテキストもあります。한국어 문장도 있습니다.", 12),
	"oneletter":     strings.Repeat("a", 1000),
	"emoji":         strings.Repeat("😀", 250),
	"zwj":           strings.Repeat("👩‍👩‍👧‍👦🏳️‍🌈👍🏽", 30),
	"marks":         strings.Repeat("e\u0301A\u0308BC\u0301de\u0323 \u0301x\u0301Y ", 30),
	"spaces":        strings.Repeat(" ", 1000),
	"newlines":      strings.Repeat("\n", 700) + strings.Repeat("\r\n", 100),
	"mixedspace":    strings.Repeat(" \t\n  \r\n\t x \u00a0\u2003y\u3000\n \u0085 z", 30),
	"digits":        strings.Repeat("1234567890", 100),
	"otherdigits":   "٠١٢٣٤٥٦ ²³¼ⅷⅨ 〇一二",
	"contractions":  "I'm you'RE HE'S we'Ve they'll I'D can'T 'ſ it'ſ 'K k'K x's's 'sa 'lla ''s '",
	"caseful":       "HelloWORLDFooBAR ǅabc ǅABC camelCaseWORDs iPhoneʰABC ªbC ÀÉÎõü ΑΒΓαβγ АБВгд",
	"alternations":  strings.Repeat("abababaabbab", 80),
	"slashes":       "https://example.com//a/b\n//\r\n/ //x !/\n/!",
	"dashes":        strings.Repeat("-", 300) + strings.Repeat("=-", 200) + strings.Repeat("#", 200),
	"special":       "<|endoftext|> <|im_start|>system<|im_sep|><|fim_prefix|>",
	"replacement":   strings.Repeat("\ufffd", 50) + "a\ufffd \ufffd",
	"invalid":       "a\xffb\xc3\x28\xe2\x82 \xf0\x9f\x98 \xed\xa0\x80",
	"empty":         "",
	"null":          "\x00\x00\x01\x7f",
	"randomletters": letters(1000, "abcdefghijklmnopqrstuvwxyz"),
	"randombytes":   letters(1000, allBytes()),
	"randomcjk":     randomRunes(300, 0x4e00, 0x9fff),
	"randomrunes":   randomRunes(500, 0, 0x2ffff),
	"base64":        letters(1000, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"),
}

func allBytes() string {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return string(b)
}

// letters returns n bytes of the alphabet, the same in each run.
func letters(n int, alphabet string) string {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[r.IntN(len(alphabet))]
	}
	return string(b)
}

func randomRunes(n int, from, to rune) string {
	r := rand.New(rand.NewPCG(2, uint64(n)))
	var b strings.Builder
	for range n {
		b.WriteRune(from + r.Int32N(to-from))
	}
	return b.String()
}

func TestCountEqualsTheOracleOnTheSamples(t *testing.T) {
	for encoding, o := range oracle() {
		for name, text := range samples {
			t.Run(fmt.Sprintf("%s/%s", encoding, name), func(t *testing.T) {
				if got, want := ours[encoding]().count(text), len(o.EncodeOrdinary(text)); got != want {
					t.Errorf("%d tokens, want %d", got, want)
				}
			})
		}
	}
}

// FuzzCountEqualsTheOracle compares counts of what the oracle can do in time:
// it takes the square of a piece's length.
func FuzzCountEqualsTheOracle(f *testing.F) {
	for _, text := range samples {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		const most = 4 << 10
		text = text[:min(most, len(text))]
		for encoding, o := range oracle() {
			if got, want := ours[encoding]().count(text), len(o.EncodeOrdinary(text)); got != want {
				t.Errorf("%s: %q is %d tokens, want %d", encoding, text, got, want)
			}
		}
	})
}

// Texts of characters that the patterns tell apart, in any order: of these a
// fuzzer finds few.
func TestCountEqualsTheOracleOnMixedCharacters(t *testing.T) {
	characters := []string{
		"a", "b", "s", "t", "re", "LL", "S", "A", "B", "Z", "É", "é", "ǅ", "ʰ", "ª", "中", "א", "ა", "\u0301", "\u0903", "\u20dd",
		"1", "٣", "Ⅷ", "²", " ", " ", " ", "\t", "\n", "\r", "\r\n", "\u00a0", "\u0085", "\u2003", "\u2028", "\u3000", "\u200b", "\ufeff",
		"'", "'", "’", "/", "!", "_", "-", "😀", "\u200d", "\ufe0f", "ſ", "K", "İ", "\x00", "\ufffd", "\U0001f1e9",
	}
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(rapid.SampledFrom(characters), 1, 40).Draw(t, "characters"), "")
		for encoding, o := range oracle() {
			if got, want := ours[encoding]().count(text), len(o.EncodeOrdinary(text)); got != want {
				t.Errorf("%s: %q is %d tokens, want %d", encoding, text, got, want)
			}
		}
	})
}
