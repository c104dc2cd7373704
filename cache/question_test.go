package cache

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestContentBesideTextIsNotCached(t *testing.T) {
	b := newBench(t, nil)
	image := `{"type":"image_url","image_url":{"url":"data:,"}}`
	for _, messages := range []string{
		`{"role":"user","content":[{"type":"text","text":"what is this"},` + image + `]}`,
		`{"role":"user","content":[` + image + `]},{"role":"assistant","content":"a cat"},{"role":"user","content":"sure?"}`,
		`{"role":"user","content":[{"type":"input_audio","input_audio":{}}]}`,
		`{"role":"user","content":[{"type":"file","file":{}}]}`,
		`{"role":"user","content":[{"text":"no type"}]}`,
		`{"role":"user","content":["text"]}`,
		`{"role":"user","content":[{"type":"text","text":5}]}`,
		`{"role":"assistant","content":null,"audio":{"id":"a"}},{"role":"user","content":"go on"}`,
	} {
		if miss := b.wantMiss(`{"messages":[`+messages+`]}`, "content"); !miss.Bypass || miss.Storable() {
			t.Errorf("%s: %+v, want a bypass that stores nothing", messages, miss)
		}
	}
	b.wantMiss(`{"messages":[{"role":"user","content":[{"type":"text","text":"q"}]},{"role":"assistant","audio":null,"content":[{"type":"refusal","refusal":"no"}]},{"role":"user","content":"why"}]}`, "miss")
}

func TestQuestionsThatCannotBeEmbeddedUseTheExactLayer(t *testing.T) {
	body := func(content string) string { return `{"messages":[{"role":"user","content":` + content + `}]}` }
	for name, body := range map[string]string{
		"empty":             body(`""`),
		"blank":             body(`" \n\u00a0"`),
		"null":              body(`null`),
		"NUL":               body(`"a\u0000b"`),
		"half a pair":       body(`"a\ud800"`),
		"long":              body(quote(strings.Repeat("long ", 7000))),
		"answer of a tool":  `{"messages":[{"role":"user","content":"q"},{"role":"tool","tool_call_id":"c","content":"5"}]}`,
		"assistant is last": `{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"5"}]}`,
		"token ids":         `{"prompt":[1,2,3]}`,
		"two prompts":       `{"prompt":["a","b"]}`,
		"prompt, by term":   `{"prompt":"a"}`,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, nil)
			b.learn(body, "it")
			b.wantHit(body, Exact, "it")
			if made := b.pool.Stats().EmbeddingsMade; made != 0 || b.index.called("Nearest") != 0 {
				t.Errorf("%d embeddings, %d searches; want none", made, b.index.called("Nearest"))
			}
		})
	}
}

func TestTermAndRolesSayWhatIsEmbedded(t *testing.T) {
	for _, c := range []struct {
		name, term string
		roles      []string
		body       string
		want       string // the text, if one is embedded
	}{
		{"chat", "messages", []string{"system", "user"}, chat("why"), "why"},
		{"not users", "messages", []string{"system", "assistant"}, chat("why"), ""},
		{"chat by prompt", "prompt", []string{"user"}, chat("why"), ""},
		{"prompt", "prompt", nil, `{"prompt":"wh\u0079"}`, "why"},
		{"prompt in a list", "prompt", nil, `{"prompt":["why"]}`, "why"},
		{"two prompts", "prompt", nil, `{"prompt":["why","how"]}`, ""},
		{"token ids", "prompt", nil, `{"prompt":[1,2]}`, ""},
		{"second of two", "messages", []string{"user"}, `{"messages":[{"role":"user","content":"b"},{"role":"user","content":"a"}]}`, "a"},
		{"parts", "messages", []string{"user"}, `{"messages":[{"content":[{"text":"a","type":"text"},{"type":"text","text":"b"}],"role":"user"}]}`, "a\n\nb"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := ""
			b := newBench(t, func(s *Settings) {
				s.Term, s.Roles = c.term, c.roles
				s.Embed = func(ctx context.Context, t string) (Embedding, error) { text = t; return letters(ctx, t) }
			})
			b.lookup(c.body, anyAge)
			if text != c.want {
				t.Errorf("embedded %q, want %q", text, c.want)
			}
		})
	}
}

func TestMissRefersToNothingOfTheRequest(t *testing.T) {
	b := newBench(t, func(s *Settings) { s.Scope = ScopeUser })
	body := []byte(chat("dormitory"))
	_, miss := b.cache.Lookup(t.Context(), parse(t, string(body)), "chat/completions", Asker{User: "u"}, anyAge)
	before := *miss
	text := strings.Clone(miss.text)
	clear(body)
	if diff := cmp.Diff(text, before.text); diff != "" || text != "dormitory" {
		t.Errorf("the question became %q", miss.text)
	}
}
