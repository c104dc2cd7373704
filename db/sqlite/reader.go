package sqlite

import (
	"context"
	"database/sql"
	"sync"
)

// reader reads beside the writer: a read sees the last commit before it began.
type reader struct {
	db *sql.DB

	mu         sync.RWMutex
	statements map[string]*sql.Stmt // guarded by mu
}

func newReader(db *sql.DB) *reader { return &reader{db: db, statements: map[string]*sql.Stmt{}} }

func (r *reader) prepared(ctx context.Context, query string) (*sql.Stmt, error) {
	r.mu.RLock()
	s := r.statements[query]
	r.mu.RUnlock()
	if s != nil {
		return s, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.statements[query]; s != nil {
		return s, nil
	}
	s, err := r.db.PrepareContext(ctx, query)
	if err == nil {
		r.statements[query] = s
	}
	return s, err
}

// query calls each with a scan of each row.
func (r *reader) query(ctx context.Context, query string, args []any, each func(scan func(...any) error) error) error {
	s, err := r.prepared(ctx, query)
	if err != nil {
		return err
	}
	rows, err := s.QueryContext(ctx, args...)
	return drain(rows, err, each)
}

// scan reads one row; sql.ErrNoRows when there is none.
func (r *reader) scan(ctx context.Context, query string, args, into []any) error {
	s, err := r.prepared(ctx, query)
	if err != nil {
		return err
	}
	return s.QueryRowContext(ctx, args...).Scan(into...)
}
