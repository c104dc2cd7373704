package config

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Tenants says whose a request is, beside the caller's. A caller with a
// tenant of its own is of that one, whatever the request says.
type Tenants struct {
	// Header is the request header that names the tenant, such as X-Tenant;
	// empty reads none.
	Header string `json:"header" example:"\"X-Tenant\""`
	// Query is the member of the URL's query that does; the header comes first.
	Query string `json:"query" example:"\"tenant\""`
	// Claim is the claim of the bearer token (a JWT) that does, before both. The
	// first of the three that says something counts: where only a token may name
	// the tenant, header and query stay empty.
	Claim string `json:"claim" example:"\"tenant\""`
	// Required refuses requests without a tenant.
	Required bool `json:"required" default:"false"`
	// Pins are the endpoints of some tenants. Where there are any, the others'
	// requests go to all endpoints in turn, unless strategy says otherwise.
	Pins []Pin `json:"pins"`
}

// Named reports whether requests can name a tenant.
func (t *Tenants) Named() bool { return t.Header != "" || t.Query != "" || t.Claim != "" }

// Pin is the endpoints of one tenant.
type Pin struct {
	// Tenant is the tenant's name.
	Tenant string `json:"tenant" required:"true" example:"\"contoso\""`
	// Endpoints are the ids of the endpoints that may answer it.
	Endpoints []string `json:"endpoints" required:"true" example:"[\"east-us\"]"`
}

// TenantMetrics are the token metrics by tenant, under the names that
// multitenant dashboards know (openai_prompt_tokens_total and the like).
type TenantMetrics struct {
	// Enabled shows the token metrics by tenant.
	Enabled bool `json:"enabled" default:"false"`
	// MaxTenants bounds the tenants shown by name; further ones are "other".
	// Times the number of all buckets it is at most 200,000.
	MaxTenants int `json:"maxTenants" default:"1000" min:"1" max:"10000"`
	// PromptTokens are the buckets of the histogram of prompts.
	PromptTokens Buckets `json:"promptTokens"`
	// CompletionTokens are the buckets of the histogram of answers.
	CompletionTokens Buckets `json:"completionTokens"`
	// TotalTokens are the buckets of the histogram of both together.
	TotalTokens Buckets `json:"totalTokens"`
}

// mostTenantSeries bounds tenants times buckets: each endpoint and method that
// tenants use has as many series, of some 200 bytes a scrape.
const mostTenantSeries = 200_000

func (t *TenantMetrics) validate(p *place) {
	buckets := t.PromptTokens.Count + t.CompletionTokens.Count + t.TotalTokens.Count
	if t.Enabled && t.MaxTenants*buckets > mostTenantSeries {
		p.member("maxTenants").fault("fewer: with " + strconv.Itoa(buckets) + " buckets in all, at most " + strconv.Itoa(mostTenantSeries/buckets))
	}
}

// Buckets are equally wide buckets of a histogram, in tokens.
type Buckets struct {
	// Start is the upper bound of the lowest bucket.
	Start float64 `json:"start" default:"100" min:"0" max:"1000000000" example:"10"`
	// Width is the distance between two bounds.
	Width float64 `json:"width" default:"100" min:"1" max:"1000000000" example:"10"`
	// Count is the number of buckets.
	Count int `json:"count" default:"10" min:"1" max:"200"`
}

// validate notes what is wrong with an application's tenants; given tells
// whether callers have some of their own.
func (t *Tenants) validate(p *place, endpoints []Endpoint, given bool) {
	if t.Header != "" && (!headerName(t.Header) || meansMore(strings.ToLower(t.Header))) {
		p.member("header").fault("the name of a header that means nothing else, such as X-Tenant")
	}
	for member, name := range map[string]string{"query": t.Query, "claim": t.Claim} {
		if utf8.RuneCountInString(name) > maxName || !headerSafe(name) {
			p.member(member).fault("at most 128 characters, without control characters and spaces around them")
		}
	}
	if t.Required && !t.Named() && !given && !p.hasBad() {
		p.member("required").fault("header, query or claim beside it, or callers that have a tenant: else every request is refused")
	}
	pinned := make(map[string]bool)
	for i := range t.Pins {
		pin, at := &t.Pins[i], p.member("pins").item(i)
		switch tenant := at.member("tenant"); {
		case !ValidTenant(pin.Tenant):
			tenant.fault(wantedTenant)
		case pinned[pin.Tenant]:
			tenant.fault("a tenant that has no other pin in the application")
		}
		pinned[pin.Tenant] = true
		if len(pin.Endpoints) == 0 {
			at.member("endpoints").fault("at least one endpoint's id")
		}
		for j, id := range pin.Endpoints {
			if len(endpoints) > 0 && !slices.ContainsFunc(endpoints, func(e Endpoint) bool { return e.ID == id }) {
				at.member("endpoints").item(j).fault("the id of one of the application's endpoints")
			}
		}
	}
}

// ValidTenant reports whether s can name a tenant: 1 to 128 characters of
// UTF-8, without control characters and spaces around them.
func ValidTenant(s string) bool {
	return s != "" && len(s) <= utf8.UTFMax*maxName && utf8.ValidString(s) && utf8.RuneCountInString(s) <= maxName && headerSafe(s)
}

const wantedTenant = "a tenant's name of 1 to 128 characters, without control characters and spaces around it"
