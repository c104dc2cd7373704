package gateway_test

import (
	"net/http"
	"strings"
	"testing"
)

func TestModelIsReplacedForTheEndpoint(t *testing.T) {
	s := newSetup(t, applications(`{"appId":"chat","appType":"openai","endpoints":[
		{"id":"a","apikey":"key-of-one","uri":"{{sim}}/v1","model":"small"},
		{"id":"b","apikey":"key-of-two","uri":"{{sim}}/v1"}]}`))
	s.sim.Script("small", "status=500")
	sent := `{"model":"chat", "messages":[{"role":"user","content":"hello"}], "seed":1.50}`
	status, h, body := s.post("/lb/v1/chat/completions", sent)
	if status != http.StatusOK || h.Get("X-Gateway-Endpoint") != "b" {
		t.Fatalf("%d %s", status, body)
	}
	seen := s.sim.Requests()
	if got, want := string(seen[0].Body), strings.Replace(sent, `"chat"`, `"small"`, 1); got != want {
		t.Errorf("first endpoint got %s, want %s", got, want)
	}
	if got := string(seen[1].Body); got != sent {
		t.Errorf("second endpoint got %s, want %s", got, sent)
	}
	if path := seen[0].Path; path != "/v1/chat/completions" {
		t.Errorf("path %s", path)
	}
	if key := seen[0].Header.Get("Authorization"); key != "Bearer key-of-one" || seen[0].Header.Get("Api-Key") != "" {
		t.Errorf("authorization %q", key)
	}
}

func TestModelsOutsideTheAllowedAreRefused(t *testing.T) {
	s := newSetup(t, applications(chatApp("chat", `"allowedModels":["gpt-4o","gpt-4o-mini"],`, "one")))
	for _, c := range []struct {
		path, model string
		status      int
	}{
		{"/lb/chat", `"model":"gpt-4o",`, 200},
		{"/lb/chat", `"model":"gpt-4o-mini",`, 200},
		{"/lb/chat", ``, 200},
		{"/lb/chat", `"model":"",`, 200},
		{"/lb/chat", `"model":"gpt-5",`, 400},
		{"/lb/chat", `"model":"GPT-4O",`, 400},
		{"/lb/chat/embeddings", `"model":"gpt-5",`, 400},
		{"/lb/v1/chat/completions", `"model":"chat",`, 200},
	} {
		status, h, body := s.post(c.path, `{`+c.model+userMessage+`}`)
		if status != c.status {
			t.Errorf("%s %s: %d %.200s", c.path, c.model, status, body)
		}
		if status == 400 {
			if m := wantError(t, status, h, body, 400, "invalidPayload"); !strings.Contains(m, "gpt-4o-mini") {
				t.Errorf("message %q", m)
			}
		}
	}
}

func TestUsageOfStreamsIsAskedOnlyWhereItIsKnown(t *testing.T) {
	for version, want := range map[string]bool{
		"2024-10-21": true, "2024-09-01-preview": true, "2025-01-01-preview": true,
		"2024-08-01-preview": false, "2024-06-01": false, "2023-05-15": false,
	} {
		t.Run(version, func(t *testing.T) {
			s := newSetup(t, strings.ReplaceAll(applications(chatApp("chat", "", "one")), "2024-10-21", version))
			status, _, body := s.post("/lb/chat", strings.Replace(goodChat, "{", `{"stream":true,`, 1))
			if status != http.StatusOK || !strings.HasSuffix(body, "data: [DONE]\n\n") || strings.Contains(body, `"usage":{`) {
				t.Errorf("%d %s", status, body)
			}
			if got := strings.Contains(string(s.sim.Requests()[0].Body), "stream_options"); got != want {
				t.Errorf("stream_options sent: %v", got)
			}
		})
	}
}
