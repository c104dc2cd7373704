package gateway_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"aigateway/config"
)

// wantError checks an error of contract section 5 and returns its message.
func wantError(t *testing.T, status int, header http.Header, body string, wantStatus int, wantCode string) string {
	t.Helper()
	if status != wantStatus {
		t.Fatalf("status %d, want %d: %.300s", status, wantStatus, body)
	}
	if kind := header.Get("Content-Type"); kind != "application/json" {
		t.Errorf("content-type %q", kind)
	}
	if header.Get("X-Request-Id") == "" {
		t.Error("no x-request-id")
	}
	var e struct {
		Error map[string]json.RawMessage
	}
	if err := json.Unmarshal([]byte(body), &e); err != nil {
		t.Fatalf("error body: %v: %.300s", err, body)
	}
	for _, name := range []string{"target", "message", "code", "type", "param"} {
		if e.Error[name] == nil {
			t.Errorf("error body lacks %s: %s", name, body)
		}
	}
	var code, message string
	if json.Unmarshal(e.Error["code"], &code) != nil || code != wantCode {
		t.Errorf("code %s, want %q", e.Error["code"], wantCode)
	}
	if json.Unmarshal(e.Error["message"], &message) != nil || message == "" {
		t.Errorf("message %s", e.Error["message"])
	}
	for _, leak := range []string{"127.0.0.1", "goroutine", ".go:", "key-of-"} {
		if strings.Contains(body, leak) {
			t.Errorf("error shows %q: %s", leak, body)
		}
	}
	return message
}

func TestInferenceIsReachedByEveryRoute(t *testing.T) {
	s := newSetup(t, applications(chatApp("Chat-App", "", "one")))
	named := strings.Replace(goodChat, "{", `{"model":"Chat-App",`, 1)
	for _, base := range []string{"", "/api/v1/dev/apirouter", "/api/v1/dev/aigateway", "/API/V1/Dev/ApiRouter", "/api/v1/DEV/AIGATEWAY"} {
		for _, route := range []string{
			"/lb/Chat-App", "/lb/chat-app", "/LB/CHAT-APP", "/lb/Chat-App/",
			"/lb/Chat-App/chat/completions", "/lb/Chat-App/chat/completions/", "/lb/Chat-App/anything",
			"/lb/openai/deployments/Chat-App/chat/completions", "/Lb/OpenAI/Deployments/chat-app/chat/completions",
			"/lb/deployments/Chat-App/chat/completions", "/LB/deployments/Chat-App/chat/completions/",
			"/lb/openai/v1/chat/completions", "/lb/v1/chat/completions", "/lb/V1/chat/completions/", "/LB/OPENAI/V1/chat/completions",
		} {
			for _, query := range []string{"", "?api-version=2024-02-01", "?use_cache=false"} {
				path := base + route + query
				status, h, body := s.post(path, named)
				if status != http.StatusOK || !strings.Contains(body, `"chat.completion"`) {
					t.Errorf("POST %s: %d %.200s", path, status, body)
				}
				if h.Get("X-Gateway-Endpoint") != "one" || h.Get("X-Gateway-Attempts") != "1" {
					t.Errorf("POST %s: endpoint %q, attempts %q", path, h.Get("X-Gateway-Endpoint"), h.Get("X-Gateway-Attempts"))
				}
			}
		}
	}
	seen := s.sim.Requests()
	if last := seen[len(seen)-1]; last.Query.Encode() != "api-version=2024-10-21" || last.Path != "/openai/deployments/one/chat/completions" {
		t.Errorf("the endpoint was not called as written: %s?%s", last.Path, last.Query.Encode())
	}
}

func TestPagesAreReachedByEveryRoute(t *testing.T) {
	s := newSetup(t, applications(chatApp("chat", "", "one")))
	for _, base := range []string{"", "/api/v1/dev/apirouter", "/api/v1/dev/aigateway", "/Api/V1/DEV/aiGateway"} {
		for route, want := range map[string]string{
			"/instanceinfo": `"serverName"`, "/InstanceInfo/": `"serverName"`,
			"/metrics": `"applicationMetrics"`, "/METRICS/": `"applicationMetrics"`,
			"/healthz": `"OK"`, "/HealthZ/": `"OK"`, "/readyz": `"configuration"`,
			"/lb/v1/models": `"chat"`, "/lb/openai/v1/models/": `"chat"`, "/LB/V1/Models": `"chat"`,
		} {
			status, h, body := s.get(base + route)
			if status != http.StatusOK || !strings.Contains(body, want) {
				t.Errorf("GET %s: %d %.200s", base+route, status, body)
			}
			if h.Get("X-Request-Id") == "" || !strings.HasPrefix(h.Get("X-Gateway-Config"), "1-") {
				t.Errorf("GET %s: header %v", base+route, h)
			}
			status, h, head := s.do(http.MethodHead, base+route, "")
			if status != http.StatusOK || head != "" || h.Get("X-Request-Id") == "" {
				t.Errorf("HEAD %s: %d %q", base+route, status, head)
			}
		}
	}
}

func TestEnvironmentIsASegmentOfTheBase(t *testing.T) {
	s := newSetup(t, applications(chatApp("chat", "", "one")), func(set *config.Settings) { set.Env = "Prod" })
	if status, _, _ := s.post("/api/v1/prod/apirouter/lb/chat", goodChat); status != http.StatusOK {
		t.Errorf("base of the environment: %d", status)
	}
	for _, path := range []string{"/api/v1/dev/apirouter/lb/chat", "/api/v1/prod/apirouterlb/chat", "/api/v1/prod/apirouterx/lb/chat"} {
		status, h, body := s.post(path, goodChat)
		wantError(t, status, h, body, http.StatusNotFound, "notFound")
	}
}

func TestUnknownPathsAndMethodsAreJSONErrors(t *testing.T) {
	s := newSetup(t, applications(chatApp("chat", "", "one")))
	for _, c := range []struct {
		method, path string
		status       int
		code, allow  string
	}{
		{"GET", "/", 404, "notFound", ""},
		{"GET", "/nothing", 404, "notFound", ""},
		{"POST", "/lb", 404, "notFound", ""},
		{"POST", "/lb/", 404, "notFound", ""},
		{"POST", "/lb//", 404, "notFound", ""},
		{"POST", "/lb/nobody", 404, "notFound", ""},
		{"POST", "/lb/nobody/chat/completions", 404, "notFound", ""},
		{"POST", "/lb/openai/deployments/nobody/chat/completions", 404, "notFound", ""},
		{"POST", "/lb/%00%01%7f", 404, "notFound", ""},
		{"POST", "/lb/%ff%fe", 404, "notFound", ""},
		{"POST", "/lb/%3Cscript%3E", 404, "notFound", ""},
		{"POST", "/lb/" + strings.Repeat("a", 5000), 404, "notFound", ""},
		{"GET", "/api/v1/dev/apirouter", 404, "notFound", ""},
		{"GET", "/api/v1/dev/apirouter/", 404, "notFound", ""},
		{"GET", "/../../etc/passwd", 404, "notFound", ""},
		{"GET", "/lb/chat", 405, "methodNotAllowed", "POST"},
		{"HEAD", "/lb/chat", 405, "methodNotAllowed", "POST"},
		{"DELETE", "/lb/chat/chat/completions", 405, "methodNotAllowed", "POST"},
		{"PUT", "/lb/openai/deployments/chat/chat/completions", 405, "methodNotAllowed", "POST"},
		{"POST", "/metrics", 405, "methodNotAllowed", "GET"},
		{"POST", "/healthz", 405, "methodNotAllowed", "GET"},
		{"BREW", "/instanceinfo", 405, "methodNotAllowed", "GET"},
	} {
		t.Run(c.method+" "+c.path[:min(len(c.path), 60)], func(t *testing.T) {
			body := ""
			if c.method == "POST" {
				body = goodChat
			}
			status, h, answer := s.do(c.method, c.path, body)
			if c.method == "HEAD" {
				if status != c.status || answer != "" {
					t.Errorf("%d %q", status, answer)
				}
			} else {
				wantError(t, status, h, answer, c.status, c.code)
			}
			if !strings.Contains(h.Get("Allow"), c.allow) {
				t.Errorf("allow %q, want %q", h.Get("Allow"), c.allow)
			}
		})
	}
	if n := s.sim.Calls("one"); n != 0 {
		t.Errorf("%d calls reached the endpoint", n)
	}
}

func TestOptionsNamesTheMethods(t *testing.T) {
	s := newSetup(t, applications(chatApp("chat", "", "one")))
	for path, want := range map[string]string{"/lb/chat": "POST", "/metrics": "GET", "/api/v1/dev/apirouter/lb/chat/": "POST"} {
		status, h, body := s.do(http.MethodOptions, path, "")
		if status != http.StatusNoContent || body != "" || !strings.Contains(h.Get("Allow"), want) || !strings.Contains(h.Get("Allow"), "OPTIONS") {
			t.Errorf("OPTIONS %s: %d, allow %q, %q", path, status, h.Get("Allow"), body)
		}
	}
}

func TestCORS(t *testing.T) {
	const origin = "https://shop.example.com"
	withOrigins := func(list string) string {
		return `{"server":{"cors":{"allowedOrigins":` + list + `}},"applications":[` + chatApp("chat", "", "one") + `]}`
	}
	for _, c := range []struct{ name, config, want string }{
		{"any origin is the default", applications(chatApp("chat", "", "one")), "*"},
		{"a listed origin", withOrigins(`["https://shop.example.com"]`), origin},
		{"a subdomain", withOrigins(`["https://*.example.com"]`), origin},
		{"another origin", withOrigins(`["https://other.example.org"]`), ""},
		{"none", withOrigins(`[]`), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSetup(t, c.config)
			status, h, body := s.do(http.MethodOptions, "/lb/chat", "", "Origin", origin,
				"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "api-key,content-type,x-thread-id")
			if status != http.StatusNoContent || body != "" || h.Get("Access-Control-Allow-Origin") != c.want {
				t.Errorf("preflight: %d %q, allow-origin %q, want %q", status, body, h.Get("Access-Control-Allow-Origin"), c.want)
			}
			if allowed := h.Get("Access-Control-Allow-Headers"); (c.want != "") != strings.Contains(strings.ToLower(allowed), "api-key") {
				t.Errorf("preflight: allow-headers %q", allowed)
			}
			if h.Get("X-Request-Id") == "" {
				t.Error("preflight without x-request-id")
			}
			for _, request := range []string{goodChat, "not JSON"} {
				_, h, _ = s.post("/lb/chat", request, "Origin", origin)
				if h.Get("Access-Control-Allow-Origin") != c.want {
					t.Errorf("answer: allow-origin %q, want %q", h.Get("Access-Control-Allow-Origin"), c.want)
				}
				exposed := strings.ToLower(h.Get("Access-Control-Expose-Headers"))
				for _, name := range []string{"x-request-id", "retry-after", "x-gateway-endpoint"} {
					if (c.want != "") != strings.Contains(exposed, name) {
						t.Errorf("answer: exposed %q", exposed)
					}
				}
			}
		})
	}
}

func TestRequestIDIsTakenOrMade(t *testing.T) {
	s := newSetup(t, applications(chatApp("chat", "", "one")))
	for _, c := range []struct {
		name, sent string
		taken      bool
	}{
		{"given", "trace-42/ABC~!", true},
		{"of 128 characters", strings.Repeat("x", 128), true},
		{"of 129 characters", strings.Repeat("x", 129), false},
		{"with a tab", "a\tb", false},
		{"with letters outside ASCII", "idé", false},
		{"none", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var headers []string
			if c.sent != "" {
				headers = []string{"x-request-id", c.sent}
			}
			streamed := strings.Replace(goodChat, "{", `{"stream":true,`, 1)
			for _, ask := range []func() http.Header{
				func() http.Header { _, h, _ := s.post("/lb/chat", goodChat, headers...); return h },
				func() http.Header { _, h, _ := s.post("/lb/chat", streamed, headers...); return h },
				func() http.Header { _, h, _ := s.post("/lb/chat", "", headers...); return h },
				func() http.Header { _, h, _ := s.post("/lb/nobody", goodChat, headers...); return h },
				func() http.Header { _, h, _ := s.get("/metrics", headers...); return h },
				func() http.Header { _, h, _ := s.get("/nothing", headers...); return h },
			} {
				got := ask()["X-Request-Id"]
				if len(got) != 1 || got[0] == "" || (got[0] == c.sent) != c.taken {
					t.Errorf("x-request-id %q", got)
				}
			}
		})
	}
}

func TestEndpointHeadersComeThroughAndSecretsStay(t *testing.T) {
	s := newSetup(t, applications(chatApp("chat", "", "one")))
	s.sim.Script("one", "x-ms-region=East US; x-ratelimit-remaining-tokens=42; x-internal=private")
	_, h, _ := s.post("/lb/chat", goodChat,
		"api-key", "the callers own", "Authorization", "Bearer the callers own", "Cookie", "a=b", "X-Forwarded-For", "10.1.2.3", "Openai-Beta", "x=1")
	if h.Get("X-Ms-Region") != "East US" || h.Get("X-Ratelimit-Remaining-Tokens") != "42" || h.Get("Apim-Request-Id") == "" {
		t.Errorf("useful headers are missing: %v", h)
	}
	if h.Get("X-Internal") != "" || h.Get("Set-Cookie") != "" {
		t.Errorf("headers that should stay: %v", h)
	}
	seen := s.sim.Requests()[0]
	if got := seen.Header.Get("Api-Key"); got != "key-of-one" {
		t.Errorf("api-key %q", got)
	}
	for _, name := range []string{"Authorization", "Cookie", "X-Forwarded-For"} {
		if v := seen.Header.Get(name); v != "" {
			t.Errorf("%s travelled on: %q", name, v)
		}
	}
	if seen.Header.Get("Openai-Beta") != "x=1" {
		t.Error("openai-beta did not travel")
	}
	if string(seen.Body) != goodChat {
		t.Errorf("body changed: %s", seen.Body)
	}
}
