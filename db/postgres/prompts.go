package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"aigateway/openai"
	"aigateway/persist"
)

// promptStore is the database as the history uses it.
type promptStore DB

func (s *promptStore) db() *DB { return (*DB)(s) }

const insertSQL = `INSERT INTO apigtwyprompts (exchange, timestamp_, requestid, aiappname, uname, prompt, completion,
	caller, tenant, thread, own, operation, model, answered, call, stream, status, code, aborted, cut, cached, cachescore, cache, cachewhy,
	endpoint, attempts, durationms, firstbytems,
	usagereported, usageestimated, prompttokens, completiontokens, totaltokens, cachedtokens, reasoningtokens, saved,
	priced, cost, savedcost, limitid, limitover, finish, bytesin, bytesout)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26,
	$27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41, $42, $43, $44)
ON CONFLICT (exchange, timestamp_) DO NOTHING`

// attempt is a [persist.Attempt] as the column attempts has it.
type attempt struct {
	Endpoint    int       `json:"endpoint"`
	ID          string    `json:"id"`
	Status      int       `json:"status,omitempty"`
	Fault       string    `json:"fault,omitempty"`
	Start       time.Time `json:"start"`
	MS          float64   `json:"ms"`
	FirstByteMS float64   `json:"firstbytems,omitempty"`
	Told        told      `json:"told,omitzero"`
}

// told is a [persist.Told].
type told struct {
	Region            string `json:"region,omitempty"`
	RequestID         string `json:"requestid,omitempty"`
	RemainingRequests string `json:"remainingrequests,omitempty"`
	RemainingTokens   string `json:"remainingtokens,omitempty"`
	Took              string `json:"took,omitempty"`
}

// Insert stores records in one round trip and one transaction.
func (s *promptStore) Insert(ctx context.Context, records []*persist.Record) (rejected []int, err error) {
	if len(records) == 0 {
		return nil, nil
	}
	err = s.db().within(ctx, sweepBudget, "storing exchanges", func(ctx context.Context, c *pgxpool.Conn) error {
		rows := rowsOf(records)
		err := insertAll(ctx, c, rows)
		if !refused(err) {
			return err
		}
		// The first of a week, or one that is bad: which may hide the other.
		if err := s.db().makePartitions(ctx, c, rows); err != nil {
			return err
		}
		if err = insertAll(ctx, c, rows); refused(err) {
			rejected, err = insertEach(ctx, c, rows)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return rejected, nil
}

// row is a record as the database takes it.
type row struct {
	start   time.Time
	history []any  // the arguments of insertSQL; nil when it is not for the history
	entry   *entry // nil when it is not for the ledger
}

// rowsOf returns records as rows, nil for those without a valid id or time.
func rowsOf(records []*persist.Record) []*row {
	rows := make([]*row, len(records))
	for i, r := range records {
		id, err := uuid.Parse(r.ID)
		if err != nil || r.Start.Before(firstWeek) || !r.Start.Before(lastWeek) {
			continue
		}
		rows[i] = &row{start: r.Start.Truncate(time.Microsecond)}
		if !r.NoHistory {
			rows[i].history = historyOf(id, rows[i].start, r)
		}
		if r.Ledger {
			rows[i].entry = entryOf(id, rows[i].start, r)
		}
	}
	return rows
}

func historyOf(id uuid.UUID, start time.Time, r *persist.Record) []any {
	attempts, endpoint := attemptsOf(r)
	u := r.Usage
	return []any{
		[16]byte(id), start, text(r.RequestID), text(r.App), text(r.User), document(r.Prompt), document(r.Completion),
		text(r.Caller), text(r.Tenant), text(r.Thread), r.Own, text(r.Operation), text(r.Model), text(r.Answered), text(r.Call),
		r.Stream, r.Status, text(r.Code), r.Aborted, r.Cut, r.Cached, r.CacheScore, text(r.Cache), text(r.CacheWhy),
		endpoint, attempts, milliseconds(r.Duration), milliseconds(r.FirstByte),
		u.Reported, u.Estimated, u.PromptTokens, u.CompletionTokens, u.TotalTokens, u.CachedTokens, u.ReasoningTokens, savedOf(r),
		text(r.Priced), r.Cost, r.SavedCost, text(r.Limit), text(r.LimitOver), text(r.FinishReason), r.BytesIn, r.BytesOut,
	}
}

// savedOf returns what an answer from the cache saved, nil for nothing.
func savedOf(r *persist.Record) []byte {
	if r.Saved == (openai.Usage{}) {
		return nil
	}
	encoded, _ := json.Marshal(r.Saved) // numbers always can be
	return encoded
}

// attemptsOf returns the attempts as JSON, and the id of the last endpoint.
func attemptsOf(r *persist.Record) (encoded []byte, endpoint string) {
	if len(r.Attempts) == 0 {
		return nil, ""
	}
	list := make([]attempt, len(r.Attempts))
	for i, a := range r.Attempts {
		list[i] = attempt{
			a.Endpoint, text(a.ID), a.Status, text(a.Fault), a.Start, milliseconds(a.Duration), milliseconds(a.FirstByte),
			told(a.Told), // as JSON, which holds no bytes that the column would not take
		}
	}
	encoded, _ = json.Marshal(list) // fails for times beyond the year 9999 only
	return encoded, list[len(list)-1].ID
}

// milliseconds keeps nanoseconds up to 100 days exactly.
func milliseconds(d time.Duration) float64 { return float64(d) / 1e6 }

func duration(ms float64) time.Duration { return time.Duration(math.Round(ms * 1e6)) }

func insertAll(ctx context.Context, c *pgxpool.Conn, rows []*row) error {
	batch := &pgx.Batch{}
	for _, r := range rows {
		if r == nil {
			return errUnstorable
		}
		if r.history != nil {
			batch.Queue(insertSQL, r.history...)
		}
	}
	if entries := entriesOf(rows); entries != "" {
		batch.Queue(bookSQL, entries)
	}
	return c.SendBatch(ctx, batch).Close()
}

var errUnstorable = errors.New("a record has no valid id or time")

// insertEach stores records one by one in one transaction, and returns the
// positions of those that are refused. The ledger, which has nothing to refuse,
// gets all of them at once.
func insertEach(ctx context.Context, c *pgxpool.Conn, rows []*row) (rejected []int, err error) {
	err = pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
		for i, r := range rows {
			if r == nil {
				rejected = append(rejected, i)
				continue
			}
			if r.history == nil {
				continue
			}
			err := pgx.BeginFunc(ctx, tx, func(one pgx.Tx) error {
				_, err := one.Exec(ctx, insertSQL, r.history...)
				return err
			})
			if refused(err) {
				rejected = append(rejected, i)
			} else if err != nil {
				return err
			}
		}
		entries := entriesOf(rows)
		if entries == "" {
			return nil
		}
		_, err := tx.Exec(ctx, bookSQL, entries)
		return err
	})
	return rejected, err
}

// refused reports that values, not the database, are at fault: a data
// exception, a broken constraint (that there is no partition counts as one) or
// a limit of the program.
func refused(err error) bool {
	code := sqlState(err)
	return errors.Is(err, errUnstorable) || strings.HasPrefix(code, "22") || strings.HasPrefix(code, "23") || strings.HasPrefix(code, "54")
}

const recordSQL = `SELECT p.exchange, p.timestamp_, coalesce(p.uname, ''), p.prompt, p.completion,
	coalesce(p.caller, ''), coalesce(p.tenant, ''), coalesce(p.thread, ''), coalesce(p.own, false),
	coalesce(p.operation, ''), coalesce(p.model, ''), coalesce(p.answered, ''), coalesce(p.call, ''),
	coalesce(p.stream, false), coalesce(p.status, 0), coalesce(p.code, ''), coalesce(p.aborted, false), coalesce(p.cut, false),
	coalesce(p.cached, false), coalesce(p.cachescore, 0), coalesce(p.cache, ''), coalesce(p.cachewhy, ''),
	p.attempts, coalesce(p.durationms, 0), coalesce(p.firstbytems, 0),
	coalesce(p.usagereported, false), coalesce(p.usageestimated, false), coalesce(p.prompttokens, 0), coalesce(p.completiontokens, 0),
	coalesce(p.totaltokens, 0), coalesce(p.cachedtokens, 0), coalesce(p.reasoningtokens, 0), p.saved,
	coalesce(p.priced, ''), coalesce(p.cost, 0), coalesce(p.savedcost, 0), coalesce(p.limitid, ''), coalesce(p.limitover, ''),
	coalesce(p.finish, ''), coalesce(p.bytesin, 0), coalesce(p.bytesout, 0),
	(SELECT count(*) FROM apigtwyvotes v
		WHERE v.aiappname = p.aiappname AND v.requestid = p.requestid AND v.caller IN ('', coalesce(p.caller, '')) AND v.up),
	(SELECT count(*) FROM apigtwyvotes v
		WHERE v.aiappname = p.aiappname AND v.requestid = p.requestid AND v.caller IN ('', coalesce(p.caller, '')) AND NOT v.up)
FROM apigtwyprompts p WHERE p.aiappname = $1 AND left(p.requestid, 200) = left($2, 200) AND p.requestid = $2
	AND ($5 OR coalesce(p.caller, '') = $3 AND coalesce(p.tenant, '') = $4)
ORDER BY p.timestamp_ DESC, p.id DESC LIMIT 1`

// Record returns the latest record that ref means. Those of the first
// generation have no ID, and no caller.
func (s *promptStore) Record(ctx context.Context, ref persist.Ref) (r *persist.Record, err error) {
	err = s.db().do(ctx, "reading an exchange", func(ctx context.Context, c *pgxpool.Conn) error {
		found := &persist.Record{Exchange: persist.Exchange{App: ref.App, RequestID: ref.RequestID}}
		var id *uuid.UUID
		var attempts, saved []byte
		var lasted, first float64
		var u openai.Usage
		err := c.QueryRow(ctx, recordSQL, refArgs(ref)...).Scan(&id, &found.Start, &found.User, &found.Prompt, &found.Completion,
			&found.Caller, &found.Tenant, &found.Thread, &found.Own, &found.Operation, &found.Model, &found.Answered, &found.Call,
			&found.Stream, &found.Status, &found.Code, &found.Aborted, &found.Cut,
			&found.Cached, &found.CacheScore, &found.Cache, &found.CacheWhy,
			&attempts, &lasted, &first,
			&u.Reported, &u.Estimated, &u.PromptTokens, &u.CompletionTokens, &u.TotalTokens, &u.CachedTokens, &u.ReasoningTokens, &saved,
			&found.Priced, &found.Cost, &found.SavedCost, &found.Limit, &found.LimitOver,
			&found.FinishReason, &found.BytesIn, &found.BytesOut, &found.Up, &found.Down)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		if id != nil {
			found.ID = id.String()
		}
		found.Start, found.Duration, found.FirstByte, found.Usage = found.Start.UTC(), duration(lasted), duration(first), u
		if saved != nil && json.Unmarshal(saved, &found.Saved) != nil {
			return errors.New("what was saved is not JSON of the expected form")
		}
		found.Attempts, err = readAttempts(attempts)
		r = found
		return err
	})
	if err == nil && r == nil {
		err = persist.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

func readAttempts(encoded []byte) ([]persist.Attempt, error) {
	if encoded == nil {
		return nil, nil
	}
	var list []attempt
	if json.Unmarshal(encoded, &list) != nil {
		return nil, errors.New("the attempts are not JSON of the expected form")
	}
	attempts := make([]persist.Attempt, len(list))
	for i, a := range list {
		attempts[i] = persist.Attempt{
			Endpoint: a.Endpoint, ID: a.ID, Status: a.Status, Fault: a.Fault,
			Start: a.Start, Duration: duration(a.MS), FirstByte: duration(a.FirstByteMS), Told: persist.Told(a.Told),
		}
	}
	return attempts, nil
}

// refArgs are $1 to $5 of recordSQL and voteSQL.
func refArgs(ref persist.Ref) []any {
	return []any{text(ref.App), text(ref.RequestID), text(ref.Caller), text(ref.Tenant), ref.Any}
}

const voteSQL = `INSERT INTO apigtwyvotes (aiappname, requestid, caller, up, at)
SELECT $1, $2, $3, $6, $7 WHERE EXISTS (
	SELECT 1 FROM apigtwyprompts WHERE aiappname = $1 AND left(requestid, 200) = left($2, 200) AND requestid = $2
		AND ($5 OR coalesce(caller, '') = $3 AND coalesce(tenant, '') = $4))
ON CONFLICT (aiappname, requestid, caller) DO UPDATE SET up = excluded.up, at = excluded.at`

// Vote keeps one vote of a caller on a request.
func (s *promptStore) Vote(ctx context.Context, v persist.Vote) error {
	n, err := s.db().remove(ctx, operationBudget, "voting", voteSQL, append(refArgs(v.Ref), v.Up, v.At)...)
	if err == nil && n == 0 {
		err = persist.ErrNotFound
	}
	return err
}

const (
	// Votes on a request id that is there again, later, stay.
	dropVotesSQL = `DELETE FROM apigtwyvotes v USING %s gone WHERE v.aiappname = gone.aiappname AND v.requestid = gone.requestid
AND NOT EXISTS (SELECT 1 FROM apigtwyprompts p WHERE p.aiappname = v.aiappname AND left(p.requestid, 200) = left(v.requestid, 200)
	AND p.requestid = v.requestid AND p.timestamp_ >= $1)`
	expireRowsSQL = `WITH gone AS (
	DELETE FROM %[1]s WHERE timestamp_ < $1 AND ctid = ANY (ARRAY(
		SELECT ctid FROM %[1]s WHERE timestamp_ < $1 ORDER BY timestamp_ LIMIT $2))
	RETURNING aiappname, requestid
), votes AS (
	DELETE FROM apigtwyvotes v USING gone WHERE v.aiappname = gone.aiappname AND v.requestid = gone.requestid
	AND NOT EXISTS (SELECT 1 FROM apigtwyprompts p WHERE p.aiappname = v.aiappname AND left(p.requestid, 200) = left(v.requestid, 200)
		AND p.requestid = v.requestid AND p.timestamp_ >= $1)
)
SELECT count(*) FROM gone`
)

// Expire deletes records that began before a time, and the votes on them.
func (s *promptStore) Expire(ctx context.Context, before time.Time, limit int) (deleted int, done bool, err error) {
	return s.db().expire(ctx, "expiring exchanges", ageing{promptsTable, dropVotesSQL, expireRowsSQL}, before, limit)
}
