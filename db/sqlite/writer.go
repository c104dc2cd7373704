package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// maxBatch is how many changes one commit takes at most, so that nobody waits
// long for the changes of others.
const maxBatch = 64

var (
	errClosed  = errors.New("the database is closed")
	errAborted = errors.New("the change was given up")
)

// writer makes all changes, on the one connection that writes. Changes that
// come while a commit is under way are committed together by the first of
// them: a commit waits for the disk, and one wait serves all.
type writer struct {
	conn *sql.Conn
	turn chan struct{} // holds a token while somebody writes

	// statements are prepared once; guarded by turn, as conn is.
	statements map[string]*sql.Stmt

	mu      sync.Mutex
	waiting []*change
	closed  bool
}

// change is one transaction.
type change struct {
	do      func(ctx context.Context) error
	publish func()
	done    chan struct{} // closed when err is set
	err     error
}

func newWriter(conn *sql.Conn) *writer {
	return &writer{conn: conn, turn: make(chan struct{}, 1), statements: map[string]*sql.Stmt{}}
}

// write runs do in a transaction, commits it to the disk, and calls publish
// (nil: nothing) before anybody else writes. Either all that do did is there
// afterwards or, with an error, nothing. An ended ctx withdraws what has not
// begun; what has begun is finished.
func (w *writer) write(ctx context.Context, do func(ctx context.Context) error, publish func()) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c := &change{do: do, publish: publish, done: make(chan struct{}), err: errAborted}
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return errClosed
	}
	w.waiting = append(w.waiting, c)
	w.mu.Unlock()

	select {
	case <-c.done:
	case w.turn <- struct{}{}:
		w.serve(context.WithoutCancel(ctx), c)
	case <-ctx.Done():
		if w.withdraw(c) {
			return ctx.Err()
		}
		<-c.done
	}
	return c.err
}

// serve commits what waits until c is among it. The caller has the turn.
func (w *writer) serve(ctx context.Context, c *change) {
	defer func() { <-w.turn }()
	for {
		select {
		case <-c.done:
			return
		default:
			w.commit(ctx, w.take())
		}
	}
}

func (w *writer) take() []*change {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := min(len(w.waiting), maxBatch)
	batch := slices.Clone(w.waiting[:n])
	w.waiting = slices.Delete(w.waiting, 0, n)
	return batch
}

// withdraw reports whether c was still waiting.
func (w *writer) withdraw(c *change) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.Index(w.waiting, c)
	if i >= 0 {
		w.waiting = slices.Delete(w.waiting, i, i+1)
	}
	return i >= 0
}

// commit makes changes in one transaction. One that fails is undone alone.
func (w *writer) commit(ctx context.Context, batch []*change) {
	defer func() { // also when a change panics
		for _, c := range batch {
			close(c.done)
		}
	}()
	err := w.transact(ctx, batch)
	for _, c := range batch {
		switch {
		case err != nil:
			c.err = err
		case c.err == nil && c.publish != nil:
			c.publish()
		}
	}
}

// transact leaves in each change's err how it went; the error it returns is of
// the whole.
func (w *writer) transact(ctx context.Context, batch []*change) (err error) {
	if _, err := w.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	committed := false
	defer func() {
		if !committed {
			// When SQLite has undone it already, there is nothing to undo.
			_, _ = w.exec(ctx, "ROLLBACK")
		}
	}()
	good := 0
	for _, c := range batch {
		if _, err := w.exec(ctx, "SAVEPOINT change"); err != nil {
			return fmt.Errorf("beginning a change: %w", err)
		}
		if c.err = c.do(ctx); c.err != nil {
			if _, err := w.exec(ctx, "ROLLBACK TO change"); err != nil {
				return c.err // the fault was such that all is undone: a full disk
			}
		} else {
			good++
		}
		if _, err := w.exec(ctx, "RELEASE change"); err != nil {
			return fmt.Errorf("ending a change: %w", err)
		}
	}
	if good == 0 {
		return nil
	}
	if _, err := w.exec(ctx, "COMMIT"); err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	committed = true
	return nil
}

// prepared is the statement of a query. It is for changes only: they have the
// turn.
func (w *writer) prepared(ctx context.Context, query string) (*sql.Stmt, error) {
	if s := w.statements[query]; s != nil {
		return s, nil
	}
	s, err := w.conn.PrepareContext(ctx, query)
	if err == nil {
		w.statements[query] = s
	}
	return s, err
}

// exec runs a statement of a change.
func (w *writer) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	s, err := w.prepared(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(ctx, args...)
}

// count runs a statement of a change and tells how many rows it touched.
func (w *writer) count(ctx context.Context, query string, args ...any) (int, error) {
	r, err := w.exec(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	n, err := r.RowsAffected()
	return int(n), err
}

// scan reads the one row of a query of a change; sql.ErrNoRows when there is
// none.
func (w *writer) scan(ctx context.Context, query string, args, into []any) error {
	s, err := w.prepared(ctx, query)
	if err != nil {
		return err
	}
	return s.QueryRowContext(ctx, args...).Scan(into...)
}

// query reads the rows of a query of a change; each is called with a scan of
// the row.
func (w *writer) query(ctx context.Context, query string, args []any, each func(scan func(...any) error) error) error {
	s, err := w.prepared(ctx, query)
	if err != nil {
		return err
	}
	rows, err := s.QueryContext(ctx, args...)
	return drain(rows, err, each)
}

// drain calls each for all rows of a query, and closes it.
func drain(rows *sql.Rows, err error, each func(scan func(...any) error) error) error {
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // Err has told
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (w *writer) isClosed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closed
}

// close waits for the change under way; what waits behind it fails.
func (w *writer) close() error {
	w.mu.Lock()
	again := w.closed
	w.closed = true
	w.mu.Unlock()
	if again {
		return nil
	}
	w.turn <- struct{}{}
	defer func() { <-w.turn }()
	for batch := w.take(); len(batch) > 0; batch = w.take() {
		for _, c := range batch {
			c.err = errClosed
			close(c.done)
		}
	}
	for _, s := range w.statements {
		_ = s.Close() // the connection goes too
	}
	return w.conn.Close()
}
