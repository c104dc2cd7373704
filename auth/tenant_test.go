package auth

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"aigateway/config"
)

// noQuery is a request without a query.
func noQuery(string) string { return "" }

// inQuery is a query with one member.
func inQuery(member, value string) func(string) string {
	return func(name string) string {
		if name == member {
			return value
		}
		return ""
	}
}

// refused checks that an error is a *TenantError of a kind that says what to
// do, and shows nothing of secret.
func refused(t *testing.T, name string, err error, kind TenantFault, secret string) {
	t.Helper()
	var fault *TenantError
	if !errors.As(err, &fault) || fault.Kind != kind {
		t.Errorf("%s: got error %v, want one of kind %d", name, err, kind)
		return
	}
	if fault.Error() != fault.Message || !strings.HasSuffix(fault.Message, ".") {
		t.Errorf("%s: says %q", name, fault.Message)
	}
	if secret != "" && strings.Contains(fault.Message, secret) {
		t.Errorf("%s: repeats what was sent: %s", name, fault.Message)
	}
}

func TestTenantComesFromHeaderThenQuery(t *testing.T) {
	both := NewTenancy(&config.Tenants{Header: "x-tenant", Query: "t"}, &config.JWT{})
	for _, tt := range []struct {
		name   string
		header []string
		query  string
		want   string
	}{
		{"header", []string{"contoso"}, "", "contoso"},
		{"query", nil, "fabrikam", "fabrikam"},
		{"header wins", []string{"contoso"}, "fabrikam", "contoso"},
		{"empty header", []string{""}, "fabrikam", "fabrikam"},
		{"the same header twice", []string{"contoso", "contoso"}, "", "contoso"},
		{"any language", []string{"fabrikam é 🙂"}, "", "fabrikam é 🙂"},
		{"none", nil, "", ""},
	} {
		got, err := both.Tenant(http.Header{"X-Tenant": tt.header}, inQuery("t", tt.query), anyone)
		if err != nil || got != tt.want {
			t.Errorf("%s: got %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
}

func TestTenantsAreReadOnlyWhereTheyAreConfigured(t *testing.T) {
	header := http.Header{"X-Tenant": {"a"}, "X-Other": {"b"}, "Authorization": {"Bearer " + unsigned(`{"tenant":"c"}`)}}
	none := func(string) string { t.Error("the query was read"); return "d" }
	for name, tenancy := range map[string]*Tenancy{
		"nothing":      NewTenancy(&config.Tenants{}, &config.JWT{}),
		"pins":         NewTenancy(&config.Tenants{Pins: []config.Pin{{Tenant: "a", Endpoints: []string{"0"}}}}, &config.JWT{}),
		"other header": NewTenancy(&config.Tenants{Header: "X-Third"}, &config.JWT{}),
	} {
		if got, err := tenancy.Tenant(header, none, anyone); got != "" || err != nil {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
		if got, err := tenancy.Tenant(header, none, &Caller{ID: "c", Tenant: "own"}); got != "own" || err != nil {
			t.Errorf("%s: got %q, %v for a caller that has a tenant", name, got, err)
		}
	}
	if NewTenancy(&config.Tenants{}, &config.JWT{}) != nil {
		t.Error("a tenancy that says nothing is not nil")
	}
}

func TestCallersOwnTenantWins(t *testing.T) {
	own := &Caller{ID: "c", Tenant: "contoso"}
	tenancy := NewTenancy(&config.Tenants{Header: "X-Tenant", Query: "t", Required: true}, &config.JWT{})
	for name, h := range map[string]http.Header{"named": {"X-Tenant": {"contoso"}}, "not named": {}} {
		if got, err := tenancy.Tenant(h, noQuery, own); got != "contoso" || err != nil {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	_, err := tenancy.Tenant(http.Header{"X-Tenant": {"fabrikam"}}, noQuery, own)
	refused(t, "another in the header", err, OtherTenant, "fabrikam")
	_, err = tenancy.Tenant(http.Header{}, inQuery("t", "Contoso"), own)
	refused(t, "another in the query", err, OtherTenant, "Contoso")
	if got, err := tenancy.Tenant(http.Header{"X-Tenant": {"fabrikam"}}, noQuery, &Caller{ID: "d"}); got != "fabrikam" || err != nil {
		t.Errorf("a caller without a tenant: got %q, %v", got, err)
	}
}

func TestRequiredTenantIsMissed(t *testing.T) {
	for want, tenants := range map[string]config.Tenants{
		"This AI application needs a tenant: name it in the header X-Tenant.": {Header: "X-tenant"},
		"This AI application needs a tenant: name it in the claim c of a JWT, sent as Authorization: Bearer, or in the header X-Tenant, or as t in the URL's query.": {
			Header: "X-Tenant", Query: "t", Claim: "c",
		},
		"This AI application needs a tenant, and this key belongs to none: use a key that does.": {},
	} {
		tenants.Required = true
		_, err := NewTenancy(&tenants, &config.JWT{}).Tenant(http.Header{"X-Tenant": {""}}, noQuery, anyone)
		refused(t, want, err, BadTenant, "")
		if err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestBadTenantNamesAreRefused(t *testing.T) {
	tenancy := NewTenancy(&config.Tenants{Header: "X-Tenant", Query: "t"}, &config.JWT{})
	for what, name := range map[string]string{
		"10 kB": strings.Repeat("x", 10_000), "129 characters": strings.Repeat("é", 129), "newline": "con\ntoso", "return": "con\rtoso",
		"null": "con\x00toso", "C1": "con\u0085toso", "not UTF-8": "con\xfftoso", "spaces": " contoso", "space": " ",
	} {
		_, err := tenancy.Tenant(http.Header{"X-Tenant": {name}}, noQuery, anyone)
		refused(t, what+" in the header", err, BadTenant, "toso")
		_, err = tenancy.Tenant(http.Header{}, inQuery("t", name), anyone)
		refused(t, what+" in the query", err, BadTenant, "toso")
	}
	_, err := tenancy.Tenant(http.Header{"X-Tenant": {"contoso", "fabrikam"}}, noQuery, anyone)
	refused(t, "two headers", err, BadTenant, "toso")
	_, err = tenancy.Tenant(http.Header{"X-Tenant": {"", "fabrikam"}}, noQuery, anyone)
	refused(t, "an empty header and another", err, BadTenant, "fabrikam")
}

// Whatever is sent, a tenant is a name that can stand in rows, labels and
// headers, or the request is refused.
func TestTenantIsAlwaysAName(t *testing.T) {
	tenancy := NewTenancy(&config.Tenants{Header: "X-Tenant", Query: "t", Claim: "c"}, &config.JWT{})
	rapid.Check(t, func(r *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z.]{0,8}\.[a-zA-Z0-9_-]{0,20}\.[a-z]{0,3}`), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
		h := http.Header{
			"X-Tenant":      rapid.SliceOfN(text, 0, 2).Draw(r, "header"),
			"Authorization": {"Bearer " + text.Draw(r, "token")},
		}
		got, err := tenancy.Tenant(h, inQuery("t", text.Draw(r, "query")), anyone)
		var fault *TenantError
		switch {
		case err != nil && (!errors.As(err, &fault) || got != ""):
			r.Fatalf("got %q, %v", got, err)
		case !utf8.ValidString(got) || strings.ContainsFunc(got, unicode.IsControl) || utf8.RuneCountInString(got) > 128:
			r.Fatalf("got %q", got)
		}
	})
}

func TestPinnedTenantsHaveTheirEndpoints(t *testing.T) {
	tenancy := NewTenancy(&config.Tenants{Pins: []config.Pin{{Tenant: "contoso", Endpoints: []string{"east", "west"}}}}, &config.JWT{})
	if got := tenancy.Endpoints("contoso"); !slices.Equal(got, []string{"east", "west"}) {
		t.Errorf("got %v", got)
	}
	for _, tenant := range []string{"fabrikam", "Contoso", ""} {
		if got := tenancy.Endpoints(tenant); got != nil {
			t.Errorf("%q: got %v, want nil", tenant, got)
		}
	}
	var off *Tenancy
	if got := off.Endpoints("contoso"); got != nil {
		t.Errorf("no tenancy: got %v", got)
	}
}

func TestTenantOfHeaderOrQueryTakesNoMemory(t *testing.T) {
	header, query := http.Header{"X-Tenant": {"contoso"}, "Authorization": {"Bearer key"}}, inQuery("t", "contoso")
	for name, tenants := range map[string]config.Tenants{"off": {}, "header": {Header: "X-Tenant", Claim: "c"}, "query": {Header: "X-None", Query: "t"}} {
		tenancy := NewTenancy(&tenants, &config.JWT{})
		if n := testing.AllocsPerRun(100, func() { _, _ = tenancy.Tenant(header, query, anyone) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
