package auth

import (
	"net/http"
	"strings"
	"time"

	"aigateway/config"
)

// Tenancy says whose the requests of one application are, and which endpoints
// are a tenant's. It is immutable; a nil Tenancy reads nothing of a request, so
// that only callers have tenants, and pins nobody.
type Tenancy struct {
	// Now is the clock that tokens are judged by: time.Now, unless it is set
	// before the first request.
	Now func() time.Time

	tokens   *tokens // nil: tokens name nobody
	header   string  // canonical
	query    string
	required string // what a request without a tenant is told; empty lets it pass
	pins     map[string][]string
}

// NewTenancy returns what an application's configuration says of tenants, with
// the gateway's of tokens; nil when that is nothing.
func NewTenancy(t *config.Tenants, j *config.JWT) *Tenancy {
	if !t.Named() && !t.Required && len(t.Pins) == 0 {
		return nil
	}
	all := &Tenancy{Now: time.Now, header: http.CanonicalHeaderKey(t.Header), query: t.Query}
	if t.Claim != "" {
		all.tokens = newTokens(t.Claim, j, func() time.Time { return all.Now() })
	}
	if t.Required {
		all.required = all.wanted()
	}
	if len(t.Pins) > 0 {
		all.pins = make(map[string][]string, len(t.Pins))
	}
	for _, pin := range t.Pins {
		all.pins[pin.Tenant] = pin.Endpoints
	}
	return all
}

// wanted says how a request names its tenant.
func (t *Tenancy) wanted() string {
	var ways []string
	if t.tokens != nil {
		ways = append(ways, "in the claim "+t.tokens.claim+" of a JWT, sent as Authorization: Bearer")
	}
	if t.header != "" {
		ways = append(ways, "in the header "+t.header)
	}
	if t.query != "" {
		ways = append(ways, "as "+t.query+" in the URL's query")
	}
	if len(ways) == 0 {
		return "This AI application needs a tenant, and this key belongs to none: use a key that does."
	}
	return "This AI application needs a tenant: name it " + strings.Join(ways, ", or ") + "."
}

// Tenant returns whose a request is: the caller's own tenant when it has one,
// else the one that the request's token, header or query names, in that order;
// empty when it is nobody's and need not be anybody's. The query is asked only
// when it matters. An error is a *TenantError.
func (t *Tenancy) Tenant(h http.Header, query func(name string) string, caller *Caller) (string, error) {
	if t == nil {
		return caller.Tenant, nil
	}
	named, err := t.named(h, query, caller)
	switch own := caller.Tenant; {
	case err != nil:
		return "", err
	case own != "" && named != "" && named != own:
		return "", &TenantError{OtherTenant, "This key belongs to another tenant than the one that the request names: name none, or use that tenant's key."}
	case own != "":
		return own, nil
	case named == "" && t.required != "":
		return "", &TenantError{BadTenant, t.required}
	}
	return named, nil
}

// named returns the tenant that a request names, empty when it names none.
func (t *Tenancy) named(h http.Header, query func(name string) string, caller *Caller) (string, error) {
	if t.tokens != nil {
		name, err := t.tokens.tenant(h, caller)
		if err != nil || name != "" {
			return name, err
		}
	}
	if t.header != "" {
		name, ok := only(h[t.header])
		switch {
		case !ok:
			return "", &TenantError{BadTenant, "The header " + t.header + " is there more than once, with different tenants: send it once."}
		case name != "" && !config.ValidTenant(name):
			return "", badName("in the header " + t.header)
		case name != "":
			return name, nil
		}
	}
	if t.query != "" {
		name := query(t.query)
		if name != "" && !config.ValidTenant(name) {
			return "", badName("as " + t.query + " in the URL's query")
		}
		return name, nil
	}
	return "", nil
}

// Endpoints returns the ids of the endpoints that a tenant is pinned to, nil
// when it is pinned to none.
func (t *Tenancy) Endpoints(tenant string) []string {
	if t == nil {
		return nil
	}
	return t.pins[tenant]
}

// only returns the value that a header has, however often; false when it has
// several.
func only(values []string) (string, bool) {
	value := first(values)
	for _, other := range values {
		if other != value {
			return "", false
		}
	}
	return value, true
}

// TenantFault is what is wrong with whose a request is.
type TenantFault uint8

// The kinds of fault.
const (
	// BadTenant: the tenant is missing, or no name; a bad request.
	BadTenant TenantFault = iota
	// BadToken: the bearer token is not valid; whose the request is cannot be
	// known.
	BadToken
	// OtherTenant: the request names a tenant that the caller does not belong
	// to; forbidden.
	OtherTenant
)

// TenantError says why it is not known whose a request is.
type TenantError struct {
	Kind TenantFault
	// Message tells the client what is wrong and what to do. It repeats nothing
	// that the request said.
	Message string
}

func (e *TenantError) Error() string { return e.Message }

func badName(where string) error {
	return &TenantError{
		BadTenant, "The tenant " + where + " must be 1 to 128 characters of UTF-8, without control characters and without spaces around them.",
	}
}
