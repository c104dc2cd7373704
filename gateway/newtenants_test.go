package gateway_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/tidwall/gjson"
)

// tenantsOf are the tenants in a /metrics text, each with the number of its
// lines.
func tenantsOf(text string) map[string]int {
	all := map[string]int{}
	for _, found := range regexp.MustCompile(`tenant_name="([^"]*)"`).FindAllStringSubmatch(text, -1) {
		all[found[1]]++
	}
	return all
}

func TestAThousandNewTenantsAreLimitedEachAndShownAFew(t *testing.T) {
	const tenants, shown, atOnce = 1000, 50, 8
	app := chatApp("bot", `"tenants":{"header":"X-Tenant"},`, "gpt-4o")
	s := newSetup(t, strings.TrimSuffix(limited(`{"id":"per-tenant","per":["tenant"],"allow":{"requestsPerMinute":1,"tokensPerDay":10000}}`, app), "}")+
		fmt.Sprintf(`,"tenantMetrics":{"enabled":true,"maxTenants":%d}}`, shown))
	name := func(i int) string { return fmt.Sprintf("tenant-%d", i) }
	each := func(f func(i int)) {
		var work sync.WaitGroup
		for w := range atOnce {
			work.Go(func() {
				for i := w; i < tenants; i += atOnce {
					f(i)
				}
			})
		}
		work.Wait()
	}
	ask := func(i, want int) {
		if status, _, body := s.post("/lb/bot", goodChat, "X-Tenant", name(i)); status != want {
			t.Errorf("%s: got %d, want %d: %s", name(i), status, want, body)
		}
	}
	each(func(i int) { ask(i, http.StatusOK) })
	s.quiet()
	_, _, text := s.get("/metrics?format=prometheus")
	lines, named := strings.Count(text, "\n"), tenantsOf(text)
	if len(named) != shown+1 || named["other"] == 0 {
		t.Errorf("%d tenants have series, want %d and other", len(named), shown)
	}
	for tenant, n := range named {
		if n != named["other"] {
			t.Errorf("%s has %d series, other tenants have %d", tenant, n, named["other"])
		}
	}
	// Each has an account of its own: that of another is untouched.
	each(func(i int) { ask(i, http.StatusTooManyRequests) })
	s.quiet()
	_, _, text = s.get("/metrics?format=prometheus")
	if more := strings.Count(text, "\n") - lines; more > 20 { // of the status
		t.Errorf("refusals added %d lines to /metrics", more)
	}
	if rest := regexp.MustCompile(`(?m)^.*\btenant-\d+\b.*$`).FindAllString(text, -1); len(rest) == 0 {
		t.Error("no tenant is shown by its name")
	} else {
		for _, line := range rest {
			if !strings.Contains(line, `tenant_name="`) {
				t.Errorf("a tenant is a label of %s", line)
			}
		}
	}
	for tenant, used := range map[string]int64{name(0): 1, name(tenants / 2): 1, name(tenants - 1): 1, "nobody-yet": 0} {
		_, _, page := s.get("/limits/bot", "X-Tenant", tenant)
		got := gjson.Get(page, `limits.#(amount=="requestsPerMinute")`)
		if got.Get("used").Int() != used || got.Get("per").String() != "tenant="+tenant {
			t.Errorf("%s: used %d of 1; the page says %s", tenant, used, page)
		}
		if spent := gjson.Get(page, `limits.#(amount=="tokensPerDay").used`).Int(); (spent > 0) != (used > 0) {
			t.Errorf("%s: the page says %s", tenant, page)
		}
	}
}
