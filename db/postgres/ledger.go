package postgres

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"aigateway/persist"
)

// ledger is the database as those who tell what was used see it.
type ledger DB

func (l *ledger) db() *DB { return (*DB)(l) }

// bookSQL puts the entries of a batch, as JSON, into the ledger, and adds those
// that were not there to the totals: one row of them for each group. Totals
// are locked in the order of their key, so that replicas wait for each other
// in turn; they do not grow beyond a bigint.
const bookSQL = `WITH added AS (
	INSERT INTO apigtwyledger AS l (exchange, timestamp_, minute, requestid, aiappname, tenant, caller, uname, endpoint, model, kind, status, cached,
		prompttokens, completiontokens, cachedtokens, reasoningtokens, savedtokens, priced, cost, savedcost,
		aborted, cut, attempts, operation, stream, durationms)
	SELECT exchange, timestamp_, minute, requestid, aiappname, tenant, caller, uname, endpoint, model, kind, status, cached,
		prompttokens, completiontokens, cachedtokens, reasoningtokens, savedtokens, priced, cost, savedcost,
		aborted, cut, attempts, operation, stream, durationms
	FROM json_to_recordset($1::json) AS e (exchange uuid, timestamp_ timestamptz, minute timestamptz, requestid text,
		aiappname text, tenant text, caller text, uname text, endpoint text, model text, kind text, status integer, cached boolean,
		prompttokens bigint, completiontokens bigint, cachedtokens bigint, reasoningtokens bigint, savedtokens bigint,
		priced text, cost bigint, savedcost bigint, aborted boolean, cut boolean, attempts integer, operation text, stream boolean,
		durationms double precision)
	ORDER BY exchange
	ON CONFLICT (exchange, timestamp_) DO NOTHING
	RETURNING date_trunc('hour', l.timestamp_ AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS hour, l.aiappname, l.tenant, l.caller,
		l.endpoint, l.model, l.kind, l.status, l.cached, l.prompttokens, l.completiontokens, l.cachedtokens, l.reasoningtokens,
		l.savedtokens, l.priced, l.cost, l.savedcost
)
INSERT INTO apigtwyusage AS u (hour, dimensions, aiappname, tenant, caller, endpoint, model, kind, requests, answered, hits,
	prompttokens, completiontokens, cachedtokens, reasoningtokens, savedtokens, cost, savedcost, unpriced)
SELECT hour, sha256(convert_to(json_build_array(aiappname, tenant, caller, endpoint, model, kind)::text, 'UTF8')),
	aiappname, tenant, caller, endpoint, model, kind,
	count(*), count(*) FILTER (WHERE status BETWEEN 200 AND 299), count(*) FILTER (WHERE cached),
	least(sum(prompttokens), 9223372036854775807)::bigint, least(sum(completiontokens), 9223372036854775807)::bigint,
	least(sum(cachedtokens), 9223372036854775807)::bigint, least(sum(reasoningtokens), 9223372036854775807)::bigint,
	least(sum(savedtokens), 9223372036854775807)::bigint, least(sum(cost), 9223372036854775807)::bigint,
	least(sum(savedcost), 9223372036854775807)::bigint,
	least(coalesce(sum(prompttokens + completiontokens) FILTER (WHERE priced = ''), 0), 9223372036854775807)::bigint
FROM added GROUP BY hour, aiappname, tenant, caller, endpoint, model, kind ORDER BY 1, 2
ON CONFLICT (hour, dimensions) DO UPDATE SET
	requests = u.requests + excluded.requests, answered = u.answered + excluded.answered, hits = u.hits + excluded.hits,
	prompttokens = least(u.prompttokens::numeric + excluded.prompttokens, 9223372036854775807),
	completiontokens = least(u.completiontokens::numeric + excluded.completiontokens, 9223372036854775807),
	cachedtokens = least(u.cachedtokens::numeric + excluded.cachedtokens, 9223372036854775807),
	reasoningtokens = least(u.reasoningtokens::numeric + excluded.reasoningtokens, 9223372036854775807),
	savedtokens = least(u.savedtokens::numeric + excluded.savedtokens, 9223372036854775807),
	cost = least(u.cost::numeric + excluded.cost, 9223372036854775807),
	savedcost = least(u.savedcost::numeric + excluded.savedcost, 9223372036854775807),
	unpriced = least(u.unpriced::numeric + excluded.unpriced, 9223372036854775807)`

// entry is a row of the ledger, its members named as the columns.
type entry struct {
	Exchange         uuid.UUID `json:"exchange"`
	Start            time.Time `json:"timestamp_"`
	Minute           time.Time `json:"minute"`
	RequestID        string    `json:"requestid"`
	App              string    `json:"aiappname"`
	Tenant           string    `json:"tenant"`
	Caller           string    `json:"caller"`
	User             string    `json:"uname"`
	Endpoint         string    `json:"endpoint"`
	Model            string    `json:"model"`
	Kind             string    `json:"kind"`
	Status           int32     `json:"status"`
	Cached           bool      `json:"cached"`
	PromptTokens     int64     `json:"prompttokens"`
	CompletionTokens int64     `json:"completiontokens"`
	CachedTokens     int64     `json:"cachedtokens"`
	ReasoningTokens  int64     `json:"reasoningtokens"`
	SavedTokens      int64     `json:"savedtokens"`
	Priced           string    `json:"priced"`
	Cost             int64     `json:"cost"`
	SavedCost        int64     `json:"savedcost"`
	Aborted          bool      `json:"aborted"`
	Cut              bool      `json:"cut"`
	Attempts         int       `json:"attempts"`
	Operation        string    `json:"operation"`
	Stream           bool      `json:"stream"`
	MS               float64   `json:"durationms"`
}

// entryOf returns a record as the ledger takes it: its numbers and texts are
// such that no database refuses them.
func entryOf(id uuid.UUID, start time.Time, r *persist.Record) *entry {
	u := persist.UsageOf(&r.Exchange)
	return &entry{
		Exchange: id, Start: start.UTC(), Minute: start.UTC().Truncate(time.Minute), RequestID: persist.Dimension(r.RequestID),
		App: u.App, Tenant: u.Tenant, Caller: u.Caller, User: u.User, Endpoint: u.Endpoint, Model: u.Model, Kind: u.Kind,
		Status: int32(r.Status), Cached: r.Cached,
		PromptTokens: u.Prompt, CompletionTokens: u.Completion, CachedTokens: u.Cached, ReasoningTokens: u.Reasoning, SavedTokens: u.SavedTokens,
		Priced: persist.Dimension(r.Priced), Cost: u.Cost, SavedCost: u.SavedCost,
		Aborted: r.Aborted, Cut: r.Cut, Attempts: len(r.Attempts), Operation: persist.Dimension(r.Operation), Stream: r.Stream,
		MS: milliseconds(r.Duration),
	}
}

// entriesOf returns the entries of rows as JSON, empty when they have none.
func entriesOf(rows []*row) string {
	var entries []*entry
	for _, r := range rows {
		if r != nil && r.entry != nil {
			entries = append(entries, r.entry)
		}
	}
	if entries == nil {
		return ""
	}
	encoded, _ := json.Marshal(entries) // years are within four digits, numbers finite
	return string(encoded)
}

const minutesSQL = `SELECT minute, count(*),
	least(sum(prompttokens), 9223372036854775807)::bigint, least(sum(completiontokens), 9223372036854775807)::bigint,
	least(sum(cachedtokens), 9223372036854775807)::bigint
FROM apigtwyledger WHERE timestamp_ >= $1 AND timestamp_ < $2 AND minute >= $1 AND minute < $2
	AND endpoint <> '' AND ($3 = '' OR aiappname = $3)
GROUP BY minute ORDER BY minute`

// Minutes reads an index only, of what autovacuum has seen.
func (l *ledger) Minutes(ctx context.Context, app string, from, to time.Time) (minutes []persist.Minute, err error) {
	from, to = persist.Widen(from, to, time.Minute)
	err = l.db().within(ctx, sweepBudget, "counting minutes", func(ctx context.Context, c *pgxpool.Conn) error {
		rows, err := c.Query(ctx, minutesSQL, from, to, persist.Dimension(app))
		if err != nil {
			return err
		}
		minutes, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (m persist.Minute, err error) {
			err = row.Scan(&m.Start, &m.Requests, &m.Prompt, &m.Completion, &m.Cached)
			m.Start = m.Start.UTC()
			return m, err
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return minutes, nil
}

const expireEntriesSQL = `WITH gone AS (
	DELETE FROM %[1]s WHERE timestamp_ < $1 AND ctid = ANY (ARRAY(
		SELECT ctid FROM %[1]s WHERE minute < $1 AND timestamp_ < $1 ORDER BY minute LIMIT $2))
	RETURNING 1)
SELECT count(*) FROM gone`

// ExpireLedger deletes rows that began before a time.
func (l *ledger) ExpireLedger(ctx context.Context, before time.Time, limit int) (deleted int, done bool, err error) {
	return l.db().expire(ctx, "expiring the ledger", ageing{table: ledgerTable, rows: expireEntriesSQL}, before, limit)
}
