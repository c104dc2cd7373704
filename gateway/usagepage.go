package gateway

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"aigateway/auth"
	"aigateway/persist"
)

// mostUsageRows bounds what one page of usage shows.
const mostUsageRows = 100_000

// ReadUsageQuery reads from, to, by, app, tenant and caller, as the usage
// page's query has them. Times are days or RFC 3339; without them it is the
// month until now. An error is for the one who asked.
func ReadUsageQuery(v url.Values, now time.Time) (persist.UsageQuery, error) {
	now = now.UTC()
	q := persist.UsageQuery{By: []string{persist.ByApp}}
	var err error
	if q.From, err = readTime(v, "from", time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)); err != nil {
		return q, err
	}
	if q.To, err = readTime(v, "to", now); err != nil {
		return q, err
	}
	if !q.From.Before(q.To) {
		return q, badQuery("from", "from must be before to.")
	}
	if by := v.Get("by"); by != "" {
		q.By = nil
		for name := range strings.SplitSeq(by, ",") {
			q.By = append(q.By, strings.ToLower(strings.TrimSpace(name)))
		}
	}
	if err := q.Check(); err != nil {
		return q, badQuery("by", err.Error())
	}
	for _, one := range []struct {
		name string
		to   **string
	}{{"app", &q.App}, {"tenant", &q.Tenant}, {"caller", &q.Caller}} {
		if v.Has(one.name) {
			value := v.Get(one.name)
			*one.to = &value
		}
	}
	return q, nil
}

func readTime(v url.Values, name string, absent time.Time) (time.Time, error) {
	text := v.Get(name)
	if text == "" {
		return absent, nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if at, err := time.Parse(layout, text); err == nil && at.Year() >= 2000 && at.Year() < 2200 {
			return at.UTC(), nil
		}
	}
	return time.Time{}, badQuery(name, name+" must be a day such as 2025-01-31, or a time such as 2025-01-31T12:00:00Z.")
}

func badQuery(param, message string) error {
	return &refusal{http.StatusBadRequest, codeInvalidPayload, message, param}
}

// showUsage answers with what was used: to the admin all of it, to a caller
// its own.
func (s *Server) showUsage(c *gin.Context) error {
	q, err := ReadUsageQuery(c.Request.URL.Query(), s.now())
	if err != nil {
		return err
	}
	if err := s.ownUsage(c, &q); err != nil {
		return err
	}
	if s.ledger == nil {
		return noLedger()
	}
	rows, err := s.ledger.Usage(c.Request.Context(), q, mostUsageRows)
	if err != nil {
		return &storeError{err}
	}
	if len(rows) > mostUsageRows {
		return badQuery("by", "There are more than "+strconv.Itoa(mostUsageRows)+" rows; ask for a shorter time or fewer dimensions.")
	}
	currency := s.live.Load().Config.Ledger.Currency
	if c.Query("format") == "csv" || c.Query("format") == "" && strings.Contains(c.GetHeader("Accept"), "text/csv") {
		c.Header("Content-Type", "text/csv; charset=utf-8")
		c.Header("Content-Disposition", `attachment; filename="usage.csv"`)
		return WriteUsageCSV(c.Writer, rows, q.By, currency)
	}
	c.JSON(http.StatusOK, UsagePage(rows, q, currency))
	return nil
}

func noLedger() error {
	return &refusal{http.StatusNotFound, codeNotFound, "Usage is not kept: set API_GATEWAY_LEDGER=true.", ""}
}

// ownUsage bounds a query to what the one who asks may see.
func (s *Server) ownUsage(c *gin.Context, q *persist.UsageQuery) error {
	if auth.Admin(s.settings.Key, auth.Key(c.Request.Header)) {
		return nil
	}
	snap := s.live.Load()
	caller, ok := snap.callers.Identify(c.Request.Header)
	if !ok || len(snap.Config.Callers) == 0 {
		return &refusal{
			http.StatusUnauthorized, codeUnauthorized,
			"This page needs a key: a caller's for its own usage, or the gateway's (API_GATEWAY_KEY). Send it as Authorization: Bearer.", "",
		}
	}
	if q.Caller != nil && *q.Caller != caller.ID {
		return &refusal{http.StatusForbidden, codeForbidden, "A caller may see its own usage only.", "caller"}
	}
	q.Caller = &caller.ID
	if caller.Tenant != "" {
		q.Tenant = &caller.Tenant
		return nil
	}
	if !snap.namesTenants(caller) {
		return nil
	}
	// Whose the usage is, the request has to say as it does for a chat.
	var app *App
	if q.App != nil {
		app = snap.App(*q.App)
	}
	if app == nil || !caller.May(app.AppID) {
		return badQuery("app", "Name one of your AI applications (app=…), and your tenant as in its requests: this key serves several tenants.")
	}
	tenant, err := app.tenancy.Tenant(c.Request.Header, oneOf(c), caller)
	if err != nil {
		return err
	}
	q.App, q.Tenant = &app.AppID, &tenant
	return nil
}

// namesTenants reports whether an application of a caller reads tenants from
// requests.
func (s *Snapshot) namesTenants(caller *auth.Caller) bool {
	return slices.ContainsFunc(s.apps, func(app *App) bool { return app.tenancy != nil && caller.May(app.AppID) })
}

// usageColumns are the sums of a row, by name.
func usageColumns(r *persist.UsageRow) []struct {
	name  string
	value json.Number
} {
	whole := func(n int64) json.Number { return json.Number(strconv.FormatInt(n, 10)) }
	return []struct {
		name  string
		value json.Number
	}{
		{"requests", whole(r.Requests)},
		{"answered", whole(r.Answered)},
		{"cacheHits", whole(r.Hits)},
		{"promptTokens", whole(r.Prompt)},
		{"completionTokens", whole(r.Completion)},
		{"cachedTokens", whole(r.Cached)},
		{"reasoningTokens", whole(r.Reasoning)},
		{"savedTokens", whole(r.SavedTokens)},
		{"unpricedTokens", whole(r.UnpricedUsed)},
		{"cost", money(r.Cost)},
		{"savedCost", money(r.SavedCost)},
	}
}

// money is an amount in the currency, without zeros at its end.
func money(billionths int64) json.Number {
	sign, n := "", uint64(billionths)
	if billionths < 0 {
		sign, n = "-", -n
	}
	text := fmt.Sprintf("%s%d.%09d", sign, n/1e9, n%1e9)
	return json.Number(strings.TrimSuffix(strings.TrimRight(text, "0"), "."))
}

// dimension is a row's value of one.
func dimension(r *persist.UsageRow, name string) string {
	switch name {
	case persist.ByApp:
		return r.App
	case persist.ByTenant:
		return r.Tenant
	case persist.ByCaller:
		return r.Caller
	case persist.ByUser:
		return r.User
	case persist.ByEndpoint:
		return r.Endpoint
	case persist.ByModel:
		return r.Model
	case persist.ByKind:
		return r.Kind
	case persist.ByDay:
		return r.Start.UTC().Format(time.DateOnly)
	}
	return r.Start.UTC().Format(time.RFC3339)
}

// UsagePage is usage as its page shows it: for JSON.
func UsagePage(rows []persist.UsageRow, q persist.UsageQuery, currency string) any {
	shown := make([]map[string]any, len(rows))
	for i := range rows {
		shown[i] = map[string]any{}
		for _, by := range q.By {
			shown[i][by] = dimension(&rows[i], by)
		}
		for _, column := range usageColumns(&rows[i]) {
			shown[i][column.name] = column.value
		}
	}
	from, to := persist.Widen(q.From, q.To, time.Hour)
	return map[string]any{"from": from, "to": to, "by": q.By, "currency": currency, "usage": shown}
}

// WriteUsageCSV writes usage as comma-separated values (RFC 4180), with a
// line of names first.
func WriteUsageCSV(w io.Writer, rows []persist.UsageRow, by []string, currency string) error {
	out := csv.NewWriter(w)
	names := slices.Clone(by)
	for _, column := range usageColumns(&persist.UsageRow{}) {
		names = append(names, column.name)
	}
	lines := [][]string{append(names, "currency")}
	for i := range rows {
		var line []string
		for _, name := range by {
			line = append(line, plainCell(dimension(&rows[i], name)))
		}
		for _, column := range usageColumns(&rows[i]) {
			line = append(line, column.value.String())
		}
		lines = append(lines, append(line, currency))
	}
	if err := out.WriteAll(lines); err != nil {
		return fmt.Errorf("writing usage: %w", err)
	}
	return nil
}

// plainCell keeps a text that a client chose from being taken for a formula by
// a spreadsheet: https://owasp.org/www-community/attacks/CSV_Injection
func plainCell(s string) string {
	first, _ := utf8.DecodeRuneInString(strings.TrimLeft(s, " \u00a0\u3000"))
	if s != "" && strings.ContainsRune("=+-@\t\r＝＋－＠", first) {
		return "'" + s
	}
	return s
}
