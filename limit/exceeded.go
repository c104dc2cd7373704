package limit

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Exceeded says which limit a request does not fit in.
type Exceeded struct {
	Limit  string // id; of an endpoint or pool, its name behind that word
	Amount string // as in the configuration, such as tokensPerMinute
	// Per is whose account it is, such as "app=a user=u", values shortened. It
	// goes on to say so when the account is one for all for whom there was
	// no room: then Used is what all of them have used.
	Per string
	// Allowed, Used and Asked are in requests, tokens, or billionths of the
	// currency. Allowed is this replica's part while replicas cannot count
	// together.
	Allowed, Used, Asked int64
	// Wait is the time until the request may fit, 0 when it never will.
	Wait  time.Duration
	Quota bool // of a day or month
	Never bool // the request asks for more than the whole limit
}

// exceeded returns a refusal by a rule and counts it. The purse is nil when the
// whole limit is too little.
func (g *Grant) exceeded(ask *Ask, e *entry, a amount, s standing) *Exceeded {
	b := e.rule.book
	b.refused.Add(1)
	if e.purse != nil && e.purse.rest {
		b.crowded.Add(1)
	}
	return &Exceeded{
		Limit: b.limit, Amount: a.String(), Per: e.rule.whose(ask, e.purse),
		Allowed: s.allowed, Used: max(s.used, 0), Asked: a.of(g.tokens, g.cost),
		Quota: a < quotas,
	}
}

// Error returns a sentence for the client that says what to do.
func (e *Exceeded) Error() string {
	of := ""
	if e.Per != "" {
		of = " for " + e.Per
	}
	switch {
	case e.Never:
		return fmt.Sprintf("the request asks for %s, and limit %s allows %s%s: send a shorter prompt or ask for a shorter answer",
			e.count(e.Asked), e.Limit, e.allows(), of)
	case e.Amount == concurrent.String():
		return fmt.Sprintf("limit %s allows %s%s: try again when one has ended", e.Limit, e.allows(), of)
	}
	return fmt.Sprintf("limit %s allows %s%s, %s are used, and the request asks for %s: try again in %s",
		e.Limit, e.allows(), of, e.number(e.Used), e.number(e.Asked), roundUp(e.Wait))
}

// roundUp returns a wait as it is named: what is less than a second is one.
func roundUp(d time.Duration) time.Duration {
	return (d + time.Second - 1).Truncate(time.Second)
}

// allows says what the limit allows.
func (e *Exceeded) allows() string {
	if e.Amount == concurrent.String() {
		return e.number(e.Allowed) + " requests at a time"
	}
	_, per, _ := strings.Cut(e.Amount, "Per")
	return e.count(e.Allowed) + " per " + strings.ToLower(per)
}

// count returns an amount with what is counted.
func (e *Exceeded) count(n int64) string {
	what, _, _ := strings.Cut(e.Amount, "Per")
	if what == "cost" {
		return "a cost of " + e.number(n)
	}
	return e.number(n) + " " + what
}

func (e *Exceeded) number(n int64) string {
	if strings.HasPrefix(e.Amount, "cost") {
		return strconv.FormatFloat(float64(n)/billion, 'f', -1, 64)
	}
	return strconv.FormatInt(n, 10)
}
