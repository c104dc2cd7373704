package postgres

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"aigateway/persist"
)

// Usage is read by a statement of these parts; the dimensions come between
// them, out of the list of usageColumn.
const (
	usageSumsSQL = `, least(sum(requests), 9223372036854775807)::bigint, least(sum(answered), 9223372036854775807)::bigint,
	least(sum(hits), 9223372036854775807)::bigint, least(sum(prompttokens), 9223372036854775807)::bigint,
	least(sum(completiontokens), 9223372036854775807)::bigint, least(sum(cachedtokens), 9223372036854775807)::bigint,
	least(sum(reasoningtokens), 9223372036854775807)::bigint, least(sum(savedtokens), 9223372036854775807)::bigint,
	least(sum(cost), 9223372036854775807)::bigint, least(sum(savedcost), 9223372036854775807)::bigint,
	least(sum(unpriced), 9223372036854775807)::bigint FROM `
	usageTotalsSQL = `apigtwyusage WHERE hour >= $1 AND hour < $2`
	usageRowsSQL   = `(SELECT date_trunc('hour', timestamp_ AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS hour, aiappname, tenant, caller, uname,
	endpoint, model, kind, 1 AS requests, (status BETWEEN 200 AND 299)::integer AS answered, cached::integer AS hits,
	prompttokens, completiontokens, cachedtokens, reasoningtokens, savedtokens, cost, savedcost,
	CASE WHEN priced = '' THEN prompttokens + completiontokens ELSE 0 END AS unpriced
FROM apigtwyledger WHERE timestamp_ >= $1 AND timestamp_ < $2 AND minute >= $1 AND minute < $2) AS entries WHERE true`
	usageEndSQL = ` HAVING count(*) > 0`
)

// usageColumn is where a dimension is in the result, and how it is read.
func usageColumn(by string) (at int, column string) {
	switch by {
	case persist.ByHour:
		return 0, `hour`
	case persist.ByDay:
		return 0, `date_trunc('day', hour AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'`
	case persist.ByApp:
		return 1, `aiappname`
	case persist.ByTenant:
		return 2, `tenant`
	case persist.ByCaller:
		return 3, `caller`
	case persist.ByUser:
		return 4, `uname`
	case persist.ByEndpoint:
		return 5, `endpoint`
	case persist.ByModel:
		return 6, `model`
	case persist.ByKind:
		return 7, `kind`
	}
	panic("BUG: usage by " + by + " was let through")
}

// usageSQL returns the statement for a query that is without fault, and its
// arguments.
func usageSQL(q *persist.UsageQuery, most int) (statement string, args []any) {
	from, to := persist.Widen(q.From, q.To, time.Hour)
	args = []any{from, to}
	columns, source := []string{`NULL::timestamptz`, `''`, `''`, `''`, `''`, `''`, `''`, `''`}, usageTotalsSQL
	var groups []string
	for _, by := range q.By {
		at, column := usageColumn(by)
		columns[at] = column
		groups = append(groups, strconv.Itoa(at+1))
		if by == persist.ByUser {
			source = usageRowsSQL
		}
	}
	var s strings.Builder
	s.WriteString(`SELECT ` + strings.Join(columns, `, `) + usageSumsSQL + source)
	for _, f := range [...]struct {
		column string
		is     *string
	}{{`aiappname`, q.App}, {`tenant`, q.Tenant}, {`caller`, q.Caller}} {
		if f.is != nil {
			args = append(args, persist.Dimension(*f.is))
			s.WriteString(` AND ` + f.column + ` = $` + strconv.Itoa(len(args)))
		}
	}
	order := ``
	if groups != nil {
		list := strings.Join(groups, `, `)
		s.WriteString(` GROUP BY ` + list)
		order = ` ORDER BY ` + list
	}
	args = append(args, most+1)
	s.WriteString(usageEndSQL + order + ` LIMIT $` + strconv.Itoa(len(args)))
	return s.String(), args
}

// Usage reads the totals, or the ledger's rows when users are told apart.
func (l *ledger) Usage(ctx context.Context, q persist.UsageQuery, most int) (list []persist.UsageRow, err error) {
	if err := q.Check(); err != nil {
		return nil, err
	}
	statement, args := usageSQL(&q, most)
	err = l.db().within(ctx, sweepBudget, "adding up usage", func(ctx context.Context, c *pgxpool.Conn) error {
		// Not prepared: there are more statements than are worth keeping.
		rows, err := c.Query(ctx, statement, append([]any{pgx.QueryExecModeExec}, args...)...)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, scanUsage)
		return err
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

func scanUsage(rows pgx.CollectableRow) (r persist.UsageRow, err error) {
	var start *time.Time
	err = rows.Scan(&start, &r.App, &r.Tenant, &r.Caller, &r.User, &r.Endpoint, &r.Model, &r.Kind,
		&r.Requests, &r.Answered, &r.Hits, &r.Prompt, &r.Completion, &r.Cached, &r.Reasoning, &r.SavedTokens, &r.Cost, &r.SavedCost, &r.UnpricedUsed)
	if start != nil {
		r.Start = start.UTC()
	}
	return r, err
}
