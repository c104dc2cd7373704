package gateway_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"aigateway/config"
)

// endpointMetrics returns the counts of one endpoint.
func endpointMetrics(t *testing.T, body string, app, endpoint int) map[string]any {
	t.Helper()
	var m map[string]any
	raw := gjson.Get(body, fmt.Sprintf("applicationMetrics.%d.endpointMetrics.%d.metrics", app, endpoint)).Raw
	if err := json.Unmarshal([]byte(raw), &m); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return m
}

// traffic sends a known mix of requests and returns the tokens that the
// answers of chat's second endpoint named.
func traffic(t *testing.T, s *setup) (tokens int64) {
	t.Helper()
	count := func(status int, body string) {
		if status != http.StatusOK {
			t.Fatalf("%d %s", status, body)
		}
		tokens += gjson.Get(body, "usage.total_tokens").Int()
	}
	s.sim.Script("one", "status=500", "status=429; retry-after=3600")
	for range 2 { // 500, then 429: the second endpoint answers
		status, _, body := s.post("/lb/chat", goodChat)
		count(status, body)
	}
	streamed := strings.Replace(goodChat, "{", `{"stream":true,`, 1)
	status, _, shown := s.post("/lb/chat", strings.Replace(streamed, "{", `{"stream_options":{"include_usage":true},`, 1))
	events := strings.Split(strings.TrimSuffix(shown, "\n\ndata: [DONE]\n\n"), "\n\ndata: ")
	usage := gjson.Get(events[len(events)-1], "usage.total_tokens").Int()
	if status != http.StatusOK || usage == 0 {
		t.Fatalf("%d %s", status, shown)
	}
	status, _, hidden := s.post("/lb/chat", streamed) // the same answer, its usage kept back
	if status != http.StatusOK || strings.Contains(hidden, `"usage":{`) {
		t.Fatalf("%d %s", status, hidden)
	}
	tokens += 2 * usage
	if status, _, _ := s.post("/lb/chat", `{"messages":[{"role":"user","content":"violence-test"}]}`); status != http.StatusBadRequest {
		t.Fatalf("filtered: %d", status)
	}
	s.post("/lb/chat", "{")
	s.post("/lb/nobody", goodChat)
	return tokens
}

func metricsConfig() string { return applications(chatApp("chat", "", "one", "two")) }

func TestMetricsCountWhatHappened(t *testing.T) {
	s := newSetup(t, metricsConfig())
	tokens := traffic(t, s)

	status, h, body := s.get("/metrics")
	if status != http.StatusOK || !strings.HasPrefix(h.Get("Content-Type"), "application/json") || h.Get("Vary") == "" {
		t.Fatalf("%d %v", status, h)
	}
	for name, want := range map[string]any{
		"listenPort": "8000", "instanceName": "test-instance", "collectionIntervalMins": 60.0, "historyCount": 168.0,
		"successApiCalls": 4.0, "cachedApiCalls": 0.0, "failedApiCalls": 3.0, "totalApiCalls": 7.0,
		"endpointUri": "/api/v1/dev/apirouter/metrics", "status": "OK",
		"applicationMetrics.#": 1.0, "applicationMetrics.0.applicationId": "chat",
		"applicationMetrics.0.endpointMetrics.1.endpoint": strings.ReplaceAll(chatURI("two"), "{{sim}}", s.simURL),
		"applicationMetrics.0.endpointMetrics.1.priority": 1.0,
	} {
		if got := gjson.Get(body, name).Value(); got != want {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
	want := []map[string]any{
		{"apiCalls": 0.0, "failedApiCalls": 2.0, "throttledApiCalls": 1.0, "filteredApiCalls": 0.0, "totalApiCalls": 2.0, "kInferenceTokens": 0.0, "history": map[string]any{}},
		{"apiCalls": 4.0, "failedApiCalls": 1.0, "throttledApiCalls": 0.0, "filteredApiCalls": 1.0, "totalApiCalls": 5.0, "kInferenceTokens": float64(tokens) / 1000, "history": map[string]any{}},
	}
	for i := range want {
		if diff := cmp.Diff(want[i], endpointMetrics(t, body, 0, i)); diff != "" {
			t.Errorf("endpoint %d: %s", i, diff)
		}
	}
	if strings.Contains(body, "key-of-") {
		t.Error("the metrics show a key")
	}
}

func TestMetricsHistoryHoldsFinishedWindows(t *testing.T) {
	s := newSetup(t, metricsConfig())
	tokens := traffic(t, s)
	s.advance(time.Hour)
	_, _, body := s.get("/metrics")
	m := endpointMetrics(t, body, 0, 1)
	history, ok := m["history"].(map[string]any)
	if !ok || len(history) != 1 || m["apiCalls"] != 0.0 {
		t.Fatalf("%v", m)
	}
	for _, w := range history {
		raw, err := json.Marshal(w)
		if err != nil {
			t.Fatal(err)
		}
		k := float64(tokens) / 1000
		for name, want := range map[string]float64{
			"apiCalls": 4, "failedApiCalls": 1, "filteredApiCalls": 1, "totalApiCalls": 5,
			"throughput.kTokensPerWindow": k, "throughput.requestsPerWindow": k * 6, "throughput.avgTokensPerCall": float64(tokens) / 4,
		} {
			if got := gjson.GetBytes(raw, "collectedMetrics."+name).Float(); got != want {
				t.Errorf("%s = %v, want %v", name, got, want)
			}
		}
	}
}

func TestPrometheusCountsTheSame(t *testing.T) {
	s := newSetup(t, metricsConfig())
	traffic(t, s)
	for _, c := range []struct{ path, accept, kind string }{
		{"/metrics?format=prometheus", "", "text/plain"},
		{"/metrics", "text/plain;version=0.0.4", "text/plain"},
		{"/api/v1/dev/aigateway/metrics/", "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", "application/openmetrics-text"},
	} {
		status, h, body := s.get(c.path, "Accept", c.accept)
		if status != http.StatusOK || !strings.HasPrefix(h.Get("Content-Type"), c.kind) {
			t.Fatalf("%s: %d %q", c.path, status, h.Get("Content-Type"))
		}
		lines := strings.Split(body, "\n")
		for _, want := range []string{
			`gateway_attempts_total{app="chat",endpoint="two",outcome="ok"} 4`,
			`gateway_attempts_total{app="chat",endpoint="one",outcome="throttled"} 1`,
			`gateway_endpoint_resting{app="chat",endpoint="one"} 1`,
			`gateway_endpoint_resting{app="chat",endpoint="two"} 0`,
			`gateway_endpoint_in_flight{app="chat",endpoint="two"} 0`,
			`gateway_endpoint_rpm_used{app="chat",endpoint="two"} 0`,
			`gateway_in_flight_requests 0`,
			`gateway_config_generation 1`,
			`gateway_config_reloads_total{result="ok"} 1`,
		} {
			if !slices.Contains(lines, want) && !slices.Contains(lines, want+".0") {
				t.Errorf("%s lacks %s; has\n%s", c.path, want, grep(lines, want))
			}
		}
		if strings.Contains(body, "key-of-") {
			t.Error("the metrics show a key")
		}
	}
}

// grep returns the lines of the same metric as want.
func grep(lines []string, want string) string {
	name, _, _ := strings.Cut(want, "{")
	return strings.Join(slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return !strings.HasPrefix(l, name) }), "\n")
}

func TestMetricsClassifyTheOtherServices(t *testing.T) {
	const vector, text = `"vectorQueries":[{"kind":"vector","vector":[0.1],"fields":"v"}]`, `"vectorQueries":[{"kind":"text","text":"cats"}]`
	semantic := `"queryType":"semantic","semanticConfiguration":"c"`
	s := newSetup(t, azureServices())
	for _, c := range []struct {
		path, body, name string
		app              int
	}{
		{"/lb/search-app", `{"search":"x"}`, "keywordApiCalls", 0},
		{"/lb/search-app", `{"search":"x",` + vector + `}`, "hybridApiCalls", 0},
		{"/lb/search-app", `{` + vector + `}`, "vectorApiCalls", 0},
		{"/lb/search-app", `{"search":"x",` + semantic + `}`, "keywordSemanticApiCalls", 0},
		{"/lb/search-app", `{"search":"x",` + semantic + `,` + vector + `}`, "hybridSemanticApiCalls", 0},
		{"/lb/search-app", `{` + text + `}`, "intVectorApiCalls", 0},
		{"/lb/search-app", `{"search":"x",` + text + `}`, "intKeywordVectorApiCalls", 0},
		{"/lb/search-app", `{"search":"x",` + semantic + `,` + text + `}`, "intKeywordVectorSemanticApiCalls", 0},
		{"/lb/language-app", `{"kind":"LanguageDetection",` + analysis, "languageDetectionApiCalls", 1},
		{"/lb/language-app", `{"kind":"EntityRecognition",` + analysis, "namedEntityRecognitionApiCalls", 1},
		{"/lb/language-app", `{"kind":"KeyPhraseExtraction",` + analysis, "keyPhraseExtractionApiCalls", 1},
		{"/lb/language-app", `{"kind":"EntityLinking",` + analysis, "entityLinkingApiCalls", 1},
		{"/lb/language-app", `{"kind":"SentimentAnalysis",` + analysis, "sentimentAnalysisApiCalls", 1},
		{"/lb/language-app", `{"kind":"PiiEntityRecognition",` + analysis, "piiEntityRecognitionApiCalls", 1},
		{"/lb/translate-app?kind=translate&api-version=3.0&to=de", `[{"Text":"cat"}]`, "translateApiCalls", 2},
		{"/lb/translate-app?kind=detect&api-version=3.0", `[{"Text":"cat"}]`, "detectApiCalls", 2},
		{"/lb/translate-app?kind=breaksentence&api-version=3.0", `[{"Text":"cat"}]`, "breakSentenceApiCalls", 2},
		{"/lb/translate-app?kind=dictionary/lookup&api-version=3.0&from=en&to=de", `[{"Text":"cat"}]`, "dictionaryApiCalls", 2},
		{"/lb/translate-app?kind=transliterate&api-version=3.0&language=ja&fromScript=Jpan&toScript=Latn", `[{"Text":"cat"}]`, "transliterateApiCalls", 2},
		{"/lb/translate-app?kind=languages&api-version=3.0", ``, "languageApiCalls", 2},
		{"/lb/text-safety", `{"text":"hello"}`, "textApiCalls", 4},
		{"/lb/image-safety", `{"image":{"content":"AAAA"}}`, "imageApiCalls", 5},
	} {
		_, _, before := s.get("/metrics")
		if status, _, body := s.post(c.path, c.body); status != http.StatusOK {
			t.Errorf("%s %s: %d %s", c.path, c.body, status, body)
			continue
		}
		_, _, after := s.get("/metrics")
		was, is := endpointMetrics(t, before, c.app, 0), endpointMetrics(t, after, c.app, 0)
		for name, n := range is {
			old, counted := was[name].(float64)
			want := old
			if name == c.name || name == "apiCalls" || name == "totalApiCalls" {
				want++
			}
			if counted && n != want {
				t.Errorf("%s %s: %s = %v, want %v", c.path, c.body, name, n, want)
			}
		}
		if is[c.name] == nil {
			t.Errorf("no %s in %v", c.name, is)
		}
	}
}

func TestInstanceInfoSaysWhatIsInForce(t *testing.T) {
	file := applications(
		chatApp("chat", `"description":"Chat","searchAiApp":"search-app","cacheSettings":{"useCache":true,"searchDistance":0.9,"searchContent":{"term":"messages","includeRoles":"user"},"entryExpiry":"2 minutes"},
			"memorySettings":{"useMemory":true,"msgCount":5,"entryExpiry":"1 hour"},`, "one", "two"),
		`{"appId":"search-app","appType":"azure_search","endpoints":[{"apikey":"secret-search-key","rpm":9,"uri":"{{sim}}/indexes/i/docs/search?api-version=2024-07-01&api-key=key-in-the-query"}]}`)
	s := newSetup(t, file, func(set *config.Settings) {
		set.UseCache, set.VectorApp, set.Container.PodName = true, "vectorizedata", "pod-7"
	})
	status, _, body := s.get("/api/v1/dev/apirouter/instanceinfo")
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	uri := strings.ReplaceAll(chatURI("one"), "{{sim}}", s.simURL)
	for name, want := range map[string]any{
		"serverName": "test-instance", "serverVersion": "test",
		"serverConfig.host": "localhost", "serverConfig.listenPort": 8000.0, "serverConfig.environment": "dev",
		"serverConfig.persistPrompts": "false", "serverConfig.collectInterval": 60.0, "serverConfig.collectHistoryCount": 168.0,
		"serverConfig.configFile":    "./api-router-config.json",
		"cacheSettings.cacheEnabled": true, "cacheSettings.embeddAiApp": "vectorizedata", "cacheSettings.searchEngine": "Postgresql/pgvector",
		"cacheSettings.cacheInvalidationSchedule": "*/45 * * * *",
		"memorySettings.memoryEnabled":            "false", "memorySettings.memoryInvalidationSchedule": "*/10 * * * *",
		"aiApplications.#":             2.0,
		"aiApplications.0.description": "Chat", "aiApplications.0.type": "azure_oai", "aiApplications.0.searchAiApp": "search-app",
		"aiApplications.0.applicationId":                            "chat",
		"aiApplications.0.cacheSettings.useCache":                   true,
		"aiApplications.0.cacheSettings.searchType":                 "CS",
		"aiApplications.0.cacheSettings.searchDistance":             0.9,
		"aiApplications.0.cacheSettings.searchContent.term":         "messages",
		"aiApplications.0.cacheSettings.searchContent.includeRoles": "user",
		"aiApplications.0.cacheSettings.entryExpiry":                "2 minutes",
		"aiApplications.0.memorySettings.useMemory":                 true,
		"aiApplications.0.memorySettings.msgCount":                  5.0,
		"aiApplications.0.memorySettings.entryExpiry":               "1 hour",
		"aiApplications.0.endpoints.0.uri":                          uri,
		"aiApplications.0.endpoints.0.rpm":                          nil,
		"aiApplications.0.endpoints.1.id":                           "two",
		"aiApplications.0.endpoints.1.priority":                     1.0,
		"aiApplications.1.cacheSettings.useCache":                   false,
		"aiApplications.1.memorySettings":                           nil,
		"aiApplications.1.searchAiApp":                              nil,
		"aiApplications.1.endpoints.0.rpm":                          9.0,
		"containerInfo.podName":                                     "pod-7",
		"apiGatewayUri":                                             "/api/v1/dev/apirouter",
		"endpointUri":                                               "/api/v1/dev/apirouter/instanceinfo",
		"status":                                                    "OK",
		"configGeneration":                                          1.0,
	} {
		if got := gjson.Get(body, name).Value(); got != want {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
	for _, name := range []string{"serverStartDate", "goVersion", "configHash"} {
		if gjson.Get(body, name).Str == "" {
			t.Errorf("no %s", name)
		}
	}
	for _, secret := range append(s.source.secrets(), adminKey, "key-in-the-query") {
		if strings.Contains(body, secret) {
			t.Errorf("the page shows %q", secret)
		}
	}
	_, _, metrics := s.get("/metrics")
	if strings.Contains(metrics, "key-in-the-query") {
		t.Error("the metrics show a key of a URI's query")
	}
}
