package persist

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Ledger is what a database must do to tell how much was used: package
// db/dbtest is its specification. Store.Insert writes it: of each record with
// Ledger one row, and in the same transaction, once, its part of the totals.
type Ledger interface {
	// Usage returns totals over the hours that overlap the query's time, grouped
	// by its dimensions and ordered by them, texts byte by byte; at most most+1
	// rows, so that the caller can tell that there are more, and none when
	// nothing was. What Check finds fault with is an error.
	Usage(ctx context.Context, q UsageQuery, most int) ([]UsageRow, error)
	// Minutes returns, in order, the minutes that overlap the time from a moment
	// until another in which endpoints were asked on behalf of an application,
	// of any when it is empty. Answers from the cache are not among them.
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

// dimensions are all there are.
func dimensions() []string {
	return []string{ByApp, ByTenant, ByCaller, ByUser, ByEndpoint, ByModel, ByKind, ByHour, ByDay}
}

// Check finds fault with dimensions that there are not, that are given twice,
// and with hours and days together.
func (q *UsageQuery) Check() error {
	for i, by := range q.By {
		if !slices.Contains(dimensions(), by) {
			return fmt.Errorf("usage has no dimension %.40q: it has %s", by, strings.Join(dimensions(), ", "))
		}
		if slices.Contains(q.By[:i], by) {
			return fmt.Errorf("usage by %s twice", by)
		}
	}
	if slices.Contains(q.By, ByHour) && slices.Contains(q.By, ByDay) {
		return fmt.Errorf("usage by %s and by %s: one of them", ByHour, ByDay)
	}
	return nil
}

// Widen cuts from down, and to up, to whole units of UTC.
func Widen(from, to time.Time, unit time.Duration) (first, end time.Time) {
	first, end = from.UTC().Truncate(unit), to.UTC().Truncate(unit)
	if end.Before(to) {
		end = end.Add(unit)
	}
	return first, end
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
	Model    string // ModelOf
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

// UsageOf is what one exchange adds to the totals of its hour, under the
// dimensions that it is counted by.
func UsageOf(x *Exchange) UsageRow {
	r := UsageRow{
		Start: x.Start.UTC().Truncate(time.Hour),
		App:   Dimension(x.App), Tenant: Dimension(x.Tenant), Caller: Dimension(x.Caller), User: Dimension(x.User),
		Model: Dimension(ModelOf(x)), Kind: KindOf(x),
		Requests: 1,
		Prompt:   counted(x.Usage.PromptTokens), Completion: counted(x.Usage.CompletionTokens),
		Cached: counted(x.Usage.CachedTokens), Reasoning: counted(x.Usage.ReasoningTokens),
		SavedTokens: counted(x.Saved.PromptTokens) + counted(x.Saved.CompletionTokens),
		Cost:        counted(x.Cost), SavedCost: counted(x.SavedCost),
	}
	if x.Status >= 200 && x.Status < 300 {
		r.Answered = 1
	}
	if x.Cached {
		r.Hits = 1
	} else if n := len(x.Attempts); n > 0 {
		r.Endpoint = Dimension(x.Attempts[n-1].ID)
	}
	if x.Priced == "" {
		r.UnpricedUsed = r.Prompt + r.Completion
	}
	return r
}

// mostCounted bounds what one exchange adds to a sum: what is above it no
// endpoint reports (openai.Usage ends there too), and two of them still make
// an int64.
const mostCounted = 1 << 53

func counted(n int64) int64 { return min(max(n, 0), mostCounted) }

// mostDimension is the characters of a text that the ledger keeps: tenants,
// users and models are told from outside.
const mostDimension = 200

// Dimension is a text as the ledger keeps it, for each to compare with: its
// first 200 characters, in UTF-8 without NUL.
func Dimension(s string) string {
	if len(s) > mostDimension {
		n := 0
		for i := range s {
			if n++; n > mostDimension {
				s = s[:i]
				break
			}
		}
	}
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "\ufffd")
	}
	return strings.ToValidUTF8(s, "\ufffd")
}

// Group is a row with nothing but its dimensions.
func (r *UsageRow) Group() UsageRow {
	return UsageRow{
		Start: r.Start, App: r.App, Tenant: r.Tenant, Caller: r.Caller, User: r.User,
		Endpoint: r.Endpoint, Model: r.Model, Kind: r.Kind,
	}
}

// Add adds the sums of another row; they do not grow beyond an int64.
func (r *UsageRow) Add(o *UsageRow) {
	from := o.sums()
	for i, to := range r.sums() {
		*to += min(*from[i], math.MaxInt64-*to)
	}
}

// sums are what there is beside the dimensions.
func (r *UsageRow) sums() [11]*int64 {
	return [...]*int64{
		&r.Requests, &r.Answered, &r.Hits, &r.Prompt, &r.Completion, &r.Cached, &r.Reasoning,
		&r.SavedTokens, &r.Cost, &r.SavedCost, &r.UnpricedUsed,
	}
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

// ModelOf is the model that an exchange is counted under: as it answered, else
// as it was asked for. One that nobody answered is counted under none, since
// anybody can ask for anything.
func ModelOf(x *Exchange) string {
	if x.Answered != "" || x.Usage.PromptTokens|x.Usage.CompletionTokens|x.Saved.PromptTokens|x.Saved.CompletionTokens == 0 {
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
