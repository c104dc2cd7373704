package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ErrDown says that the database was not asked, or did not answer, because it
// cannot be reached or used. It is in the chain of every such error.
var ErrDown = errors.New("database is down")

const (
	// operationBudget is how long one operation may take when its caller allows
	// more: far beyond what any takes on a database that is well.
	operationBudget = 5 * time.Second
	// sweepBudget is that of operations that delete in batches, in the
	// background.
	sweepBudget = 25 * time.Second
	// checkBudget is how long a check may take: they come every second.
	checkBudget = 2 * time.Second
	// answerBudget is how long a database may take to show that it is there
	// after it has ended one connection.
	answerBudget = 500 * time.Millisecond
)

// gate lets operations through to the database as long as it is there.
type gate struct {
	now func() time.Time

	mu    sync.Mutex // guards what follows
	up    bool
	since time.Time
	fault string
}

// opError is an operation that did not work. Its text holds no address, no
// secret and no stored value, which the text of its causes may.
type opError struct {
	what, fault string
	down        bool
	cause       error
}

func (e *opError) Error() string { return e.what + ": " + e.fault }

func (e *opError) Unwrap() []error {
	if e.down {
		return []error{ErrDown, e.cause}
	}
	return []error{e.cause}
}

// do runs an operation on a connection of its own, which goes back to the pool
// however the operation ends.
func (db *DB) do(ctx context.Context, what string, f func(ctx context.Context, c *pgxpool.Conn) error) error {
	return db.within(ctx, operationBudget, what, f)
}

func (db *DB) within(ctx context.Context, budget time.Duration, what string, f func(ctx context.Context, c *pgxpool.Conn) error) error {
	if fault, up := db.gate.open(); !up {
		return &opError{what: what, fault: ErrDown.Error() + ": " + fault, down: true, cause: ErrDown}
	}
	return db.try(ctx, budget, what, f)
}

// try runs an operation whether the gate is open or not, and notes what its
// end says about the database.
func (db *DB) try(ctx context.Context, budget time.Duration, what string, f func(ctx context.Context, c *pgxpool.Conn) error) error {
	began := db.gate.now()
	limited, cancel := context.WithTimeout(ctx, budget)
	defer cancel()

	c, err := db.pool.Acquire(limited)
	connected := err == nil
	if connected {
		err = f(limited, c)
		c.Release()
	}
	if err == nil {
		return nil
	}

	fault, down := reason(err)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		down = false // the caller left: that says nothing
	case errors.Is(err, context.DeadlineExceeded), pgconn.Timeout(err):
		// The caller's haste, or a database that is slow or silent: Check, which
		// has more time, finds out which.
		fault, down = "no answer in time", false
	case down && connected && connectionLost(err):
		down = !db.answers(ctx) // one connection can be lost without the rest
	}
	if down && db.gate.shut(began, fault) {
		db.log.Warn("database is down", "fault", fault)
		db.pool.Reset() // idle connections are as dead as the one that told
	}
	return &opError{what: what, fault: fault, down: down, cause: err}
}

// connectionLost reports that an error tells of the end of one connection.
func connectionLost(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "57P01" || strings.HasPrefix(pg.Code, "08")
	}
	return true
}

// answers asks the database, on another connection, whether it is there.
func (db *DB) answers(ctx context.Context) bool {
	limited, cancel := context.WithTimeout(ctx, answerBudget)
	defer cancel()
	return db.pool.Ping(limited) == nil
}

// reason says in our own words why a statement did not work, and whether it
// means that none would.
func reason(err error) (fault string, down bool) {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch code := pg.Code; {
		case code == "25006":
			return "it is read-only", true
		case code == "53300":
			return "it has too many connections", true
		case code == "57P03":
			return "it is starting or stopping", true
		case code == "3D000":
			return "there is no such database", true
		case strings.HasPrefix(code, "28"):
			return "it refuses the user or the password", true
		case strings.HasPrefix(code, "57P"), strings.HasPrefix(code, "08"):
			return "it ended the connection (SQLSTATE " + code + ")", true
		case strings.HasPrefix(code, "22"), strings.HasPrefix(code, "23"), strings.HasPrefix(code, "54"):
			// The message may quote what was to be stored.
			return "it refuses the values (SQLSTATE " + code + ")", false
		default:
			return pg.Message + " (SQLSTATE " + code + ")", false
		}
	}
	var lookup *net.DNSError
	var dial *net.OpError
	switch {
	case errors.Is(err, context.Canceled):
		return "canceled", false
	case errors.As(err, &lookup):
		return "its host name is not known", true
	case errors.As(err, &dial) && dial.Op == "dial":
		return "it refuses connections or cannot be reached", true
	case errors.As(err, new(*pgconn.ConnectError)):
		return "connecting to it does not work: " + connectFault(err), true
	case errors.As(err, &dial), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), pgconn.SafeToRetry(err):
		return "the connection broke", true
	}
	return err.Error(), false
}

// connectFault is the innermost cause of a connection that did not come
// about: those above it name hosts and users.
func connectFault(err error) string {
	for {
		var next error
		switch e := err.(type) { //nolint:errorlint // the chain itself is walked
		case interface{ Unwrap() error }:
			next = e.Unwrap()
		case interface{ Unwrap() []error }:
			if all := e.Unwrap(); len(all) > 0 {
				next = all[0]
			}
		}
		if next == nil {
			return err.Error()
		}
		err = next
	}
}

func (g *gate) open() (fault string, up bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.fault, g.up
}

// shut notes that the database is down, and reports whether that is new. An
// operation that began before the database was last found up is old news.
func (g *gate) shut(began time.Time, fault string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.up && began.Before(g.since) {
		return false
	}
	turned := g.up
	if turned {
		g.up, g.since = false, g.now()
	}
	g.fault = fault
	return turned
}

// found notes that the database is up, and reports whether that is new.
func (g *gate) found() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.up {
		return false
	}
	g.up, g.since, g.fault = true, g.now(), ""
	return true
}

const checkSQL = `SELECT current_setting('transaction_read_only')`

// Check asks the database whether it is there and can be written to, on a
// connection of its own: those of the pool may all be busy. It is the only one
// that takes no answer for an answer.
func (db *DB) Check(ctx context.Context) error {
	began := db.gate.now()
	limited, cancel := context.WithTimeout(ctx, checkBudget)
	defer cancel()
	err := db.ask(limited)
	switch {
	case err == nil:
		if db.gate.found() {
			db.log.Info("database is up again")
		}
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("checking the database: %w", ctx.Err())
	}
	fault, _ := reason(err)
	if errors.Is(err, context.DeadlineExceeded) || pgconn.Timeout(err) {
		fault = "no answer in time"
	}
	if db.gate.shut(began, fault) {
		db.log.Warn("database is down", "fault", fault)
		db.pool.Reset()
	}
	return &opError{what: "checking the database", fault: fault, down: true, cause: err}
}

// ask asks it on the connection that is kept for that, and on a new one when
// that has been lost.
func (db *DB) ask(ctx context.Context) error {
	w := &db.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, up := db.gate.open(); !up {
		w.drop(ctx) // what is true of an old session need not be of a new one
	}
	for {
		if w.closed {
			return net.ErrClosed
		}
		kept := w.conn != nil
		if !kept {
			conn, err := pgx.ConnectConfig(ctx, db.pool.Config().ConnConfig)
			if err != nil {
				return err
			}
			w.conn = conn
		}
		var readOnly string
		err := w.conn.QueryRow(ctx, checkSQL).Scan(&readOnly)
		if err == nil && readOnly == "on" {
			err = &pgconn.PgError{Code: "25006", Message: "read-only"}
		}
		if err == nil {
			return nil
		}
		w.drop(ctx)
		if !kept || ctx.Err() != nil {
			return err
		}
	}
}

// watch is the connection that Check asks on.
type watch struct {
	mu     sync.Mutex
	conn   *pgx.Conn // nil until it is needed, and after a fault; guarded by mu
	closed bool      // guarded by mu
}

func (w *watch) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.drop(context.Background())
}

// drop closes the connection. The caller holds mu.
func (w *watch) drop(ctx context.Context) {
	if w.conn != nil {
		closeConn(ctx, w.conn)
		w.conn = nil
	}
}
