package config

import (
	"strings"
	"testing"
)

func TestTenantNames(t *testing.T) {
	for name, want := range map[string]bool{
		"contoso": true, "fabrikam é": true, "a,b:c/d": true, strings.Repeat("é", maxName): true, strings.Repeat("🙂", maxName): true,
		"": false, " ": false, " a": false, "a ": false, "a\u00a0": false, "a\nb": false, "a\x00": false, "a\u0085b": false, "\xff": false,
		strings.Repeat("x", maxName+1): false, strings.Repeat("x", 10_000): false,
	} {
		if got := ValidTenant(name); got != want {
			t.Errorf("%.20q: got %v", name, got)
		}
	}
}

func TestStrategyWithPinsIsRoundRobinUnlessItIsGiven(t *testing.T) {
	for given, want := range map[string]string{``: "roundRobin", `"strategy":null,`: "roundRobin", `"strategy":"priority",`: "priority"} {
		c, err := parse([]byte(`{"applications":[{"appId":"a","appType":"openai",` + given + `
			"tenants":{"pins":[{"tenant":"contoso","endpoints":["0"]}]},"endpoints":[{"uri":"http://a/"},{"uri":"http://b/"}]}]}`))
		if err != nil {
			t.Fatal(err)
		}
		app := c.Applications[0]
		if app.Strategy != want || app.Endpoints[1].Priority != map[string]int{"roundRobin": 0, "priority": 1}[want] {
			t.Errorf("%s: got %s, priority %d", given, app.Strategy, app.Endpoints[1].Priority)
		}
	}
}

func TestRequiredTenantsMayBeTheCallers(t *testing.T) {
	for callers, accepted := range map[string]bool{
		``: false,
		`"callers":[{"id":"c","key":"12345678","apps":["*"]}],`:                    false,
		`"callers":[{"id":"c","key":"12345678","apps":["*"],"tenant":"contoso"}],`: true,
	} {
		_, err := parse([]byte(`{` + callers + `"applications":[{"appId":"a","appType":"openai","tenants":{"required":true},"endpoints":[{"uri":"http://a/"}]}]}`))
		if (err == nil) != accepted {
			t.Errorf("%s: got %v", callers, err)
		}
	}
}
