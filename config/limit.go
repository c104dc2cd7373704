package config

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Amounts are how much may be used; 0 is no limit. Tokens and money are
// reserved before a call and settled after it. The bounds keep sums exact:
// those of tokens in a float64, those of money in billionths in an int64.
type Amounts struct {
	// RequestsPerMinute is the most requests in any 60 seconds.
	RequestsPerMinute int64 `json:"requestsPerMinute" default:"0" min:"0" max:"1000000000" example:"60"`
	// TokensPerMinute is the most tokens, prompts and answers together, in any
	// 60 seconds.
	TokensPerMinute int64 `json:"tokensPerMinute" default:"0" min:"0" max:"1000000000000000" example:"100000"`
	// TokensPerDay is the most tokens in a day, of UTC.
	TokensPerDay int64 `json:"tokensPerDay" default:"0" min:"0" max:"1000000000000000" example:"2000000"`
	// TokensPerMonth is the most tokens in a calendar month, of UTC.
	TokensPerMonth int64 `json:"tokensPerMonth" default:"0" min:"0" max:"1000000000000000" example:"50000000"`
	// CostPerDay is the most money in a day, of UTC, in the currency of prices.
	CostPerDay float64 `json:"costPerDay" default:"0" min:"0" max:"1000000000" example:"25"`
	// CostPerMonth is the most money in a calendar month, of UTC, in the
	// currency of prices.
	CostPerMonth float64 `json:"costPerMonth" default:"0" min:"0" max:"1000000000" example:"500"`
	// Concurrent is the most requests at a time.
	Concurrent int64 `json:"concurrent" default:"0" min:"0" max:"1000000000" example:"20"`
	// Mode is enforce, or observe: count and tell, but refuse nothing.
	Mode string `json:"mode" default:"enforce" enum:"enforce|observe"`
}

// None reports that nothing is limited.
func (a *Amounts) None() bool {
	b := *a
	b.Mode = ""
	return b == Amounts{}
}

// Limit says how much some requests may use. Its lists say which: a request
// that fits all of them, an empty list being any.
type Limit struct {
	// ID names the limit in answers, headers and metrics, unique, visible ASCII.
	ID string `json:"id" required:"true" example:"\"free-tier\""`
	// Per are the things that each have the amounts for themselves: app,
	// caller, tenant, user (the body's user), model. Empty is one account for
	// all requests that the lists let in.
	Per []string `json:"per" example:"[\"app\", \"user\"]"`
	// Apps are the applications it is for; empty is all of them.
	Apps []string `json:"apps" example:"[\"aichatbotapp\"]"`
	// Callers are the callers it is for; empty is anyone.
	Callers []string `json:"callers" example:"[\"web-shop\"]"`
	// Tenants are the tenants it is for; empty is all, and requests without one.
	Tenants []string `json:"tenants" example:"[\"contoso\"]"`
	// Users are the users (the body's user) it is for; empty is all, and requests
	// without one.
	Users []string `json:"users" example:"[\"user-1\"]"`
	// Models are the models it is for, such as gpt-4o, which is its dated
	// versions too; empty is all of them. What a request to an endpoint that is
	// configured for one model names does not count.
	Models []string `json:"models" example:"[\"gpt-4o\"]"`
	// Allow is how much each of them may use; an amount of 0 is no limit.
	Allow Amounts `json:"allow" required:"true"`
}

// Pool is the throughput of one deployment that several applications share,
// such as provisioned throughput. Each has its part by weight; what
// applications that are not active leave unused, others may borrow.
type Pool struct {
	// ID is what endpoints name as their pool, unique, visible ASCII.
	ID string `json:"id" required:"true" example:"\"ptu-east\""`
	// TokensPerMinute is what the deployment can do in any 60 seconds.
	TokensPerMinute int64 `json:"tokensPerMinute" required:"true" min:"1" max:"1000000000000000" example:"150000"`
	// Shares are the applications' weights; one without has weight 1.
	Shares []Share `json:"shares"`
}

// Share is an application's weight in a pool.
type Share struct {
	// App is the application's id.
	App string `json:"app" required:"true" example:"\"aichatbotapp\""`
	// Weight is the application's part, against the others' weights.
	Weight float64 `json:"weight" default:"1" above:"0" max:"1000000" example:"3"`
}

// LimitHeaders are the names of the answer headers that tell of limits; an
// empty name takes the default, - sends none.
type LimitHeaders struct {
	// LimitTokens is the tokens of the limit with the least tokens left.
	LimitTokens string `json:"limitTokens" default:"x-gateway-limit-tokens"`
	// RemainingTokens is the least that any limit leaves, in tokens.
	RemainingTokens string `json:"remainingTokens" default:"x-gateway-limit-remaining-tokens"`
	// ConsumedTokens is what this request used, in tokens, where that is known
	// before the answer's header is sent, else what was reserved for it.
	ConsumedTokens string `json:"consumedTokens" default:"x-gateway-limit-consumed-tokens"`
	// LimitRequests is the requests a minute of the limit with the fewest left.
	LimitRequests string `json:"limitRequests" default:"x-gateway-limit-requests"`
	// RemainingRequests is the fewest that any limit leaves, in requests.
	RemainingRequests string `json:"remainingRequests" default:"x-gateway-limit-remaining-requests"`
}

// per are the things that a limit can be counted for.
func per() []string { return []string{"app", "caller", "tenant", "user", "model"} }

func (c *Config) validateLimits(root *place, apps map[string]AppType) {
	ids := make(map[string]bool)
	for i := range c.Limits {
		l, at := &c.Limits[i], root.member("limits").item(i)
		validateName(l.ID, ids, at.member("id"), "limit")
		for j, p := range l.Per {
			if !slices.Contains(per(), p) || slices.Index(l.Per, p) != j {
				at.member("per").item(j).fault("one of " + strings.Join(per(), ", ") + ", each once")
			}
		}
		for j, app := range l.Apps {
			if _, exists := apps[app]; !exists {
				at.member("apps").item(j).fault("the appId of an application")
			}
		}
		for j, id := range l.Callers {
			if !slices.ContainsFunc(c.Callers, func(c Caller) bool { return c.ID == id }) {
				at.member("callers").item(j).fault("the id of a caller")
			}
		}
		for j, tenant := range l.Tenants {
			if !ValidTenant(tenant) {
				at.member("tenants").item(j).fault(wantedTenant)
			}
		}
		allow := at.member("allow")
		if l.Allow.None() && !allow.hasBad() {
			allow.fault("at least one amount above 0, such as requestsPerMinute")
		}
		c.validateCosts(&l.Allow, allow)
	}
}

// validateCosts notes money that nothing costs.
func (c *Config) validateCosts(a *Amounts, p *place) {
	const want = "prices in the file: without them nothing costs anything"
	if len(c.Prices) > 0 {
		return
	}
	if a.CostPerDay > 0 {
		p.member("costPerDay").fault(want)
	}
	if a.CostPerMonth > 0 {
		p.member("costPerMonth").fault(want)
	}
}

func (c *Config) validatePools(root *place, apps map[string]AppType) {
	ids := make(map[string]bool)
	for i := range c.Pools {
		pool, at := &c.Pools[i], root.member("pools").item(i)
		validateName(pool.ID, ids, at.member("id"), "pool")
		if pool.TokensPerMinute == 0 {
			at.member("tokensPerMinute").fault("the tokens that the deployment can do in a minute")
		}
		for j, s := range pool.Shares {
			app := at.member("shares").item(j).member("app")
			if _, exists := apps[s.App]; !exists {
				app.fault("the appId of an application")
			} else if slices.ContainsFunc(pool.Shares[:j], func(o Share) bool { return o.App == s.App }) {
				app.fault("an application that has no other share of the pool")
			}
		}
	}
	for i := range c.Applications {
		for j := range c.Applications[i].Endpoints {
			e, at := &c.Applications[i].Endpoints[j], root.member("applications").item(i).member("endpoints").item(j)
			if e.Pool != "" && !ids[e.Pool] {
				at.member("pool").fault("the id of a pool")
			}
			c.validateCosts(&e.Limits, at.member("limits"))
		}
	}
}

// validateName checks an id that is shown in headers.
func validateName(id string, taken map[string]bool, p *place, of string) {
	switch {
	case id == "" || len(id) > maxName || !visible(id):
		p.fault("1 to " + strconv.Itoa(maxName) + " visible ASCII characters")
	case taken[id]:
		p.fault("an id that no other " + of + " has")
	}
	taken[id] = true
}

// Names are all of them.
func (h *LimitHeaders) Names() []string {
	return []string{h.LimitTokens, h.RemainingTokens, h.ConsumedTokens, h.LimitRequests, h.RemainingRequests}
}

func (h *LimitHeaders) validate(p *place) {
	taken := make(map[string]bool)
	for _, one := range []struct{ member, name string }{
		{"limitTokens", h.LimitTokens},
		{"remainingTokens", h.RemainingTokens},
		{"consumedTokens", h.ConsumedTokens},
		{"limitRequests", h.LimitRequests},
		{"remainingRequests", h.RemainingRequests},
	} {
		name, at := strings.ToLower(one.name), p.member(one.member)
		switch {
		case name == "-":
		case !headerName(name):
			at.fault("a header's name, or - for none")
		case meansMore(name):
			at.fault("a header that means nothing else, such as one that begins with x-")
		case taken[name]:
			at.fault("a name that no other of these headers has")
		}
		taken[name] = true
	}
}

// headerName reports whether s can be a header's name (RFC 9110, section 5.6.2).
func headerName(s string) bool {
	for _, r := range s {
		if r >= utf8.RuneSelf || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("!#$%&'*+-.^_`|~", r) {
			return false
		}
	}
	return s != "" && len(s) <= maxName
}

// meansMore reports whether a header, in lower case, frames or describes a
// message, or holds a credential.
func meansMore(name string) bool {
	return strings.HasPrefix(name, "content-") || slices.Contains([]string{
		"api-key", "authorization", "connection", "cookie", "date", "host", "keep-alive", "proxy-authorization",
		"retry-after", "set-cookie", "te", "trailer", "transfer-encoding", "upgrade",
	}, name)
}
