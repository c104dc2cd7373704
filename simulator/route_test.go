package simulator

import (
	"strings"
	"testing"
)

func TestKeysAreCheckedInEachServicesHeader(t *testing.T) {
	s := New(Options{Keys: []string{"right", "other"}})
	for _, c := range []struct{ path, body, header, value string }{
		{chatPath, hello, "Api-Key", "right"},
		{chatPath, hello, "Authorization", "Bearer other"},
		{"/v1/chat/completions", hello, "Authorization", "Bearer right"},
		{"/v1/chat/completions", hello, "Api-Key", "right"},
		{"/openai/v1/chat/completions", hello, "Api-Key", "right"},
		{"/indexes/i/docs/search?api-version=1", `{"search":"a"}`, "Api-Key", "right"},
		{"/language/:analyze-text?api-version=1", `{"kind":"LanguageDetection","analysisInput":{"documents":[{"id":"1","text":"a"}]}}`, "Ocp-Apim-Subscription-Key", "right"},
		{"/translator/detect?api-version=3.0", `[{"Text":"a"}]`, "Ocp-Apim-Subscription-Key", "right"},
		{"/contentsafety/text:analyze?api-version=1", `{"text":"a"}`, "Ocp-Apim-Subscription-Key", "right"},
	} {
		none := []string{"Api-Key", "", "Authorization", "", "Ocp-Apim-Subscription-Key", ""}
		if w, _ := post(t, s, c.path, c.body, append(none, c.header, c.value)...); w.Code != 200 {
			t.Errorf("%s with %s: %d %s", c.path, c.header, w.Code, w.Body)
		}
		for _, headers := range [][]string{none, append(none, c.header, strings.Replace(c.value, "right", "wr0ng", 1)+"x")} {
			w, _ := post(t, s, c.path, c.body, headers...)
			if w.Code != 401 || member(w, "error.message") == "" || strings.Contains(w.Body.String(), "wr0ng") {
				t.Errorf("%s with %v: %d %s", c.path, headers, w.Code, w.Body)
			}
		}
	}
	if w, _ := post(t, s, chatPath, hello, "Api-Key", "k", "Authorization", ""); member(w, "error.code") != "401" {
		t.Errorf("Azure: %s", w.Body)
	}
	if w, _ := post(t, s, "/v1/chat/completions", hello); member(w, "error.code") != "invalid_api_key" {
		t.Errorf("OpenAI: %s", w.Body)
	}
	if w, _ := post(t, s, "/translate?api-version=3.0", `[]`); member(w, "error.code") != "401000" {
		t.Errorf("Translator: %s", w.Body)
	}
}

func TestWhatIsNotThereIs404(t *testing.T) {
	for _, c := range []struct{ method, path string }{
		{"POST", "/"},
		{"POST", "/openai"},
		{"POST", "/openai/deployments/d"},
		{"POST", "/openai/deployments/d/nothing?api-version=2024-10-21"},
		{"POST", "/openai/deployments//chat/completions?api-version=2024-10-21"},
		{"GET", chatPath},
		{"POST", "/openai/deployments/d/chat/completions"},
		{"POST", "/v1/nothing"},
		{"POST", "/v1/models"},
		{"GET", "/indexes/i/docs/search?api-version=1"},
		{"POST", "/indexes//docs/search?api-version=1"},
		{"POST", "/indexes/a/b/docs/search?api-version=1"},
		{"GET", "/translate?api-version=3.0"},
		{"POST", "/languages?api-version=3.0"},
		{"GET", "/language/:analyze-text"},
		{"POST", "/contentsafety/video:analyze"},
		{"POST", "/sim/nothing"},
	} {
		w, _ := do(t, New(Options{}), c.method, c.path, hello)
		if w.Code != 404 || w.Header().Get("Content-Type") != kindJSON || member(w, "error.message") == "" {
			t.Errorf("%s %s: %d %s", c.method, c.path, w.Code, w.Body)
		}
	}
	w, _ := post(t, New(Options{}), strings.Replace(chatPath, "2024-10-21", "latest", 1), hello)
	if w.Code != 400 || member(w, "error.message") != "API version not supported" {
		t.Errorf("strange version: %d %s", w.Code, w.Body)
	}
}

func TestAdminScriptsAndCountsFromAnotherProcess(t *testing.T) {
	s := New(Options{Keys: []string{"k"}})
	if w, _ := post(t, s, "/sim/script", `{"deployment":"d","faults":["status=503","",  "object"]}`); w.Code != 204 {
		t.Fatalf("script: %d %s", w.Code, w.Body)
	}
	for i, want := range []int{503, 200, 200} {
		if w, _ := post(t, s, chatPath, hello); w.Code != want {
			t.Errorf("call %d: %d, want %d", i, w.Code, want)
		}
	}
	w, _ := do(t, s, "GET", "/sim/stats", "")
	if member(w, "calls.d") != "3" || member(w, "open") != "0" || member(w, "canceled") != "0" {
		t.Errorf("stats: %s", w.Body)
	}
	for _, body := range []string{``, `{}`, `{"deployment":"d","faults":["nonsense"]}`, `{"deployment":"d","fault":"reset"}`} {
		if w, _ := post(t, s, "/sim/script", body); w.Code != 400 || member(w, "error.message") == "" {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
	if w, _ := post(t, s, "/sim/reset", ""); w.Code != 204 || s.Calls("d") != 0 {
		t.Errorf("reset: %d, %d calls", w.Code, s.Calls("d"))
	}
}

func TestModelsListsDeployments(t *testing.T) {
	s := New(Options{Deployments: map[string]Deployment{"b": {}, "a": {}}})
	w, _ := do(t, s, "GET", "/v1/models", "")
	if w.Code != 200 || member(w, "data.#") != "2" || member(w, "data.0.id") != "a" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
