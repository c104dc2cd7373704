package gateway_test

import (
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

// repeated is text again and again, n bytes of it or a little less.
func repeated(text string, n int) string { return strings.Repeat(text, n/len(text)) }

// anyRunes is n bytes of characters of all kinds, or a little less, that need no
// escape in JSON.
func anyRunes(n int) string {
	random := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	for b.Len() < n-4 {
		if c := rune(0xa0 + random.IntN(0x20000)); c < 0xd800 || c > 0xdfff {
			b.WriteRune(c)
		}
	}
	return b.String()
}

func TestTheLongestPromptIsCountedWhileOthersAreAnswered(t *testing.T) {
	const most = 10 << 20 // maxBodyBytes, as it is when nothing is configured
	s := newSetup(t, limited(`{"id":"strict","apps":["strict"],"allow":{"tokensPerMinute":1000}},{"id":"watched","apps":["open"],"allow":{"tokensPerMinute":1000,"mode":"observe"}}`,
		chatApp("strict", "", "gpt-4o"), chatApp("open", "", "gpt-4o"), chatApp("other", "", "gpt-4o")))
	const head, tail = `{"max_tokens":10,"messages":[{"role":"user","content":"`, `"}]}`
	for name, text := range map[string]func(n int) string{
		"one letter":     func(n int) string { return repeated("a", n) },
		"emoji":          func(n int) string { return repeated("👩‍👩‍👧", n) },
		"spaces":         func(n int) string { return repeated(" ", n) },
		"escapes":        func(n int) string { return repeated(`\u00e9\n`, n) },
		"all characters": anyRunes,
	} {
		content := text(most - len(head) - len(tail))
		body := head + content + strings.Repeat("x", most-len(head)-len(tail)-len(content)) + tail
		if len(body) != most {
			t.Fatalf("%s: %d bytes", name, len(body))
		}
		paths := map[string]int{"/lb/strict": http.StatusBadRequest}
		if name == "all characters" { // sent on, the model counts it too
			paths["/lb/open"] = http.StatusOK
		}
		for path, want := range paths {
			done := make(chan struct{})
			go func() {
				defer close(done)
				status, header, answer := s.post(path, body)
				if status != want {
					t.Errorf("%s to %s: got %d, want %d: %.300s", name, path, status, want, answer)
				}
				if want == http.StatusBadRequest && header.Get("X-Gateway-Limit") != "strict" {
					t.Errorf("%s to %s was refused by something else: %.300s", name, path, answer)
				}
			}()
			for over := false; !over; {
				if status, _, answer := s.post("/lb/other", goodChat); status != http.StatusOK {
					t.Errorf("%s to %s: meanwhile another request got %d: %s", name, path, status, answer)
				}
				select {
				case <-done:
					over = true
				default:
				}
			}
		}
		if status, _, answer := s.post("/lb/strict", body+" "); status != http.StatusRequestEntityTooLarge {
			t.Errorf("%s and a byte: got %d: %.300s", name, status, answer)
		}
	}
	s.quiet()
	if used := s.standing("strict", "strict", "tokensPerMinute").Get("used").Int(); used != 0 {
		t.Errorf("what was refused used %d tokens", used)
	}
	_, _, page := s.get("/limits/open")
	if used := gjson.Get(page, "limits.0.used").Int(); used < most/10 {
		t.Errorf("what was only watched used %d tokens: %s", used, page)
	}
}
