package gateway_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

func TestATenantIsNamedByTheCallerTheHeaderOrTheQuery(t *testing.T) {
	app := chatApp("bot", `"tenants":{"header":"X-Tenant","query":"tenant","required":true},`, "gpt-4o")
	config := strings.TrimSuffix(applications(app), "}") + `,"callers":[
		{"id":"fixed","key":"key-of-fixed","apps":["*"],"tenant":"contoso"},{"id":"open","key":"key-of-open","apps":["*"]}],
		"limits":[{"id":"per-tenant","per":["tenant"],"allow":{"requestsPerMinute":1}}]}`
	for _, tt := range []struct {
		name, path string
		headers    []string
		status     int
	}{
		{"header", "/lb/bot", []string{"Api-Key", "key-of-open", "X-Tenant", "fabrikam"}, 200},
		{"query", "/lb/bot?tenant=fabrikam", []string{"Api-Key", "key-of-open"}, 200},
		{"the caller's own", "/lb/bot", []string{"Api-Key", "key-of-fixed"}, 200},
		{"another than the caller's", "/lb/bot", []string{"Api-Key", "key-of-fixed", "X-Tenant", "fabrikam"}, 403},
		{"none", "/lb/bot", []string{"Api-Key", "key-of-open"}, 400},
		{"a long one", "/lb/bot", []string{"Api-Key", "key-of-open", "X-Tenant", strings.Repeat("t", 10_000)}, 400},
		{"a line break", "/lb/bot?tenant=a%0Ab", []string{"Api-Key", "key-of-open"}, 400},
	} {
		s := newSetup(t, config)
		if status, _, body := s.post(tt.path, goodChat, tt.headers...); status != tt.status {
			t.Errorf("%s: got %d, want %d: %s", tt.name, status, tt.status, body)
		}
		if tt.status != http.StatusOK {
			continue
		}
		if status, _, body := s.post(tt.path, goodChat, tt.headers...); status != 429 || !strings.Contains(body, "per-tenant") {
			t.Errorf("%s: the tenant's limit did not hold: %d %s", tt.name, status, body)
		}
	}
}

func TestPinnedTenantsGetTheirEndpointsAndOthersGoRound(t *testing.T) {
	s := newSetup(t, applications(chatApp("bot", `"tenants":{"header":"X-Tenant","pins":[{"tenant":"contoso","endpoints":["alpha"]}]},`, "alpha", "beta")))
	seen := map[string]map[string]int{}
	for range 6 {
		for _, tenant := range []string{"contoso", "fabrikam"} {
			_, header, _ := s.post("/lb/bot", goodChat, "X-Tenant", tenant)
			if seen[tenant] == nil {
				seen[tenant] = map[string]int{}
			}
			seen[tenant][header.Get("X-Gateway-Endpoint")]++
		}
	}
	if seen["contoso"]["alpha"] != 6 || seen["fabrikam"]["alpha"] != 3 || seen["fabrikam"]["beta"] != 3 {
		t.Errorf("got %v", seen)
	}
}

func TestTenantsDoNotShareWhatIsTheirs(t *testing.T) {
	k := newKeeping(t, applications(embedApp, chatApp("bot", `"tenants":{"header":"X-Tenant"},"memorySettings":{"useMemory":true},
		"cacheSettings":{"useCache":true,"searchDistance":0.9,"scope":"tenant"},`, "gpt-4o")))
	body := ask("", "What is a gateway?")
	_, header, _ := k.post("/lb/bot", body, "X-Tenant", "contoso")
	thread := header.Get("X-Thread-Id")
	k.entries("bot", 1)
	if _, header, _ := k.post("/lb/bot", body, "X-Tenant", "fabrikam"); header.Get("X-Cache") == "hit" {
		t.Error("a tenant got another's answer from the cache")
	}
	if _, header, _ := k.post("/lb/bot", body, "X-Tenant", "contoso"); header.Get("X-Cache") != "hit" {
		t.Errorf("a tenant did not get its own: %s", header.Get("X-Cache"))
	}
	if status, _, _ := k.post("/lb/bot", body, "X-Tenant", "fabrikam", "X-Thread-Id", thread); status != 400 {
		t.Errorf("a tenant went on with another's conversation: %d", status)
	}
	if status, _, answer := k.post("/lb/bot", body, "X-Tenant", "contoso", "X-Thread-Id", thread); status != 200 && !strings.Contains(answer, "already") {
		t.Errorf("a tenant could not go on with its own: %d %s", status, answer)
	}
	if status, _, _ := k.get("/sessions/bot/"+thread, "X-Tenant", "contoso"); status != 200 {
		t.Errorf("a tenant could not read its conversation: %d", status)
	}
	if status, _, _ := k.get("/sessions/bot/"+thread, "X-Tenant", "fabrikam"); status != 404 {
		t.Errorf("a tenant read another's conversation: %d", status)
	}
}

func TestTenantMetricsHaveTheNamesOfMultitenantDashboards(t *testing.T) {
	config := strings.TrimSuffix(applications(chatApp("bot", `"tenants":{"header":"X-Tenant"},`, "alpha")), "}") +
		`,"tenantMetrics":{"enabled":true,"maxTenants":2,"promptTokens":{"start":10,"width":10,"count":3}}}`
	s := newSetup(t, config)
	var total int64
	for _, tenant := range []string{"Contoso", "fabrikam", "third", "fourth"} {
		_, _, body := s.post("/lb/bot", goodChat, "X-Tenant", tenant)
		if tenant == "Contoso" {
			total = gjson.Get(body, "usage.prompt_tokens").Int()
		}
	}
	_, _, text := s.get("/metrics?format=prometheus")
	for _, want := range []string{
		`openai_prompt_tokens_total{method_name="chat",openai_name="alpha",tenant_name="contoso"} `,
		`openai_completion_tokens_total{method_name="chat",openai_name="alpha",tenant_name="other"} `,
		`openai_total_tokens_processed{method_name="chat",openai_name="alpha",tenant_name="fabrikam"} `,
		`openai_prompt_tokens_bucket{method_name="chat",openai_name="alpha",tenant_name="contoso",le="30"} 1`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is missing", want)
		}
	}
	if total == 0 || strings.Contains(text, `tenant_name="third"`) {
		t.Errorf("more tenants than allowed, or no tokens (%d)", total)
	}
}
