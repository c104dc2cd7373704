package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"aigateway/openai"
	"aigateway/persist"
)

// prompts is the database as the history sees it.
type prompts DB

const insertRecord = `INSERT INTO apigtwyprompts (
	requestid, aiappname, uname, timestamp_, exchange, caller, tenant, thread, own, operation, model, answered, call,
	stream, status, code, aborted, cut, cached, cachescore, cache, cachewhy, endpoint, attempts, durationms, firstbytems,
	usagereported, usageestimated, prompttokens, completiontokens, totaltokens, cachedtokens, reasoningtokens, saved,
	priced, cost, savedcost, limitid, limitover, finish, bytesin, bytesout, prompt, completion)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
		?, ?, ?, ?, ?, ?, ?, ?, ?)
	ON CONFLICT (exchange, timestamp_) DO NOTHING`

// Insert implements persist.Store. SQLite takes whatever a record holds: none
// is rejected.
func (p *prompts) Insert(ctx context.Context, records []*persist.Record) (rejected []int, err error) {
	if len(records) == 0 {
		return nil, nil
	}
	err = p.writer.write(ctx, func(ctx context.Context) error {
		for _, r := range records {
			if r.NoHistory {
				continue
			}
			if _, err := p.writer.exec(ctx, insertRecord, row(r)...); err != nil {
				return err
			}
		}
		return (*ledger)(p).book(ctx, records)
	}, nil)
	if err != nil {
		return nil, fmt.Errorf("writing to the history: %w", (*DB)(p).note(err))
	}
	return nil, nil
}

// row are a record's values in the order of insertRecord.
func row(r *persist.Record) []any {
	endpoint := ""
	if n := len(r.Attempts); n > 0 {
		endpoint = r.Attempts[n-1].ID
	}
	u := &r.Usage
	return []any{
		r.RequestID, r.App, r.User, r.Start.UnixMicro(), r.ID, r.Caller, r.Tenant, r.Thread, r.Own, r.Operation, r.Model, r.Answered, r.Call,
		r.Stream, r.Status, r.Code, r.Aborted, r.Cut, r.Cached, r.CacheScore, r.Cache, r.CacheWhy, endpoint, attemptsText(r.Attempts),
		millis(r.Duration), millis(r.FirstByte),
		u.Reported, u.Estimated, u.PromptTokens, u.CompletionTokens, u.TotalTokens, u.CachedTokens, u.ReasoningTokens, savedText(r),
		r.Priced, r.Cost, r.SavedCost, r.Limit, r.LimitOver, r.FinishReason, r.BytesIn, r.BytesOut, textOrNull(r.Prompt), textOrNull(r.Completion),
	}
}

// savedText is what an answer from the cache saved, NULL for nothing.
func savedText(r *persist.Record) any {
	if r.Saved == (openai.Usage{}) {
		return nil
	}
	b, _ := json.Marshal(r.Saved) // numbers always can be
	return string(b)
}

const selectRecord = `SELECT
	uname, timestamp_, exchange, caller, tenant, thread, own, operation, model, answered, call,
	stream, status, code, aborted, cut, cached, cachescore, cache, cachewhy, attempts, durationms, firstbytems,
	usagereported, usageestimated, prompttokens, completiontokens, totaltokens, cachedtokens, reasoningtokens, coalesce(saved, '{}'),
	priced, cost, savedcost, limitid, limitover, finish, bytesin, bytesout, prompt, completion,
	(SELECT count(*) FROM apigtwyvotes v
		WHERE v.aiappname = p.aiappname AND v.requestid = p.requestid AND v.caller IN ('', p.caller) AND v.up),
	(SELECT count(*) FROM apigtwyvotes v
		WHERE v.aiappname = p.aiappname AND v.requestid = p.requestid AND v.caller IN ('', p.caller) AND NOT v.up)
	FROM apigtwyprompts p WHERE aiappname = ?1 AND requestid = ?2 AND (?5 OR caller = ?3 AND tenant = ?4)
	ORDER BY timestamp_ DESC, id DESC LIMIT 1`

// Record implements persist.Store.
func (p *prompts) Record(ctx context.Context, ref persist.Ref) (*persist.Record, error) {
	r := &persist.Record{}
	r.App, r.RequestID = ref.App, ref.RequestID
	var start int64
	var attempts, saved string
	u := &r.Usage
	var duration, firstByte float64
	var prompt, completion []byte
	err := p.reader.scan(ctx, selectRecord, refArgs(ref), []any{
		&r.User, &start, &r.ID, &r.Caller, &r.Tenant, &r.Thread, &r.Own, &r.Operation, &r.Model, &r.Answered, &r.Call,
		&r.Stream, &r.Status, &r.Code, &r.Aborted, &r.Cut, &r.Cached, &r.CacheScore, &r.Cache, &r.CacheWhy, &attempts, &duration, &firstByte,
		&u.Reported, &u.Estimated, &u.PromptTokens, &u.CompletionTokens, &u.TotalTokens, &u.CachedTokens, &u.ReasoningTokens, &saved,
		&r.Priced, &r.Cost, &r.SavedCost, &r.Limit, &r.LimitOver, &r.FinishReason, &r.BytesIn, &r.BytesOut, &prompt, &completion, &r.Up, &r.Down,
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, persist.ErrNotFound
	}
	if err == nil {
		r.Attempts, err = readAttempts(attempts)
	}
	if err == nil && json.Unmarshal([]byte(saved), &r.Saved) != nil {
		err = errors.New("what was saved is not JSON of the expected form")
	}
	if err != nil {
		return nil, fmt.Errorf("reading the history: %w", (*DB)(p).note(err))
	}
	r.Start, r.Duration, r.FirstByte = instant(start), fromMillis(duration), fromMillis(firstByte)
	r.Prompt, r.Completion = prompt, completion
	return r, nil
}

// refArgs are ?1 to ?5 of selectRecord and insertVote.
func refArgs(ref persist.Ref) []any {
	return []any{ref.App, ref.RequestID, ref.Caller, ref.Tenant, ref.Any}
}

// insertVote counts only on a request that there is.
const insertVote = `INSERT INTO apigtwyvotes (aiappname, requestid, caller, up, at)
	SELECT ?1, ?2, ?3, ?6, ?7 WHERE EXISTS (
		SELECT 1 FROM apigtwyprompts WHERE aiappname = ?1 AND requestid = ?2 AND (?5 OR caller = ?3 AND tenant = ?4))
	ON CONFLICT (aiappname, requestid, caller) DO UPDATE SET up = excluded.up, at = excluded.at`

// Vote implements persist.Store.
func (p *prompts) Vote(ctx context.Context, v persist.Vote) error {
	n := 0
	err := p.writer.write(ctx, func(ctx context.Context) (err error) {
		n, err = p.writer.count(ctx, insertVote, append(refArgs(v.Ref), v.Up, v.At.UnixMicro())...)
		return err
	}, nil)
	if err != nil {
		return fmt.Errorf("voting: %w", (*DB)(p).note(err))
	}
	if n == 0 {
		return persist.ErrNotFound
	}
	return nil
}

const (
	expireVotes = `DELETE FROM apigtwyvotes WHERE (aiappname, requestid) IN (
			SELECT aiappname, requestid FROM apigtwyprompts WHERE timestamp_ < ?1 ORDER BY timestamp_, id LIMIT ?2)
		AND NOT EXISTS (SELECT 1 FROM apigtwyprompts p
			WHERE p.aiappname = apigtwyvotes.aiappname AND p.requestid = apigtwyvotes.requestid AND p.timestamp_ >= ?1)`
	expireRecords = `DELETE FROM apigtwyprompts WHERE id IN (
		SELECT id FROM apigtwyprompts WHERE timestamp_ < ?1 ORDER BY timestamp_, id LIMIT ?2)`
)

// Expire implements persist.Store. The votes on a request id stay as long as
// one record has it. The room is used again by new records; the file does not
// get smaller.
func (p *prompts) Expire(ctx context.Context, before time.Time, limit int) (deleted int, done bool, err error) {
	err = p.writer.write(ctx, func(ctx context.Context) (err error) {
		if _, err := p.writer.exec(ctx, expireVotes, before.UnixMicro(), limit); err != nil {
			return err
		}
		deleted, err = p.writer.count(ctx, expireRecords, before.UnixMicro(), limit)
		return err
	}, nil)
	if err != nil {
		return 0, false, fmt.Errorf("deleting old history: %w", (*DB)(p).note(err))
	}
	return deleted, deleted < limit, nil
}

// attempt is how one is written down in the table.
type attempt struct {
	Endpoint    int       `json:"endpoint"`
	ID          string    `json:"id"`
	Status      int       `json:"status,omitempty"`
	Fault       string    `json:"fault,omitempty"`
	Start       time.Time `json:"start"`
	DurationMS  float64   `json:"durationMs"`
	FirstByteMS float64   `json:"firstByteMs,omitempty"`
	Told        told      `json:"told,omitzero"`
}

// told is a persist.Told.
type told struct {
	Region            string `json:"region,omitempty"`
	RequestID         string `json:"requestId,omitempty"`
	RemainingRequests string `json:"remainingRequests,omitempty"`
	RemainingTokens   string `json:"remainingTokens,omitempty"`
	Took              string `json:"took,omitempty"`
}

func attemptsText(attempts []persist.Attempt) string {
	list := make([]attempt, 0, len(attempts))
	for _, a := range attempts {
		list = append(list, attempt{a.Endpoint, a.ID, a.Status, a.Fault, a.Start.UTC(), millis(a.Duration), millis(a.FirstByte), told(a.Told)})
	}
	b, err := json.Marshal(list)
	if err != nil { // a year that JSON has no form for
		return "[]"
	}
	return string(b)
}

func readAttempts(text string) (attempts []persist.Attempt, err error) {
	var list []attempt
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, fmt.Errorf("its attempts: %w", err)
	}
	for _, a := range list {
		attempts = append(attempts, persist.Attempt{
			Endpoint: a.Endpoint, ID: a.ID, Status: a.Status, Fault: a.Fault,
			Start: a.Start, Duration: fromMillis(a.DurationMS), FirstByte: fromMillis(a.FirstByteMS), Told: persist.Told(a.Told),
		})
	}
	return attempts, nil
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func fromMillis(ms float64) time.Duration {
	return time.Duration(ms * float64(time.Millisecond)).Round(time.Microsecond)
}

// textOrNull stores JSON as text that people can read, nil as NULL.
func textOrNull(b []byte) any {
	if b == nil {
		return nil
	}
	return string(b)
}
