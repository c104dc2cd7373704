package sqlite

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"aigateway/persist"
)

// Usage is read by a statement of these parts; the dimensions come between
// them, out of the list of usageColumn.
const (
	selectTotals = `apigtwyusage WHERE hour >= ? AND hour < ?`
	selectRows   = `(SELECT timestamp_ - ((timestamp_ % 3600000000) + 3600000000) % 3600000000 AS hour,
	aiappname, tenant, caller, uname, endpoint, model, kind, 1 AS requests, status BETWEEN 200 AND 299 AS answered, cached AS hits,
	prompttokens, completiontokens, cachedtokens, reasoningtokens, savedtokens, cost, savedcost,
	iif(priced = '', prompttokens + completiontokens, 0) AS unpriced
	FROM apigtwyledger WHERE timestamp_ >= ? AND timestamp_ < ?) WHERE true`
	havingUsage = ` HAVING count(*) > 0`
)

// sumOf adds a column up, to no more than an integer. SQLite gives up on a sum
// that is too large: it is taken in two halves. Put together those are a float
// when they are too large, and the least is an integer again.
func sumOf(column string) string {
	return `, min(sum(` + column + ` >> 31) * 2147483648 + sum(` + column + ` & 2147483647), 9223372036854775807)`
}

// usageColumn is where a dimension is in the result, and how it is read.
func usageColumn(by string) (at int, column string) {
	switch by {
	case persist.ByHour:
		return 0, `hour`
	case persist.ByDay:
		return 0, `hour - ((hour % 86400000000) + 86400000000) % 86400000000`
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

// usageQuery returns the statement for a query that is without fault, and its
// arguments.
func usageQuery(q *persist.UsageQuery, most int) (statement string, args []any) {
	from, to := persist.Widen(q.From, q.To, time.Hour)
	args = []any{from.UnixMicro(), to.UnixMicro()}
	columns, source := []string{`NULL`, `''`, `''`, `''`, `''`, `''`, `''`, `''`}, selectTotals
	var groups []string
	for _, by := range q.By {
		at, column := usageColumn(by)
		columns[at] = column
		groups = append(groups, strconv.Itoa(at+1))
		if by == persist.ByUser {
			source = selectRows
		}
	}
	var s strings.Builder
	s.WriteString(`SELECT ` + strings.Join(columns, `, `))
	for _, column := range [...]string{
		`requests`, `answered`, `hits`, `prompttokens`, `completiontokens`, `cachedtokens`, `reasoningtokens`,
		`savedtokens`, `cost`, `savedcost`, `unpriced`,
	} {
		s.WriteString(sumOf(column))
	}
	s.WriteString(` FROM ` + source)
	for _, f := range [...]struct {
		column string
		is     *string
	}{{`aiappname`, q.App}, {`tenant`, q.Tenant}, {`caller`, q.Caller}} {
		if f.is != nil {
			args = append(args, persist.Dimension(*f.is))
			s.WriteString(` AND ` + f.column + ` = ?`)
		}
	}
	order := ``
	if groups != nil {
		list := strings.Join(groups, `, `)
		s.WriteString(` GROUP BY ` + list)
		order = ` ORDER BY ` + list
	}
	s.WriteString(havingUsage + order + ` LIMIT ?`)
	return s.String(), append(args, most+1)
}

// Usage implements persist.Ledger. It reads the totals, or the ledger's rows
// when users are told apart.
func (l *ledger) Usage(ctx context.Context, q persist.UsageQuery, most int) (list []persist.UsageRow, err error) {
	if err := q.Check(); err != nil {
		return nil, err
	}
	statement, args := usageQuery(&q, most)
	// Not prepared: there are more statements than are worth keeping.
	rows, err := l.reader.db.QueryContext(ctx, statement, args...)
	err = drain(rows, err, func(scan func(...any) error) error {
		var r persist.UsageRow
		var start *int64
		err := scan(&start, &r.App, &r.Tenant, &r.Caller, &r.User, &r.Endpoint, &r.Model, &r.Kind,
			&r.Requests, &r.Answered, &r.Hits, &r.Prompt, &r.Completion, &r.Cached, &r.Reasoning, &r.SavedTokens, &r.Cost, &r.SavedCost, &r.UnpricedUsed)
		if start != nil {
			r.Start = instant(*start)
		}
		list = append(list, r)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("adding up usage: %w", (*DB)(l).note(err))
	}
	return list, nil
}
