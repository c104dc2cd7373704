package simulator

import (
	"cmp"
	"net/http"
	"strconv"
	"time"
)

// window counts what a deployment was asked for in one minute, from the first request on.
type window struct {
	start            time.Time
	requests, tokens int
}

// unlimited is what a deployment without a limit reports as limit and remainder.
const unlimited = 1_000_000

// admit counts a request of so many tokens against the deployment's RPM and TPM, and returns the 429 of a request over
// them. As on Azure, tokens are those of the prompt and those that may be generated, whatever is generated then.
func (c *call) admit(tokens int) (refusal reply, admitted bool) {
	s := c.s
	s.mu.Lock()
	d, now := c.d, s.now()
	if now.Sub(d.window.start) >= time.Minute || now.Before(d.window.start) {
		d.window = window{start: now}
	}
	w := &d.window
	overRequests := d.RPM > 0 && w.requests+1 > d.RPM
	overTokens := d.TPM > 0 && w.tokens+tokens > d.TPM
	if !overRequests && !overTokens {
		w.requests++
		w.tokens += tokens
	}
	count, rest := *w, time.Minute-now.Sub(w.start)
	s.mu.Unlock()

	c.rate = [4]string{
		strconv.Itoa(cmp.Or(d.RPM, unlimited)), remaining(d.RPM, count.requests),
		strconv.Itoa(cmp.Or(d.TPM, unlimited)), remaining(d.TPM, count.tokens),
	}
	if overRequests || overTokens {
		return c.throttled(rest, overTokens && !overRequests), false
	}
	return reply{}, true
}

func remaining(limit, used int) string {
	if limit == 0 {
		return strconv.Itoa(unlimited)
	}
	return strconv.Itoa(max(0, limit-used))
}

// throttled is the 429 of a deployment that is over its limit for rest longer.
func (c *call) throttled(rest time.Duration, tokens bool) reply {
	seconds := strconv.Itoa(int((rest + time.Second - 1) / time.Second))
	limit, reset, policy := "call", "X-Ratelimit-Reset-Requests", "DeploymentRatelimit-Call"
	if tokens {
		limit, reset, policy = "token", "X-Ratelimit-Reset-Tokens", "DeploymentRatelimit-Token"
	}
	var a reply
	resetValue := seconds // whole seconds on Azure, a duration on OpenAI
	switch c.target.service {
	case serviceOpenAI:
		kind, unit := "requests", "requests per min (RPM)"
		if tokens {
			kind, unit = "tokens", "tokens per min (TPM)"
		}
		resetValue += "s"
		a = modelError(http.StatusTooManyRequests, kind, "", "rate_limit_exceeded",
			"Rate limit reached for "+c.target.deployment+" on "+unit+". Please try again in "+seconds+"s.")
	case serviceTranslator:
		a = translatorError(http.StatusTooManyRequests, 429001, "The server rejected the request because the client has exceeded request limits.")
	default:
		a = azureError(http.StatusTooManyRequests, "429", "Requests to the "+c.operationName()+" Operation under Azure OpenAI API version "+
			cmp.Or(c.query().Get("api-version"), "v1")+" have exceeded "+limit+" rate limit of your current OpenAI S0 pricing tier. "+
			"Please retry after "+seconds+" seconds. Please go here: https://aka.ms/oai/quotaincrease if you would like to further increase the default rate limit.")
		a.header = append(a.header, "Policy-Id", policy)
	}
	a.header = append(a.header, "Retry-After", seconds, "Retry-After-Ms", strconv.FormatInt(max(1, rest.Milliseconds()), 10), reset, resetValue)
	return a
}

// operationName is what Azure calls the operation in its errors.
func (c *call) operationName() string {
	switch c.target.operation {
	case "chat/completions":
		return "ChatCompletions_Create"
	case "completions":
		return "Completions_Create"
	case "embeddings":
		return "Embeddings_Create"
	}
	return c.target.operation
}
