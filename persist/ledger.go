package persist

import (
	"context"
	"time"
)

// Ledger is what a database must do to tell how much was used: package
// db/dbtest is its specification. Store.Insert writes it: of each record with
// Ledger one row, and in the same transaction, once, its part of the totals.
type Ledger interface {
	// Usage returns totals over the hours that overlap the query's time, grouped
	// by its dimensions and ordered by them; at most most+1 rows, so that the
	// caller can tell that there are more.
	Usage(ctx context.Context, q UsageQuery, most int) ([]UsageRow, error)
	// Minutes returns, in order, the minutes from a time until another in which
	// endpoints were asked on behalf of an application, which is all of them
	// when empty. Answers from the cache are not among them.
	Minutes(ctx context.Context, app string, from, to time.Time) ([]Minute, error)
	// ExpireLedger deletes rows that began before a time, at most limit of those
	// that cannot be dropped whole. The totals stay.
	ExpireLedger(ctx context.Context, before time.Time, limit int) (deleted int, done bool, err error)
}

// The dimensions of a UsageQuery.
const (
	ByApp      = "app"
	ByTenant   = "tenant"
	ByCaller   = "caller"
	ByUser     = "user" // read from the rows, not from the totals: as far back as they are kept
	ByEndpoint = "endpoint"
	ByModel    = "model"
	ByKind     = "kind"
	ByHour     = "hour"
	ByDay      = "day"
)

// UsageQuery asks how much was used.
type UsageQuery struct {
	From, To time.Time // To is not part of it
	By       []string  // dimensions, each once; ByHour and ByDay not together
	// App, Tenant and Caller are whose usage is meant; nil means anybody's, the
	// empty text what was nobody's.
	App, Tenant, Caller *string
}

// UsageRow is the usage of one group; the dimensions that were not asked for
// are empty.
type UsageRow struct {
	Start    time.Time // of the hour or day, UTC
	App      string
	Tenant   string
	Caller   string
	User     string
	Endpoint string // of the last attempt; empty for answers from the cache
	Model    string // as it answered, else as it was asked for
	Kind     string // KindOf

	Requests     int64 // exchanges in the ledger
	Answered     int64 // of them, those with a 2xx status
	Hits         int64 // of them, those from the cache
	Prompt       int64 // tokens
	Completion   int64
	Cached       int64 // part of Prompt
	Reasoning    int64 // part of Completion
	SavedTokens  int64 // by the cache: prompt and completion
	Cost         int64 // billionths of the catalogue's currency
	SavedCost    int64
	UnpricedUsed int64 // tokens that the catalogue had no price for
}

// The kinds of usage.
const (
	KindReported  = "reported"  // by the endpoint
	KindEstimated = "estimated" // by the gateway
	KindNone      = "none"      // nothing was used, or nobody knows what
)

// KindOf is the kind of an exchange's usage.
func KindOf(x *Exchange) string {
	switch {
	case x.Usage.Reported:
		return KindReported
	case x.Usage.Estimated:
		return KindEstimated
	}
	return KindNone
}

// ModelOf is the model that an exchange is counted under.
func ModelOf(x *Exchange) string {
	if x.Answered != "" {
		return x.Answered
	}
	return x.Model
}

// Minute is what was asked of endpoints in one minute.
type Minute struct {
	Start              time.Time // of the minute, UTC
	Requests           int64
	Prompt, Completion int64 // tokens
	Cached             int64 // part of Prompt
}
