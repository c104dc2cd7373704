package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/azure"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/shared"
)

const (
	question   = "What is a gateway?"
	canceledBy = 10 * time.Second // far above what a cancellation takes
)

// TestGoClients: openai-go, as OpenAI and as Azure client.
func TestGoClients(t *testing.T) {
	forEachSetup(t, runGoClients)
	for name, database := range stores(t) {
		t.Run("with all that is kept in "+name, func(t *testing.T) {
			s := startClientsSetup(t, clientsMode{keyed: true, kept: true, database: database})
			eachRound(t, s, func(t *testing.T) { runGoClients(t, s) })
		})
	}
}

func runGoClients(t *testing.T, s *clientsSetup) {
	forms := map[string]func(key string) openai.Client{
		"OpenAI": func(key string) openai.Client {
			return openai.NewClient(option.WithBaseURL(s.Base+"/lb/v1"), option.WithAPIKey(key), option.WithMaxRetries(0))
		},
		"AzureOpenAI": func(key string) openai.Client {
			return openai.NewClient(azure.WithEndpoint(s.Base+"/lb", "2024-10-21"), azure.WithAPIKey(key),
				azure.WithUnsafeAllowHTTP(), option.WithMaxRetries(0)) // http, but to this machine
		},
	}
	for form, connect := range forms {
		t.Run(form, func(t *testing.T) {
			client := connect(callerKey)
			t.Run("chat", func(t *testing.T) { goChat(t, s, client) })
			t.Run("stream", func(t *testing.T) { goStream(t, s, client) })
			t.Run("tool calls", func(t *testing.T) { goToolCalls(t, client) })
			t.Run("canceled stream", func(t *testing.T) { goCanceled(t, s, client) })
			t.Run("broken stream", func(t *testing.T) { goBroken(t, s, client) })
			t.Run("another endpoint", func(t *testing.T) { goFallback(t, s, client) })
			t.Run("errors", func(t *testing.T) { goErrors(t, client, fmt.Sprintf("%s-%d", form, s.round)) })
			t.Run("busy", func(t *testing.T) { goBusy(t, s, client) })
			t.Run("embeddings", func(t *testing.T) { goEmbeddings(t, client) })
			t.Run("completions", func(t *testing.T) { goCompletions(t, client) })
			if s.keyed {
				t.Run("keys", func(t *testing.T) { goKeys(t, connect) })
			}
			if s.kept {
				t.Run("cache", func(t *testing.T) { goCache(t, s, client, form) })
				t.Run("thread", func(t *testing.T) { goThread(t, s, client, form) })
			}
		})
	}
	t.Run("models", func(t *testing.T) { goModels(t, forms["OpenAI"](callerKey)) })
	for _, seen := range s.sim.Requests() {
		if header := fmt.Sprint(seen.Header); strings.Contains(header, callerKey) || strings.Contains(header, narrowKey) {
			t.Fatalf("a caller's key reached an endpoint: %s", header)
		}
	}
}

// ask is a chat request to an application.
func ask(app, text string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{Model: app, Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(text)}}
}

var weather = openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{
	Name: "get_weather",
	Parameters: shared.FunctionParameters{
		"type": "object", "properties": map[string]any{"city": map[string]any{"type": "string"}}, "required": []string{"city"},
	},
})

func goChat(t *testing.T, s *clientsSetup, client openai.Client) {
	var resp *http.Response
	said, err := client.Chat.Completions.New(t.Context(), ask("aichatbotapp", question),
		option.WithHeader("x-request-id", "chat-1"), option.WithResponseInto(&resp))
	if err != nil {
		t.Fatal(err)
	}
	if got := said.Choices[0].Message.Content; !strings.Contains(got, question) {
		t.Errorf("answer %q does not quote the question", got)
	}
	if u := said.Usage; u.PromptTokens == 0 || u.TotalTokens != u.PromptTokens+u.CompletionTokens {
		t.Errorf("usage %+v", u)
	}
	hit := resp.Header.Get("X-Cache") == "hit"
	if !hit && s.replays() {
		t.Errorf("x-cache %q, want hit: it was asked in the round before", resp.Header.Get("X-Cache"))
	}
	region := "Sim Central"
	if hit { // no endpoint was asked
		region = ""
	}
	for name, want := range map[string]string{"X-Request-Id": "chat-1", "X-Ms-Region": region} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	seen := s.sim.Requests()
	if got := seen[len(seen)-1].Header.Get("Api-Key"); got != endpointKey {
		t.Errorf("the endpoint was shown the key %q, want its own", got)
	}
}

func goStream(t *testing.T, s *clientsSetup, client openai.Client) {
	for _, wantUsage := range []bool{true, false} {
		request := ask("aichatbotapp", question)
		if wantUsage {
			request.StreamOptions.IncludeUsage = openai.Bool(true)
		}
		var resp *http.Response
		stream := client.Chat.Completions.NewStreaming(t.Context(), request, option.WithResponseInto(&resp))
		var whole openai.ChatCompletionAccumulator
		pieces := 0
		for stream.Next() {
			chunk := stream.Current()
			if len(chunk.Choices) > 0 && chunk.Choices[0].Delta.Content != "" {
				pieces++
			}
			whole.AddChunk(chunk)
		}
		if err := stream.Err(); err != nil {
			t.Fatal(err)
		}
		hit := resp.Header.Get("X-Cache") == "hit"
		if !hit && s.replays() {
			t.Errorf("x-cache %q, want hit: it was asked in the round before", resp.Header.Get("X-Cache"))
		}
		if !hit && pieces < 4 || pieces < 1 { // the cache gives it in one
			t.Errorf("the text came in %d pieces", pieces)
		}
		if got := whole.Choices[0].Message.Content; !strings.Contains(got, question) {
			t.Errorf("answer %q does not quote the question", got)
		}
		if got := whole.Usage.TotalTokens > 0; got != wantUsage {
			t.Errorf("usage came: %t, want %t", got, wantUsage)
		}
	}
}

func goToolCalls(t *testing.T, client openai.Client) {
	request := ask("aichatbotapp", "How is the weather in Oslo?")
	request.Tools = []openai.ChatCompletionToolUnionParam{weather}
	stream := client.Chat.Completions.NewStreaming(t.Context(), request)
	var whole openai.ChatCompletionAccumulator
	for stream.Next() {
		whole.AddChunk(stream.Current())
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	said := whole.Choices[0].Message
	if len(said.ToolCalls) != 1 || said.ToolCalls[0].Function.Name != "get_weather" || said.ToolCalls[0].Function.Arguments != `{"city":"Oslo"}` {
		t.Fatalf("tool calls %+v", said.ToolCalls)
	}
	request.Messages = append(request.Messages, said.ToParam(), openai.ToolMessage("Rain.", said.ToolCalls[0].ID))
	answer, err := client.Chat.Completions.New(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	if got := answer.Choices[0].Message.Content; !strings.Contains(got, "3 messages") {
		t.Errorf("answer %q, want one to 3 messages", got)
	}
}

func goCanceled(t *testing.T, s *clientsSetup, client openai.Client) {
	before := s.sim.Canceled()
	s.sim.Script("chat-first", "hang=3")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream := client.Chat.Completions.NewStreaming(ctx, ask("aichatbotapp", question), fresh())
	if !stream.Next() {
		t.Fatalf("no event before the endpoint fell silent: %v", stream.Err())
	}
	cancel()
	for stream.Next() {
	}
	if err := stream.Err(); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want a canceled context", err)
	}
	if err := eventually(canceledBy, func() (bool, error) { return s.sim.Canceled() == before+1, nil }); err != nil {
		t.Errorf("the endpoint's call goes on: %v", err)
	}
}

func goBroken(t *testing.T, s *clientsSetup, client openai.Client) {
	s.sim.Script("chat-first", "cut=5")
	stream := client.Chat.Completions.NewStreaming(t.Context(), ask("aichatbotapp", question), fresh())
	events := 0
	for stream.Next() {
		events++
	}
	if events == 0 || stream.Err() == nil {
		t.Errorf("a stream cut off after %d events ended with error %v, want events and an error", events, stream.Err())
	}
}

func goFallback(t *testing.T, s *clientsSetup, client openai.Client) {
	s.sim.Script("chat-first", "status=503")
	var resp *http.Response
	if _, err := client.Chat.Completions.New(t.Context(), ask("aichatbotapp", question), fresh(), option.WithResponseInto(&resp)); err != nil {
		t.Fatal(err)
	}
	if got := resp.Header.Get("X-Gateway-Endpoint"); got != "chat-second" {
		t.Errorf("answered by endpoint %q, want chat-second", got)
	}
}

func goErrors(t *testing.T, client openai.Client, broken string) {
	for name, test := range map[string]struct {
		request openai.ChatCompletionNewParams
		status  int
		code    string
	}{
		"unknown app":      {ask("no-such-app", question), 404, "notFound"},
		"content filter":   {ask("aichatbotapp", "violence-test"), 400, "content_filter"},
		"no messages":      {openai.ChatCompletionNewParams{Model: "aichatbotapp", Messages: []openai.ChatCompletionMessageParamUnion{}}, 400, "invalidPayload"},
		"broken endpoints": {ask("brokenapp-"+broken, question), 502, "backendFailure"},
	} {
		_, err := client.Chat.Completions.New(t.Context(), test.request)
		wantError(t, name, err, test.status, test.code)
		stream := client.Chat.Completions.NewStreaming(t.Context(), test.request)
		for stream.Next() {
			t.Errorf("%s: an event instead of an error", name)
		}
		wantError(t, name+", streamed", stream.Err(), test.status, test.code)
	}
}

func wantError(t *testing.T, name string, err error, status int, code string) *openai.Error {
	t.Helper()
	failed, ok := errors.AsType[*openai.Error](err)
	if !ok {
		t.Errorf("%s: error %v, want one of the API", name, err)
		return nil
	}
	if failed.StatusCode != status || failed.Code != code || failed.Message == "" || failed.Response.Header.Get("X-Request-Id") == "" {
		t.Errorf("%s: %d %s %q, x-request-id %q; want %d %s, a message and an id", name,
			failed.StatusCode, failed.Code, failed.Message, failed.Response.Header.Get("X-Request-Id"), status, code)
	}
	return failed
}

func goBusy(t *testing.T, s *clientsSetup, client openai.Client) {
	before := s.sim.Calls("busy")
	s.sim.Script("busy", "status=429; retry-after-ms=400")
	_, err := client.Chat.Completions.New(t.Context(), ask("busyapp", question), fresh())
	if failed := wantError(t, "first call", err, 429, "tooManyRequests"); failed != nil {
		h := failed.Response.Header
		ms, err := strconv.Atoi(h.Get("Retry-After-Ms"))
		if err != nil || ms < 1 || ms > 400 || h.Get("Retry-After") != "1" {
			t.Errorf("retry-after-ms %q, retry-after %q; want 1 to 400 and 1", h.Get("Retry-After-Ms"), h.Get("Retry-After"))
		}
	}
	// A client that may try again waits for as long as it is told, and no
	// request goes to the resting endpoint in the meantime.
	if _, err := client.Chat.Completions.New(t.Context(), ask("busyapp", question), fresh(), option.WithMaxRetries(2)); err != nil {
		t.Fatalf("with retries: %v", err)
	}
	if got := s.sim.Calls("busy") - before; got != 2 {
		t.Errorf("the endpoint was called %d times, want 2", got)
	}
}

func goEmbeddings(t *testing.T, client openai.Client) {
	made, err := client.Embeddings.New(t.Context(), openai.EmbeddingNewParams{
		Model: "vectorizedata", Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: []string{"a red car", "how to bake bread"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(made.Data) != 2 || len(made.Data[1].Embedding) != 1536 || made.Usage.PromptTokens == 0 {
		t.Errorf("%d embeddings, usage %+v", len(made.Data), made.Usage)
	}
}

func goCompletions(t *testing.T, client openai.Client) {
	request := openai.CompletionNewParams{
		Model: "aidocusearchapp", MaxTokens: param.NewOpt[int64](64),
		Prompt: openai.CompletionNewParamsPromptUnion{OfArrayOfStrings: []string{"One?", "Two?"}},
	}
	said, err := client.Completions.New(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	if len(said.Choices) != 2 || !strings.Contains(said.Choices[1].Text, "Two?") {
		t.Errorf("choices %+v", said.Choices)
	}
	stream := client.Completions.NewStreaming(t.Context(), request)
	texts := make([]string, 2)
	for stream.Next() {
		for _, choice := range stream.Current().Choices {
			texts[choice.Index] += choice.Text
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	if want := []string{said.Choices[0].Text, said.Choices[1].Text}; !slices.Equal(texts, want) {
		t.Errorf("streamed %q, want %q", texts, want)
	}
}

func goKeys(t *testing.T, connect func(key string) openai.Client) {
	stranger, narrow := connect("not-a-key"), connect(narrowKey)
	_, err := stranger.Chat.Completions.New(t.Context(), ask("aichatbotapp", question))
	wantError(t, "unknown key", err, 401, "unauthorized")
	_, err = narrow.Chat.Completions.New(t.Context(), ask("aichatbotapp", question))
	wantError(t, "another's app", err, 403, "forbidden")
	goEmbeddings(t, narrow)
}

func goModels(t *testing.T, client openai.Client) {
	page, err := client.Models.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, model := range page.Data {
		ids = append(ids, model.ID)
	}
	for _, want := range []string{"aichatbotapp", "vectorizedata", "openai-app"} {
		if !slices.Contains(ids, want) {
			t.Errorf("models %q lack %s", ids, want)
		}
	}
}
