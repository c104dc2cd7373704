package gateway

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"aigateway/config"
	"aigateway/limit"
	"aigateway/openai"
	"aigateway/persist"
	"aigateway/router"
)

// limitError: a limit refuses the request.
type limitError struct{ *limit.Exceeded }

// admit asks the application's limits for what the request may come to use.
// req is nil where there are no tokens to count.
func (s *Server) admit(c *gin.Context, in *inbound, req *openai.Request, x *persist.Exchange) error {
	limits := in.app.limits
	if limits == nil {
		return nil
	}
	ask := limit.Ask{Caller: x.Caller, Tenant: x.Tenant, User: x.User, Model: in.app.asks(req)}
	if req != nil && limits.CountsTokens() {
		in.reserved = in.app.reserve(in, req, x)
		in.reserved.ask(&ask, in.app.price(x))
	}
	grant, exceeded := limits.Admit(c.Request.Context(), ask)
	if exceeded != nil {
		x.Limit = exceeded.Limit
		return &limitError{exceeded}
	}
	in.grant, x.LimitOver = grant, grant.Over()
	in.sayLimits(c, x)
	return nil
}

// sayLimits tells in the header what the limits leave.
func (in *inbound) sayLimits(c *gin.Context, x *persist.Exchange) {
	h, names, left := c.Writer.Header(), in.app.limitHeaders, in.grant.Left()
	put := func(name string, n int64) {
		if name != "" {
			h[name] = []string{strconv.FormatInt(n, 10)}
		}
	}
	if left.Tokens.OK {
		put(names.LimitTokens, left.Tokens.Allowed)
		put(names.RemainingTokens, left.Tokens.Remaining)
	}
	if left.Requests.OK {
		put(names.LimitRequests, left.Requests.Allowed)
		put(names.RemainingRequests, left.Requests.Remaining)
	}
	in.sayConsumed(c, x)
}

// canonical are header names as they stand in a header's map; those that are
// not to be sent are empty.
func canonical(h config.LimitHeaders) config.LimitHeaders {
	for _, name := range []*string{&h.LimitTokens, &h.RemainingTokens, &h.ConsumedTokens, &h.LimitRequests, &h.RemainingRequests} {
		if *name == "-" {
			*name = ""
		}
		*name = http.CanonicalHeaderKey(*name)
	}
	return h
}

// gate asks the limits of endpoints on behalf of one request.
type gate struct {
	ctx     context.Context //nolint:containedctx // of the one plan that it is for
	in      *inbound
	price   *config.Price // of what is reserved
	granted *limit.Grant  // of the endpoint that was let through last
	// refused is the refusal of an endpoint that was passed over, that with the
	// least wait; nil when none was.
	refused *limit.Exceeded
}

// admit lets an endpoint through, or passes it over.
func (g *gate) admit(e *router.Endpoint) bool {
	limits := g.in.app.limits
	if !limits.LimitsAt(e.Index) {
		g.granted = nil
		return true
	}
	var ask limit.Ask
	g.in.reserved.ask(&ask, g.price)
	grant, exceeded := limits.AdmitAt(g.ctx, e.Index, ask)
	if exceeded != nil {
		if last := g.refused; last == nil || last.Never && !exceeded.Never || last.Never == exceeded.Never && exceeded.Wait < last.Wait {
			g.refused = exceeded
		}
		return false
	}
	g.granted = grant
	return true
}

// busy is what a request is told when no endpoint may be asked. plan is the
// wait for endpoints that rest.
func (g *gate) busy(plan time.Duration) error {
	switch {
	case g.refused == nil, g.refused.Never && plan > 0:
		return &busyError{wait: plan}
	case plan > 0:
		return &busyError{wait: min(plan, g.refused.Wait)}
	case strings.HasPrefix(g.refused.Limit, limit.RPM): // as the router's own, which is no other limit
		return &busyError{wait: g.refused.Wait}
	}
	return &limitError{g.refused}
}

// judgeLimit answers for a limit: rates with 429 and when to come back, quotas
// with 403, and what can never fit with 400.
func judgeLimit(e *limitError) outcome {
	h := http.Header{"X-Gateway-Limit": {e.Limit}}
	var o outcome
	switch {
	case e.Never && !e.Quota:
		o = ours(http.StatusBadRequest, codeInvalidPayload, e.Error(), 0)
		o.param = "max_tokens"
	case e.Quota:
		o = ours(http.StatusForbidden, codeQuotaExceeded, e.Error(), e.Wait)
	default:
		o = ours(http.StatusTooManyRequests, codeTooManyRequests, e.Error(), max(e.Wait, time.Millisecond))
	}
	o.extra = h
	return o
}
