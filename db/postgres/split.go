package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"
)

// The migration that splits the conversations of the first generation, which
// kept each whole in one row, at the user's messages. It is no SQL, because
// the database cannot look into JSON that holds an escaped NUL or half a
// surrogate.
const (
	splitVersion = 4
	splitName    = "0004_split_threads"
	splitBatch   = 200 // rows in memory at once
)

const (
	oldRowsSQL = `SELECT id, aiappname, threadid, coalesce(requestid, ''), coalesce(uname, ''), context, coalesce(timestamp_, 'epoch')
FROM apigtwymemory
WHERE interaction IS NULL AND context IS NOT NULL AND aiappname IS NOT NULL AND threadid IS NOT NULL AND (aiappname, threadid, id) > ($1, $2, $3)
ORDER BY aiappname, threadid, id LIMIT $4`
	// A thread that is there already got its interactions from an earlier row.
	oldThreadSQL = `INSERT INTO apigtwythreads (aiappname, threadid, uname, created, used, next) VALUES ($1, $2, $3, $4, $4, $5)
ON CONFLICT (aiappname, threadid) DO UPDATE SET used = greatest(apigtwythreads.used, excluded.used), next = apigtwythreads.next + excluded.next
RETURNING next - $5`
	oldFirstSQL = `UPDATE apigtwymemory SET interaction = $2, context = $3 WHERE id = $1`
	oldRestSQL  = `INSERT INTO apigtwymemory (requestid, threadid, aiappname, uname, timestamp_, interaction, context)
SELECT m.requestid, m.threadid, m.aiappname, m.uname, m.timestamp_, $2 + u.n, u.context
FROM apigtwymemory m, unnest($3::json[]) WITH ORDINALITY AS u(context, n) WHERE m.id = $1 ORDER BY u.n`
	// Rows without a thread are no one's: their conversation cannot be asked
	// for. The others belong to theirs from here on.
	threadKeySQL = `ALTER TABLE apigtwymemory ADD CONSTRAINT apigtwymemory_of FOREIGN KEY (aiappname, threadid)
REFERENCES apigtwythreads (aiappname, threadid) ON DELETE CASCADE`
	emptyThreadsSQL = `INSERT INTO apigtwythreads (aiappname, threadid, uname, created, used, next)
SELECT aiappname, threadid, coalesce(max(uname), ''), coalesce(min(timestamp_), 'epoch'), coalesce(max(timestamp_), 'epoch'), 0
FROM apigtwymemory WHERE aiappname IS NOT NULL AND threadid IS NOT NULL
GROUP BY aiappname, threadid ON CONFLICT (aiappname, threadid) DO NOTHING`
)

type oldRow struct {
	id                         int64
	app, thread, request, user string
	context                    []byte
	at                         time.Time
}

// splitOldThreads makes threads of old rows: the first interaction stays in
// the row, the others follow in rows of their own.
func splitOldThreads(ctx context.Context, tx *sql.Tx) error {
	var last oldRow
	for {
		rows, err := oldRows(ctx, tx, last)
		if err != nil {
			return fmt.Errorf("reading old conversations: %w", err)
		}
		for _, row := range rows {
			if err := splitOldThread(ctx, tx, row); err != nil {
				return fmt.Errorf("splitting the conversation of row %d: %w", row.id, err)
			}
		}
		if len(rows) < splitBatch {
			break
		}
		last = rows[len(rows)-1]
	}
	if _, err := tx.ExecContext(ctx, emptyThreadsSQL); err != nil {
		return fmt.Errorf("making threads of empty conversations: %w", err)
	}
	if _, err := tx.ExecContext(ctx, threadKeySQL); err != nil {
		return fmt.Errorf("tying interactions to their threads: %w", err)
	}
	return nil
}

func oldRows(ctx context.Context, tx *sql.Tx, after oldRow) ([]oldRow, error) {
	rows, err := tx.QueryContext(ctx, oldRowsSQL, after.app, after.thread, after.id, splitBatch)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err tells
	var found []oldRow
	for rows.Next() {
		var r oldRow
		if err := rows.Scan(&r.id, &r.app, &r.thread, &r.request, &r.user, &r.context, &r.at); err != nil {
			return nil, err
		}
		found = append(found, r)
	}
	return found, rows.Err()
}

func splitOldThread(ctx context.Context, tx *sql.Tx, row oldRow) error {
	parts := split(row.context)
	if len(parts) == 0 {
		return nil // not a conversation: the row stays as it is
	}
	var first int
	err := tx.QueryRowContext(ctx, oldThreadSQL, row.app, row.thread, row.user, row.at, len(parts)).Scan(&first)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, oldFirstSQL, row.id, first, parts[0]); err != nil {
		return err
	}
	if len(parts) == 1 {
		return nil
	}
	_, err = tx.ExecContext(ctx, oldRestSQL, row.id, first, parts[1:])
	return err
}

// split cuts the context of an old row, {"content":[message, …]}, before each
// user message that follows something else, and returns the contexts of the
// interactions. What stands before the first user message belongs to it.
func split(context []byte) (parts []string) {
	var old turnContext
	if json.Unmarshal(context, &old) != nil {
		return nil
	}
	var part []json.RawMessage
	asked := false // part has a user message
	before := ""   // role of the message before
	for _, message := range old.Content {
		var m struct {
			Role string `json:"role"`
		}
		_ = json.Unmarshal(message, &m) // what has no role is kept all the same
		if m.Role == "user" {
			if asked && before != "user" {
				parts, part = append(parts, encodeTurn(part)), nil
			}
			asked = true
		}
		part, before = append(part, message), m.Role
	}
	if part != nil {
		parts = append(parts, encodeTurn(part))
	}
	return parts
}

// turnContext is what the column context of the memory table holds.
type turnContext struct {
	Content []json.RawMessage `json:"content"`
}

// encodeTurn writes messages as they are, byte by byte.
func encodeTurn(messages []json.RawMessage) string {
	size := len(`{"content":[]}`)
	for _, m := range messages {
		size += len(m) + 1
	}
	b := append(make([]byte, 0, size), `{"content":[`...)
	for i, m := range messages {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, m...)
	}
	return string(append(b, `]}`...))
}
