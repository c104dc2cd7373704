package gateway_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"aigateway/simulator"
)

// azureServices are applications of the services beside OpenAI.
func azureServices() string {
	app := func(id, kind string, uris ...string) string {
		endpoints := make([]string, len(uris))
		for i, uri := range uris {
			endpoints[i] = `{"apikey":"key-of-` + id + `","uri":"{{sim}}` + uri + `"}`
		}
		return `{"appId":"` + id + `","appType":"` + kind + `","endpoints":[` + strings.Join(endpoints, ",") + `]}`
	}
	return applications(
		app("search-app", "azure_search", "/indexes/books/docs/search?api-version=2024-07-01"),
		app("language-app", "azure_language", "/language/:analyze-text?api-version=2023-04-01", "/language/:analyze-text?api-version=2022-05-01"),
		app("translate-app", "azure_translator", "/translator"),
		app("translate-root", "azure_translator", "/"),
		app("text-safety", "azure_content_safety", "/contentsafety/text:analyze?api-version=2024-09-01"),
		app("image-safety", "azure_content_safety", "/contentsafety/image:analyze?api-version=2024-09-01"),
	)
}

const analysis = `"analysisInput":{"documents":[{"id":"1","language":"en","text":"We went to Paris. ` + promptMarker + `"}]}}`

func TestOtherServicesAreCalledAsTheyWantIt(t *testing.T) {
	s := newSetup(t, azureServices())
	for _, c := range []struct {
		name, path, body string
		method, calls    string // what the endpoint sees
		query            string
		key              string
		want             string // in the answer
	}{
		{"search", "/lb/search-app", `{"search":"gateways"}`, "POST", "/indexes/books/docs/search", "api-version=2024-07-01", "Api-Key", "Simulated document"},
		{"search with a query", "/lb/search-app?api-version=1999&x=y", `{"search":"gateways"}`, "POST", "/indexes/books/docs/search", "api-version=2024-07-01", "Api-Key", "Simulated document"},
		{"language", "/lb/language-app", `{"kind":"LanguageDetection",` + analysis, "POST", "/language/:analyze-text", "api-version=2023-04-01", "Ocp-Apim-Subscription-Key", "LanguageDetectionResults"},
		{"text safety", "/lb/text-safety", `{"text":"hello"}`, "POST", "/contentsafety/text:analyze", "api-version=2024-09-01", "Ocp-Apim-Subscription-Key", "categoriesAnalysis"},
		{"image safety", "/lb/image-safety", `{"image":{"content":"AAAA"}}`, "POST", "/contentsafety/image:analyze", "api-version=2024-09-01", "Ocp-Apim-Subscription-Key", "categoriesAnalysis"},
		{"translate", "/lb/translate-app?kind=translate&api-version=3.0&to=de&to=fr&from=en", `[{"Text":"cat"}]`, "POST", "/translator/translate", "api-version=3.0&from=en&to=de&to=fr", "Ocp-Apim-Subscription-Key", "[fr] cat"},
		{"translate at the root", "/lb/translate-root?kind=translate&api-version=3.0&to=de", `[{"Text":"cat"}]`, "POST", "/translate", "api-version=3.0&to=de", "Ocp-Apim-Subscription-Key", "[de] cat"},
		{"kind in upper case", "/lb/translate-app?kind=Translate&api-version=3.0&to=de", `[{"Text":"cat"}]`, "POST", "/translator/translate", "api-version=3.0&to=de", "Ocp-Apim-Subscription-Key", "[de] cat"},
		{"transliterate", "/lb/translate-app?kind=transliterate&api-version=3.0&language=ja&fromScript=Jpan&toScript=Latn", `[{"Text":"猫"}]`, "POST", "/translator/transliterate", "api-version=3.0&fromScript=Jpan&language=ja&toScript=Latn", "Ocp-Apim-Subscription-Key", "Latn"},
		{"detect", "/lb/translate-app?kind=detect&api-version=3.0", `[{"Text":"cat"}]`, "POST", "/translator/detect", "api-version=3.0", "Ocp-Apim-Subscription-Key", "isTranslationSupported"},
		{"break sentence", "/lb/translate-app?kind=breaksentence&api-version=3.0", `[{"Text":"cat"}]`, "POST", "/translator/breaksentence", "api-version=3.0", "Ocp-Apim-Subscription-Key", "sentLen"},
		{"dictionary", "/lb/translate-app?kind=dictionary/lookup&api-version=3.0&from=en&to=de", `[{"Text":"cat"}]`, "POST", "/translator/dictionary/lookup", "api-version=3.0&from=en&to=de", "Ocp-Apim-Subscription-Key", "normalizedSource"},
		{"languages", "/lb/translate-app?kind=languages&api-version=3.0", ``, "GET", "/translator/languages", "api-version=3.0", "Ocp-Apim-Subscription-Key", "German"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.sim.Reset()
			status, _, body := s.post(c.path, c.body, "Ocp-Apim-Subscription-Region", "eastus",
				"Ocp-Apim-Subscription-Key", "the callers own", "api-key", "the callers own")
			if status != http.StatusOK || !strings.Contains(body, c.want) {
				t.Fatalf("%d %.300s", status, body)
			}
			seen := s.sim.Requests()[0]
			if seen.Method != c.method || seen.Path != c.calls {
				t.Errorf("called %s %s, want %s %s", seen.Method, seen.Path, c.method, c.calls)
			}
			want, err := url.ParseQuery(c.query)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, seen.Query); diff != "" {
				t.Errorf("query: %s", diff)
			}
			app, _, _ := strings.Cut(strings.TrimPrefix(c.path, "/lb/"), "?")
			for _, name := range []string{"Api-Key", "Ocp-Apim-Subscription-Key", "Authorization"} {
				want := ""
				if name == c.key {
					want = "key-of-" + app
				}
				if got := seen.Header.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			if strings.HasPrefix(app, "translate") && seen.Header.Get("Ocp-Apim-Subscription-Region") != "eastus" {
				t.Error("the region did not travel")
			}
			if c.method == "POST" && string(seen.Body) != c.body {
				t.Errorf("body %s, want %s", seen.Body, c.body)
			}
		})
	}
}

func TestOtherServicesRefuseBadRequests(t *testing.T) {
	s := newSetup(t, azureServices())
	for _, c := range []struct{ path, body string }{
		{"/lb/search-app", ""},
		{"/lb/search-app", "{"},
		{"/lb/language-app", "kind"},
		{"/lb/translate-app", `[{"Text":"cat"}]`},
		{"/lb/translate-app?kind=", `[{"Text":"cat"}]`},
		{"/lb/translate-app?kind=../secret&api-version=3.0", `[{"Text":"cat"}]`},
		{"/lb/translate-app?kind=translate&api-version=3.0&to=de", `[`},
	} {
		status, h, body := s.post(c.path, c.body)
		wantError(t, status, h, body, http.StatusBadRequest, "invalidPayload")
	}
	if n := len(s.sim.Requests()); n != 0 {
		t.Errorf("%d calls reached an endpoint", n)
	}
}

func TestOtherServicesFailOverToo(t *testing.T) {
	for _, fault := range []string{"status=429; retry-after=3600", "status=503", "reset", "html"} {
		t.Run(fault, func(t *testing.T) {
			s := newSetup(t, azureServices())
			s.sim.Script("language", simulator.Fault(fault))
			status, h, body := s.post("/lb/language-app", `{"kind":"LanguageDetection",`+analysis)
			if status != http.StatusOK || h.Get("X-Gateway-Endpoint") != "1" || h.Get("X-Gateway-Attempts") != "2" {
				t.Errorf("%d %v %.200s", status, h, body)
			}
			if got := s.sim.Requests()[1].Query.Get("api-version"); got != "2022-05-01" {
				t.Errorf("second call to version %q", got)
			}
		})
	}
}

func TestSearchKeyIsLentToRequestsOnYourData(t *testing.T) {
	s := newSetup(t, applications(
		chatApp("docs", `"searchAiApp":"search-app",`, "one", "two"),
		chatApp("plain", "", "one"),
		`{"appId":"search-app","appType":"azure_search","endpoints":[{"apikey":"secret-search-key","uri":"{{sim}}/indexes/i/docs/search?api-version=2024-07-01"}]}`,
	))
	source := func(key string) string {
		return `{"type":"azure_search","parameters":{"endpoint":"https://x","index_name":"i","authentication":{"type":"api_key","key":"` + key + `"}}}`
	}
	request := func(sources string) string {
		return `{"data_sources":` + sources + `,"messages":[{"role":"user","content":"` + promptMarker + `"}], "top_p":1.0}`
	}
	for _, c := range []struct{ name, app, sent, want string }{
		{"the application's id", "docs", request("[" + source("search-app") + "]"), request("[" + source("secret-search-key") + "]")},
		{
			"streamed", "docs", strings.Replace(request("["+source("search-app")+"]"), "{", `{"stream":true,"stream_options":{"include_usage":true},`, 1),
			strings.Replace(request("["+source("secret-search-key")+"]"), "{", `{"stream":true,"stream_options":{"include_usage":true},`, 1),
		},
		{"another key", "docs", request("[" + source("own-key") + "]"), request("[" + source("own-key") + "]")},
		{"id in other case", "docs", request("[" + source("SEARCH-APP") + "]"), request("[" + source("SEARCH-APP") + "]")},
		{"an application without", "plain", request("[" + source("search-app") + "]"), request("[" + source("search-app") + "]")},
		{"two sources", "docs", request("[" + source("own-key") + "," + source("search-app") + "]"), request("[" + source("own-key") + "," + source("secret-search-key") + "]")},
		{"another shape", "docs", request(`[{"type":"x","parameters":{"authentication":"search-app"}},5,null]`), request(`[{"type":"x","parameters":{"authentication":"search-app"}},5,null]`)},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.sim.Reset()
			_, _, body := s.post("/lb/"+c.app, c.sent)
			if strings.Contains(body, "secret-search-key") {
				t.Error("the answer shows the key")
			}
			seen := s.sim.Requests()
			if len(seen) == 0 || string(seen[0].Body) != c.want {
				t.Errorf("the endpoint got %q, want %s", seen, c.want)
			}
		})
	}
	// Every attempt gets it, and no error shows it.
	s.sim.Reset()
	s.sim.Script("one", "status=500")
	s.sim.Script("two", "status=500")
	status, h, body := s.post("/lb/docs", request("["+source("search-app")+"]"))
	wantError(t, status, h, body, http.StatusBadGateway, "backendFailure")
	for _, seen := range s.sim.Requests() {
		if !strings.Contains(string(seen.Body), "secret-search-key") {
			t.Errorf("an attempt without the key: %s", seen.Body)
		}
	}
	if strings.Contains(body, "secret-search-key") {
		t.Error("the error shows the key")
	}
}
