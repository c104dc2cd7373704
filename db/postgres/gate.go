package postgres

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

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
	// timeoutsInARow is how many callers in a row have to run out of time before
	// the database, not their haste, is held to be the reason.
	timeoutsInARow = 3
)

// gate lets operations through to the database as long as it is there.
type gate struct {
	now      func() time.Time
	timeouts atomic.Int32 // in a row

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
	waiting := err != nil
	if err == nil {
		err = f(limited, c)
		c.Release()
	}
	if err == nil {
		db.gate.timeouts.Store(0)
		return nil
	}

	fault, down := reason(err)
	late := errors.Is(err, context.DeadlineExceeded) || pgconn.Timeout(err)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		down = false // the caller left: that says nothing
	case late && (ctx.Err() == nil && waiting || db.gate.timeouts.Add(1) >= timeoutsInARow):
		fault, down = "no answer in time", true
	case late:
		fault, down = "no answer in time", false
	}
	if down && db.gate.shut(began, fault) {
		db.log.Warn("database is down", "fault", fault)
		db.pool.Reset() // idle connections are as dead as the one that told
	}
	return &opError{what: what, fault: fault, down: down, cause: err}
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
	g.timeouts.Store(0)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.up {
		return false
	}
	g.up, g.since, g.fault = true, g.now(), ""
	return true
}

const checkSQL = `SELECT current_setting('transaction_read_only')`

// Check asks the database whether it is there and can be written to.
func (db *DB) Check(ctx context.Context) error {
	err := db.try(ctx, checkBudget, "checking the database", func(ctx context.Context, c *pgxpool.Conn) error {
		var readOnly string
		if err := c.QueryRow(ctx, checkSQL).Scan(&readOnly); err != nil {
			return err
		}
		if readOnly == "on" {
			return &pgconn.PgError{Code: "25006", Message: "read-only"}
		}
		return nil
	})
	if err != nil {
		if _, up := db.gate.open(); !up {
			db.log.Debug("database is still down", "error", err)
		}
		return err
	}
	if db.gate.found() {
		db.log.Info("database is up again")
	}
	return nil
}
