package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/tidwall/gjson"

	"aigateway/memory"
)

// threads is the database as the memory sees it.
type threads DB

// selectThread reads a thread and its turns at one moment. The numbers of a
// thread's interactions have at most one gap, behind the first: what a window
// has left out. So the latest are those from a number on.
const selectThread = `SELECT t.caller, t.tenant, t.uname, t.endpoint, t.created, t.used, m.interaction, m.context
	FROM apigtwythreads t
	LEFT JOIN apigtwymemory m ON m.aiappname = t.aiappname AND m.threadid = t.threadid
		AND (m.interaction = 0 OR m.interaction > t.next - ?)
	WHERE t.aiappname = ? AND t.threadid = ?
	ORDER BY m.interaction, m.id`

// Thread implements memory.Store.
func (s *threads) Thread(ctx context.Context, app, id string, keep int) (*memory.Record, error) {
	if keep < 1 {
		keep = math.MaxInt32
	}
	var found *memory.Record
	err := s.reader.query(ctx, selectThread, []any{keep, app, id}, func(scan func(...any) error) error {
		r := memory.Record{ID: id, App: app}
		var created, used int64
		var number *int
		var turn sql.RawBytes
		if err := scan(&r.Caller, &r.Tenant, &r.User, &r.Endpoint, &created, &used, &number, &turn); err != nil {
			return err
		}
		if found == nil {
			r.Created, r.Used = instant(created), instant(used)
			found = &r
		}
		if number != nil {
			found.Interactions = join(found.Interactions, *number, turn)
		}
		return nil
	})
	if err == nil && found == nil {
		return nil, memory.ErrUnknown
	}
	if err != nil {
		return nil, fmt.Errorf("reading a thread: %w", (*DB)(s).note(err))
	}
	return found, nil
}

// join adds a turn's messages to the interaction of its number, which is the
// last of the list or a later one.
func join(list []memory.Interaction, number int, turn []byte) []memory.Interaction {
	if len(list) == 0 || list[len(list)-1].Number != number {
		list = append(list, memory.Interaction{Number: number})
	}
	last := &list[len(list)-1]
	gjson.GetBytes(turn, "content").ForEach(func(_, m gjson.Result) bool {
		last.Messages = append(last.Messages, json.RawMessage(m.Raw))
		return true
	})
	return list
}

const (
	selectTurn   = `SELECT 1 FROM apigtwymemory WHERE turnid = ?`
	insertThread = `INSERT INTO apigtwythreads (aiappname, threadid, caller, tenant, uname, endpoint, created, used, next)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0) ON CONFLICT DO NOTHING`
	updateThread = `UPDATE apigtwythreads SET next = next + ?, used = max(used, ?), endpoint = ?
		WHERE aiappname = ? AND threadid = ? RETURNING next`
	insertTurn = `INSERT INTO apigtwymemory (requestid, threadid, aiappname, uname, timestamp_, turnid, interaction, context)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)`
	selectInteraction = `SELECT 1 FROM apigtwymemory WHERE aiappname = ? AND threadid = ? AND interaction = ? LIMIT 1`
	pruneThread       = `DELETE FROM apigtwymemory WHERE aiappname = ? AND threadid = ? AND interaction > 0 AND interaction <= ?`
)

// Append implements memory.Store.
func (s *threads) Append(ctx context.Context, t *memory.Turn) error {
	content := wrap(t.Messages)
	err := s.writer.write(ctx, func(ctx context.Context) error {
		there, err := s.there(ctx, selectTurn, t.ID)
		if err != nil || there {
			return err
		}
		return s.append(ctx, t, content)
	}, nil)
	if err != nil && !errors.Is(err, memory.ErrUnknown) {
		return fmt.Errorf("adding a turn to a thread: %w", (*DB)(s).note(err))
	}
	return err
}

// append is the change that adds a turn.
func (s *threads) append(ctx context.Context, t *memory.Turn, content string) error {
	at, own := t.At.UnixMicro(), t.Extends < 0
	if t.Start {
		if _, err := s.writer.exec(ctx, insertThread, t.App, t.Thread, t.Caller, t.Tenant, t.User, t.Endpoint, at, at); err != nil {
			return err
		}
	}
	var next int
	err := s.writer.scan(ctx, updateThread, []any{own, at, t.Endpoint, t.App, t.Thread}, []any{&next})
	if errors.Is(err, sql.ErrNoRows) {
		return memory.ErrUnknown
	}
	if err != nil {
		return err
	}
	number := next - 1
	if !own {
		number = t.Extends
		// What extends an interaction that a window has left out meanwhile is
		// left out with it.
		there, err := s.there(ctx, selectInteraction, t.App, t.Thread, number)
		if err != nil || !there {
			return err
		}
	}
	if _, err := s.writer.exec(ctx, insertTurn, t.RequestID, t.Thread, t.App, t.User, at, t.ID, number, content); err != nil {
		return err
	}
	if t.Keep < 1 || next <= t.Keep {
		return nil
	}
	_, err = s.writer.exec(ctx, pruneThread, t.App, t.Thread, next-t.Keep)
	return err
}

// there reports whether a query of a change finds a row.
func (s *threads) there(ctx context.Context, query string, args ...any) (bool, error) {
	var one int
	err := s.writer.scan(ctx, query, args, []any{&one})
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// wrap is a list of messages in the form that the table has always had.
func wrap(messages []json.RawMessage) string {
	b := []byte(`{"content":[`)
	for i, m := range messages {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, m...)
	}
	return string(append(b, "]}"...))
}

const deleteThread = `DELETE FROM apigtwythreads WHERE aiappname = ? AND threadid = ?`

// Delete implements memory.Store.
func (s *threads) Delete(ctx context.Context, app, id string) (bool, error) {
	n, err := s.delete(ctx, deleteThread, app, id)
	return n > 0, err
}

const threadColumns = `SELECT threadid, aiappname, caller, tenant, uname, endpoint, created, used FROM apigtwythreads `

const (
	listOfUser  = threadColumns + `WHERE uname = ?2 AND (?1 = '' OR aiappname = ?1) ORDER BY used DESC LIMIT ?3`
	listOfApp   = threadColumns + `WHERE aiappname = ?1 ORDER BY used DESC LIMIT ?3`
	listThreads = threadColumns + `ORDER BY used DESC LIMIT ?3`
)

// List implements memory.Store.
func (s *threads) List(ctx context.Context, app, user string, limit int) (list []*memory.Record, err error) {
	query := listThreads
	switch {
	case user != "":
		query = listOfUser
	case app != "":
		query = listOfApp
	}
	err = s.reader.query(ctx, query, []any{app, user, limit}, func(scan func(...any) error) error {
		var r memory.Record
		var created, used int64
		if err := scan(&r.ID, &r.App, &r.Caller, &r.Tenant, &r.User, &r.Endpoint, &created, &used); err != nil {
			return err
		}
		r.Created, r.Used = instant(created), instant(used)
		list = append(list, &r)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing threads: %w", (*DB)(s).note(err))
	}
	return list, nil
}

// eraseBatch is how many threads one transaction of Erase deletes.
const eraseBatch = 200

const eraseThreads = `DELETE FROM apigtwythreads WHERE (aiappname, threadid) IN (
	SELECT aiappname, threadid FROM apigtwythreads WHERE uname = ?2 AND (?1 = '' OR aiappname = ?1) LIMIT ?3)`

// Erase implements memory.Store.
func (s *threads) Erase(ctx context.Context, app, user string) (int, error) {
	for erased := 0; ; {
		n, err := s.delete(ctx, eraseThreads, app, user, eraseBatch)
		erased += n
		if err != nil || n < eraseBatch {
			return erased, err
		}
	}
}

const expireThreads = `DELETE FROM apigtwythreads WHERE (aiappname, threadid) IN (
	SELECT aiappname, threadid FROM apigtwythreads WHERE aiappname = ? AND used < ? ORDER BY used LIMIT ?)`

// Expire implements memory.Store.
func (s *threads) Expire(ctx context.Context, app string, before time.Time, limit int) (int, error) {
	return s.delete(ctx, expireThreads, app, before.UnixMicro(), limit)
}

// delete deletes threads, with their turns.
func (s *threads) delete(ctx context.Context, query string, args ...any) (n int, err error) {
	err = s.writer.write(ctx, func(ctx context.Context) (err error) {
		n, err = s.writer.count(ctx, query, args...)
		return err
	}, nil)
	if err != nil {
		return 0, fmt.Errorf("deleting threads: %w", (*DB)(s).note(err))
	}
	return n, nil
}
