package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"aigateway/memory"
)

// memoryStore is the database as conversations use it.
type memoryStore DB

func (s *memoryStore) db() *DB { return (*DB)(s) }

// One row for each turn in the window, at least one for the thread.
const threadSQL = `SELECT t.caller, t.tenant, t.uname, t.endpoint, t.created, t.used, m.interaction, m.context
FROM apigtwythreads t LEFT JOIN apigtwymemory m ON m.aiappname = t.aiappname AND m.threadid = t.threadid
	AND m.interaction IS NOT NULL AND ($3 < 1 OR m.interaction = 0 OR m.interaction > t.next - $3)
WHERE t.aiappname = $1 AND t.threadid = $2 ORDER BY m.interaction, m.id`

// Thread returns a conversation with the interactions of a window.
func (s *memoryStore) Thread(ctx context.Context, app, id string, keep int) (r *memory.Record, err error) {
	err = s.db().do(ctx, "reading a conversation", func(ctx context.Context, c *pgxpool.Conn) error {
		rows, err := c.Query(ctx, threadSQL, text(app), text(id), max(keep, 0))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if r == nil {
				r = &memory.Record{ID: id, App: app}
			}
			var number *int
			var turn []byte
			if err := rows.Scan(&r.Caller, &r.Tenant, &r.User, &r.Endpoint, &r.Created, &r.Used, &number, &turn); err != nil {
				return err
			}
			if number != nil {
				if err := addTurn(r, *number, turn); err != nil {
					return err
				}
			}
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	if r == nil {
		return nil, memory.ErrUnknown
	}
	r.Created, r.Used = r.Created.UTC(), r.Used.UTC()
	return r, nil
}

// addTurn adds what a row holds to the interaction that it belongs to.
func addTurn(r *memory.Record, number int, context []byte) error {
	var turn turnContext
	if err := json.Unmarshal(context, &turn); err != nil {
		return errors.New("a turn is not JSON of the expected form")
	}
	if last := len(r.Interactions) - 1; last >= 0 && r.Interactions[last].Number == number {
		r.Interactions[last].Messages = append(r.Interactions[last].Messages, turn.Content...)
		return nil
	}
	r.Interactions = append(r.Interactions, memory.Interaction{Number: number, Messages: turn.Content})
	return nil
}

// Both take turn, request, application, thread, user, endpoint, time, context;
// then caller and tenant, or the interaction that is extended. The lock on the
// thread's row puts turns in order. They return 1 when the turn is there.
const (
	startSQL = `WITH known AS (
	SELECT 1 FROM apigtwymemory WHERE turnid = $1
), thread AS (
	INSERT INTO apigtwythreads (aiappname, threadid, uname, endpoint, created, used, caller, tenant, next)
	SELECT $3, $4, $5, $6, $7, $7, $9, $10, 1 WHERE NOT EXISTS (SELECT 1 FROM known)
	ON CONFLICT (aiappname, threadid) DO UPDATE SET used = greatest(apigtwythreads.used, excluded.used),
		endpoint = excluded.endpoint, next = apigtwythreads.next + 1
		WHERE apigtwythreads.caller = excluded.caller AND apigtwythreads.tenant = excluded.tenant
	RETURNING next
), turn AS (
	INSERT INTO apigtwymemory (turnid, requestid, aiappname, threadid, uname, timestamp_, context, interaction)
	SELECT $1, $2, $3, $4, $5, $7, $8, next - 1 FROM thread
)
SELECT (SELECT count(*) FROM known) + (SELECT count(*) FROM thread)`
	goOnSQL = `WITH known AS (
	SELECT 1 FROM apigtwymemory WHERE turnid = $1
), thread AS (
	UPDATE apigtwythreads SET used = greatest(used, $7), endpoint = coalesce(nullif($6, ''), endpoint),
		next = CASE WHEN $9::int < 0 THEN next + 1 ELSE greatest(next, $9 + 1) END
	WHERE aiappname = $3 AND threadid = $4 AND NOT EXISTS (SELECT 1 FROM known)
	RETURNING next
), turn AS (
	INSERT INTO apigtwymemory (turnid, requestid, aiappname, threadid, uname, timestamp_, context, interaction)
	SELECT $1, $2, $3, $4, $5, $7, $8, CASE WHEN $9 < 0 THEN next - 1 ELSE $9 END FROM thread
)
SELECT (SELECT count(*) FROM known) + (SELECT count(*) FROM thread)`
	// A statement of its own, so that it sees the turns that the one before it
	// waited for.
	pruneSQL = `DELETE FROM apigtwymemory m USING apigtwythreads t
WHERE t.aiappname = $1 AND t.threadid = $2 AND m.aiappname = t.aiappname AND m.threadid = t.threadid
	AND m.interaction > 0 AND m.interaction <= t.next - $3`
)

// Append adds a turn, in one round trip and one transaction.
func (s *memoryStore) Append(ctx context.Context, t *memory.Turn) error {
	id, err := uuid.Parse(t.ID)
	if err != nil {
		return errors.New("adding a turn: its id is not a UUID")
	}
	app, thread := text(t.App), text(t.Thread)
	args := []any{
		[16]byte(id), text(t.RequestID), app, thread, text(t.User), text(t.Endpoint), t.At, document([]byte(encodeTurn(t.Messages))),
	}
	batch, there := &pgx.Batch{}, 0
	scan := func(row pgx.Row) error { return row.Scan(&there) }
	if t.Start {
		batch.Queue(startSQL, append(args, text(t.Caller), text(t.Tenant))...).QueryRow(scan)
	} else {
		batch.Queue(goOnSQL, append(args, t.Extends)...).QueryRow(scan)
	}
	if t.Keep > 0 {
		batch.Queue(pruneSQL, app, thread, t.Keep)
	}
	err = s.db().do(ctx, "adding a turn", func(ctx context.Context, c *pgxpool.Conn) error {
		err := c.SendBatch(ctx, batch).Close()
		if sqlState(err) == uniqueViolation {
			// The same turn, from another try that was under way: all of this
			// one is undone.
			there = 1
			return nil
		}
		return err
	})
	if err == nil && there == 0 {
		err = memory.ErrUnknown
	}
	return err
}

// uniqueViolation is the SQLSTATE of a key that is there.
const uniqueViolation = "23505"

const deleteThreadSQL = `DELETE FROM apigtwythreads WHERE aiappname = $1 AND threadid = $2`

// Delete deletes a conversation; its turns go with it, here and below.
func (s *memoryStore) Delete(ctx context.Context, app, id string) (bool, error) {
	n, err := s.db().remove(ctx, operationBudget, "deleting a conversation", deleteThreadSQL, text(app), text(id))
	return n > 0, err
}

const listThreadsSQL = `SELECT aiappname, threadid, caller, tenant, uname, endpoint, created, used FROM apigtwythreads
WHERE ($1 = '' OR aiappname = $1) AND ($2 = '' OR left(uname, 200) = left($2, 200) AND uname = $2) ORDER BY used DESC, threadid LIMIT $3`

// List returns conversations, latest used first.
func (s *memoryStore) List(ctx context.Context, app, user string, limit int) (list []*memory.Record, err error) {
	err = s.db().do(ctx, "listing conversations", func(ctx context.Context, c *pgxpool.Conn) error {
		rows, err := c.Query(ctx, listThreadsSQL, text(app), text(user), limit)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (*memory.Record, error) {
			r := &memory.Record{}
			err := row.Scan(&r.App, &r.ID, &r.Caller, &r.Tenant, &r.User, &r.Endpoint, &r.Created, &r.Used)
			r.Created, r.Used = r.Created.UTC(), r.Used.UTC()
			return r, err
		})
		return err
	})
	return list, err
}

const (
	eraseSQL = `DELETE FROM apigtwythreads WHERE left(uname, 200) = left($1, 200) AND uname = $1 AND ($2 = '' OR aiappname = $2)`
	// Rows of the first generation that belong to no thread are the user's too.
	eraseLooseSQL = `DELETE FROM apigtwymemory WHERE threadid IS NULL AND uname = $1 AND ($2 = '' OR aiappname = $2)`
)

// Erase deletes every conversation of a user.
func (s *memoryStore) Erase(ctx context.Context, app, user string) (n int, err error) {
	if user == "" {
		return 0, nil
	}
	err = s.db().within(ctx, sweepBudget, "erasing a user's conversations", func(ctx context.Context, c *pgxpool.Conn) error {
		batch := &pgx.Batch{}
		for _, statement := range []string{eraseSQL, eraseLooseSQL} {
			batch.Queue(statement, text(user), text(app)).Exec(func(tag pgconn.CommandTag) error {
				n += int(tag.RowsAffected())
				return nil
			})
		}
		return c.SendBatch(ctx, batch).Close()
	})
	if err != nil {
		n = 0
	}
	return n, err
}

const (
	expireThreadsSQL = `DELETE FROM apigtwythreads WHERE aiappname = $1 AND used < $2 AND threadid = ANY (ARRAY(
	SELECT threadid FROM apigtwythreads WHERE aiappname = $1 AND used < $2 ORDER BY used LIMIT $3))`
	expireLooseSQL = `DELETE FROM apigtwymemory WHERE threadid IS NULL AND id = ANY (ARRAY(
	SELECT id FROM apigtwymemory WHERE aiappname = $1 AND threadid IS NULL AND coalesce(timestamp_, 'epoch') < $2 LIMIT $3))`
)

// Expire deletes conversations that were last used before a time.
func (s *memoryStore) Expire(ctx context.Context, app string, before time.Time, limit int) (int, error) {
	n, err := s.db().remove(ctx, sweepBudget, "expiring conversations", expireThreadsSQL, text(app), before, limit)
	if err != nil || n >= limit {
		return n, err
	}
	loose, err := s.db().remove(ctx, sweepBudget, "expiring conversations", expireLooseSQL, text(app), before, limit-n)
	return n + loose, err
}
