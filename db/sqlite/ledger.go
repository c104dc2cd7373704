package sqlite

import (
	"context"
	"fmt"
	"time"

	"aigateway/persist"
)

// ledger is the database as those who tell what was used see it.
type ledger DB

const (
	bookExchange = `INSERT INTO apigtwyledger (
	exchange, timestamp_, minute, requestid, aiappname, tenant, caller, uname, endpoint, model, kind, status, cached,
	prompttokens, completiontokens, cachedtokens, reasoningtokens, savedtokens, priced, cost, savedcost,
	aborted, cut, attempts, operation, stream, durationms)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
	ON CONFLICT (exchange, timestamp_) DO NOTHING`
	// A sum that is too large for an integer is a float to SQLite, and the
	// least of both.
	addUsage = `INSERT INTO apigtwyusage AS u (
	hour, aiappname, tenant, caller, endpoint, model, kind, requests, answered, hits,
	prompttokens, completiontokens, cachedtokens, reasoningtokens, savedtokens, cost, savedcost, unpriced)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
	ON CONFLICT (hour, aiappname, tenant, caller, endpoint, model, kind) DO UPDATE SET
	requests = u.requests + excluded.requests, answered = u.answered + excluded.answered, hits = u.hits + excluded.hits,
	prompttokens = min(u.prompttokens + excluded.prompttokens, 9223372036854775807),
	completiontokens = min(u.completiontokens + excluded.completiontokens, 9223372036854775807),
	cachedtokens = min(u.cachedtokens + excluded.cachedtokens, 9223372036854775807),
	reasoningtokens = min(u.reasoningtokens + excluded.reasoningtokens, 9223372036854775807),
	savedtokens = min(u.savedtokens + excluded.savedtokens, 9223372036854775807),
	cost = min(u.cost + excluded.cost, 9223372036854775807),
	savedcost = min(u.savedcost + excluded.savedcost, 9223372036854775807),
	unpriced = min(u.unpriced + excluded.unpriced, 9223372036854775807)`
)

// book puts records into the ledger, as part of a change, and adds those that
// were not there to the totals: one row of them for each group.
func (l *ledger) book(ctx context.Context, records []*persist.Record) error {
	groups := map[persist.UsageRow]*persist.UsageRow{}
	for _, r := range records {
		if !r.Ledger {
			continue
		}
		u := persist.UsageOf(&r.Exchange)
		var minute any
		if u.Endpoint != "" {
			minute = minuteOf(r.Start)
		}
		added, err := l.writer.count(ctx, bookExchange,
			r.ID, r.Start.UnixMicro(), minute, persist.Dimension(r.RequestID),
			u.App, u.Tenant, u.Caller, u.User, u.Endpoint, u.Model, u.Kind, r.Status, r.Cached,
			u.Prompt, u.Completion, u.Cached, u.Reasoning, u.SavedTokens, persist.Dimension(r.Priced), u.Cost, u.SavedCost,
			r.Aborted, r.Cut, len(r.Attempts), persist.Dimension(r.Operation), r.Stream, millis(r.Duration))
		if err != nil {
			return err
		}
		if added == 0 {
			continue
		}
		u.User = ""
		if sum := groups[u.Group()]; sum != nil {
			sum.Add(&u)
		} else {
			groups[u.Group()] = &u
		}
	}
	for _, u := range groups {
		_, err := l.writer.exec(ctx, addUsage,
			u.Start.UnixMicro(), u.App, u.Tenant, u.Caller, u.Endpoint, u.Model, u.Kind, u.Requests, u.Answered, u.Hits,
			u.Prompt, u.Completion, u.Cached, u.Reasoning, u.SavedTokens, u.Cost, u.SavedCost, u.UnpricedUsed)
		if err != nil {
			return err
		}
	}
	return nil
}

// minuteOf is the number of a time's minute since 1970.
func minuteOf(t time.Time) int64 { return t.UTC().Truncate(time.Minute).Unix() / 60 }

// The sums are those of sumOf.
const selectMinutes = `SELECT minute, count(*),
	min(sum(prompttokens >> 31) * 2147483648 + sum(prompttokens & 2147483647), 9223372036854775807),
	min(sum(completiontokens >> 31) * 2147483648 + sum(completiontokens & 2147483647), 9223372036854775807),
	min(sum(cachedtokens >> 31) * 2147483648 + sum(cachedtokens & 2147483647), 9223372036854775807)
	FROM apigtwyledger WHERE minute >= ?1 AND minute < ?2 AND (?3 = '' OR aiappname = ?3)
	GROUP BY minute ORDER BY minute`

// Minutes implements persist.Ledger. It reads an index only.
func (l *ledger) Minutes(ctx context.Context, app string, from, to time.Time) (minutes []persist.Minute, err error) {
	from, to = persist.Widen(from, to, time.Minute)
	err = l.reader.query(ctx, selectMinutes, []any{minuteOf(from), minuteOf(to), persist.Dimension(app)}, func(scan func(...any) error) error {
		var m persist.Minute
		var minute int64
		err := scan(&minute, &m.Requests, &m.Prompt, &m.Completion, &m.Cached)
		m.Start = time.Unix(minute*60, 0).UTC()
		minutes = append(minutes, m)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("counting minutes: %w", (*DB)(l).note(err))
	}
	return minutes, nil
}

const expireBooked = `DELETE FROM apigtwyledger WHERE id IN (
	SELECT id FROM apigtwyledger WHERE timestamp_ < ?1 ORDER BY timestamp_, id LIMIT ?2)`

// ExpireLedger implements persist.Ledger.
func (l *ledger) ExpireLedger(ctx context.Context, before time.Time, limit int) (deleted int, done bool, err error) {
	err = l.writer.write(ctx, func(ctx context.Context) (err error) {
		deleted, err = l.writer.count(ctx, expireBooked, before.UnixMicro(), limit)
		return err
	}, nil)
	if err != nil {
		return 0, false, fmt.Errorf("deleting old rows of the ledger: %w", (*DB)(l).note(err))
	}
	return deleted, deleted < limit, nil
}
