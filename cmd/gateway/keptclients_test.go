package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

// eachRound runs a test of clients twice on one gateway that has a cache. The
// second time there are hits, and the chat endpoints have less to do.
func eachRound(t *testing.T, s *clientsSetup, test func(t *testing.T)) {
	t.Helper()
	hits, calls := s.hits(t), 0
	for s.round = 1; s.round <= clientRounds; s.round++ {
		before := s.sim.Calls("chat-first") + s.sim.Calls("chat-second")
		t.Run(fmt.Sprintf("round %d", s.round), test)
		made := s.sim.Calls("chat-first") + s.sim.Calls("chat-second") - before
		now := s.hits(t)
		t.Logf("round %d: %d calls of chat endpoints, %d hits", s.round, made, now-hits)
		if s.replays() && (now <= hits || made >= calls) {
			t.Errorf("round %d: %d hits, %d calls of chat endpoints after %d in the round before; want hits, and fewer calls", s.round, now-hits, made, calls)
		}
		hits, calls = now, made
	}
}

// hits are the cache hits of the chatbot, as /metrics counts them.
func (s *clientsSetup) hits(t *testing.T) int {
	t.Helper()
	text, err := readPage(s.Base + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	var page struct {
		ApplicationMetrics []struct {
			ApplicationID string
			CacheMetrics  struct{ HitCount int }
		}
	}
	if err := json.Unmarshal([]byte(text), &page); err != nil {
		t.Fatal(err)
	}
	for _, app := range page.ApplicationMetrics {
		if app.ApplicationID == "aichatbotapp" {
			return app.CacheMetrics.HitCount
		}
	}
	t.Fatalf("no chatbot in %s", text)
	return 0
}

// fresh is for what only an endpoint's own answer can show.
func fresh() option.RequestOption { return option.WithQuery("use_cache", "false") }

// asked is one answer as a client of openai-go has it.
type asked struct {
	text   string
	pieces int
	header http.Header
}

// askOnce asks the chatbot, streamed or not.
func askOnce(t *testing.T, client openai.Client, stream bool, question string, options ...option.RequestOption) asked {
	t.Helper()
	var resp *http.Response
	options = append(options, option.WithResponseInto(&resp))
	if !stream {
		said, err := client.Chat.Completions.New(t.Context(), ask("aichatbotapp", question), options...)
		if err != nil {
			t.Fatalf("%q: %v", question, err)
		}
		return asked{said.Choices[0].Message.Content, 1, resp.Header}
	}
	events := client.Chat.Completions.NewStreaming(t.Context(), ask("aichatbotapp", question), options...)
	var whole openai.ChatCompletionAccumulator
	pieces := 0
	for events.Next() {
		pieces++
		whole.AddChunk(events.Current())
	}
	if err := events.Err(); err != nil {
		t.Fatalf("%q, streamed: %v", question, err)
	}
	if end := whole.Choices[0].FinishReason; end != "stop" {
		t.Errorf("%q, streamed: it ends with %q", question, end)
	}
	return asked{whole.Choices[0].Message.Content, pieces, resp.Header}
}

// cacheTopics are words that the simulator's embeddings tell apart.
var cacheTopics = map[string]string{"OpenAI": "volcanoes", "AzureOpenAI": "bicycles"}

// goCache: an answer is kept in either form and given in either.
func goCache(t *testing.T, s *clientsSetup, client openai.Client, form string) {
	for _, firstStreams := range []bool{false, true} {
		question := fmt.Sprintf("What are %s, asked first as a stream: %t?", cacheTopics[form], firstStreams)
		first := askOnce(t, client, firstStreams, question)
		wantFirst := "miss"
		if s.replays() {
			wantFirst = "hit"
		}
		if got := first.header.Get("X-Cache"); got != wantFirst {
			t.Errorf("first, stream %t: x-cache %q, want %q", firstStreams, got, wantFirst)
		}
		// It is stored after the answer.
		if err := eventually(startsWithin, func() (bool, error) {
			return askOnce(t, client, false, question).header.Get("X-Cache") == "hit", nil
		}); err != nil {
			t.Fatalf("%q is never answered by the cache: %v", question, err)
		}
		for _, stream := range []bool{false, true} {
			again := askOnce(t, client, stream, question)
			h := again.header
			if h.Get("X-Cache") != "hit" || h.Get("X-Cache-Layer") != "exact" || h.Get("X-Cache-Score") != "1.0000" || h.Get("Age") == "" {
				t.Errorf("again, stream %t: header %v, want an exact hit", stream, h)
			}
			if again.text != first.text || !strings.Contains(again.text, question) {
				t.Errorf("again, stream %t: %q, want %q", stream, again.text, first.text)
			}
			if h.Get("X-Thread-Id") == "" || h.Get("X-Thread-Id") == first.header.Get("X-Thread-Id") {
				t.Errorf("again, stream %t: thread %q after %q, want a new one", stream, h.Get("X-Thread-Id"), first.header.Get("X-Thread-Id"))
			}
		}
	}
}

// goThread: a conversation of four turns by the header, streamed and not; its
// first turn comes from the cache in the second round.
func goThread(t *testing.T, s *clientsSetup, client openai.Client, form string) {
	for _, firstStreams := range []bool{false, true} {
		thread := ""
		for i := range 4 {
			var options []option.RequestOption
			if thread != "" {
				options = append(options, option.WithHeader("x-thread-id", thread))
			}
			question := fmt.Sprintf("Turn %d of a talk on %s, begun as a stream: %t?", i, cacheTopics[form], firstStreams)
			said := askOnce(t, client, firstStreams == (i%2 == 0), question, options...)
			if i == 0 {
				if got := said.header.Get("X-Cache") == "hit"; got != s.replays() {
					t.Errorf("the first turn: x-cache %q", said.header.Get("X-Cache"))
				}
				thread = said.header.Get("X-Thread-Id")
			} else if got := said.header.Get("X-Cache"); got != "bypass; reason=thread" {
				t.Errorf("turn %d: x-cache %q", i, got)
			}
			if got := said.header.Get("X-Thread-Id"); got == "" || got != thread {
				t.Fatalf("turn %d: x-thread-id %q, want %q", i, got, thread)
			}
			if want := fmt.Sprintf("It has read %d message", 2*i+1); !strings.Contains(said.text, want) || !strings.Contains(said.text, question) {
				t.Errorf("turn %d: %q, want %q", i, said.text, want)
			}
		}
	}
	_, err := client.Chat.Completions.New(t.Context(), ask("aichatbotapp", question), option.WithHeader("x-thread-id", "00000000-0000-4000-8000-000000000000"))
	wantError(t, "unknown thread", err, 400, "invalidPayload")
}
