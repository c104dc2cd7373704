package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"aigateway/cache"
	"aigateway/memory"
	"aigateway/persist"
)

func TestADatabaseThatRefusesIsNotAskedUntilItIsBack(t *testing.T) {
	db, p := behindProxy(t)
	ctx := t.Context()
	wantUp(t, db)
	address := p.listener.Addr().String()
	p.stop()

	if err := ask(ctx, db); err == nil {
		t.Fatal("it answered")
	}
	wantDown(t, db, ask(ctx, db), db.State().Fault)
	if err := db.Check(ctx); err == nil {
		t.Fatal("the check found it")
	}
	wantDown(t, db, ask(ctx, db), "it refuses connections or cannot be reached")
	for name, err := range map[string]error{
		"Nearest": second(db.Cache().Nearest(ctx, cache.Query{App: "app", Vector: []float32{1}, Limit: 1})),
		"Append":  db.Memory().Append(ctx, &memory.Turn{ID: "0193cf5e-0000-7000-8000-000000000001", Start: true}),
		"Insert":  second(db.Prompts().Insert(ctx, []*persist.Record{{ID: "0193cf5e-0000-7000-8000-000000000001", Exchange: persist.Exchange{Start: time.Now()}}})),
		"Lock":    third(db.Lock(ctx, "x")),
	} {
		if !errors.Is(err, ErrDown) {
			t.Errorf("%s: %v, want ErrDown", name, err)
		}
	}

	p.start(address)
	wantDown(t, db, ask(ctx, db), "it refuses connections or cannot be reached") // nobody has checked
	if err := db.Check(ctx); err != nil {
		t.Fatalf("checking: %v", err)
	}
	wantUp(t, db)
}

func TestBrokenConnectionsAreNoticedAndReplaced(t *testing.T) {
	db, p := behindProxy(t)
	for range 3 {
		p.cut()
		_ = ask(t.Context(), db) // may have been told of the cut before
		if err := db.Check(t.Context()); err != nil {
			t.Fatalf("checking: %v", err)
		}
		wantUp(t, db)
	}
}

func TestASilentDatabaseIsDown(t *testing.T) {
	db, p := behindProxy(t)
	p.silence(true)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_ = ask(ctx, db) // breaks, or waits for a connection in vain
	if err := db.Check(t.Context()); !errors.Is(err, ErrDown) {
		t.Fatalf("checking: %v, want ErrDown", err)
	}
	wantDown(t, db, ask(t.Context(), db), "no answer in time")
	p.silence(false)
	if err := db.Check(t.Context()); err != nil {
		t.Fatalf("checking: %v", err)
	}
	wantUp(t, db)
}

func TestCallersWhoRunOutOfTimeDoNotMeanThatItIsDown(t *testing.T) {
	db := opened(t)
	for range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		err := db.do(ctx, "sleeping", func(ctx context.Context, c *pgxpool.Conn) error {
			_, err := c.Exec(ctx, `SELECT pg_sleep(10)`)
			return err
		})
		cancel()
		if err == nil || errors.Is(err, ErrDown) {
			t.Fatalf("got %v, want an error that is not ErrDown", err)
		}
	}
	wantUp(t, db)
}

func TestABusyPoolIsNotADatabaseThatIsDown(t *testing.T) {
	db := opened(t)
	for range db.pool.Config().MaxConns {
		c, err := db.pool.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Release()
	}
	if err := db.Check(t.Context()); err != nil || !db.State().Up {
		t.Errorf("checking: %v, state %+v", err, db.State())
	}
}

func TestOneLostConnectionIsNotADatabaseThatIsDown(t *testing.T) {
	db := opened(t)
	err := db.do(t.Context(), "ending itself", func(ctx context.Context, c *pgxpool.Conn) error {
		_, err := c.Exec(ctx, `SELECT pg_terminate_backend(pg_backend_pid())`)
		return err
	})
	if err == nil || errors.Is(err, ErrDown) {
		t.Errorf("got %v, want an error that is not ErrDown", err)
	}
	wantUp(t, db)
}

func TestADatabaseIsFoundWritableAgain(t *testing.T) {
	db := opened(t)
	other := plain(t, db.pool.Config().ConnString())
	name := other.Config().Database
	exec(t, other, `ALTER DATABASE `+name+` SET default_transaction_read_only = on`)
	exec(t, other, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	if err := db.Check(t.Context()); !errors.Is(err, ErrDown) {
		t.Fatalf("checking: %v, want ErrDown", err)
	}
	exec(t, other, `ALTER DATABASE `+name+` RESET default_transaction_read_only`)
	if err := db.Check(t.Context()); err != nil { // though its session was a read-only one
		t.Fatalf("checking: %v", err)
	}
	wantUp(t, db)
	if err := db.Cache().Add(t.Context(), []*cache.Entry{{App: "app", Created: time.Now(), Used: time.Now(), Answer: []byte("{}")}}); err != nil {
		t.Errorf("adding: %v", err)
	}
}

func TestACallerWhoLeavesSaysNothingOfTheDatabase(t *testing.T) {
	db := opened(t)
	for range 5 {
		ctx, cancel := context.WithCancel(t.Context())
		err := db.do(ctx, "sleeping", func(ctx context.Context, c *pgxpool.Conn) error {
			cancel()
			_, err := c.Exec(ctx, `SELECT pg_sleep(10)`)
			return err
		})
		if !errors.Is(err, context.Canceled) || errors.Is(err, ErrDown) {
			t.Fatalf("got %v", err)
		}
	}
	wantUp(t, db)
}

func TestADatabaseThatEndsConnectionsOrBecomesReadOnlyIsDown(t *testing.T) {
	db := opened(t)
	other := plain(t, db.pool.Config().ConnString())
	name := other.Config().Database
	exec(t, other, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	for range 100 { // until a connection that was ended is met
		if ask(t.Context(), db) != nil {
			break
		}
	}
	if err := db.Check(t.Context()); err != nil {
		t.Fatalf("checking: %v", err)
	}
	wantUp(t, db)

	exec(t, other, `ALTER DATABASE `+name+` SET default_transaction_read_only = on`)
	db.pool.Reset()
	err := db.Cache().Add(t.Context(), []*cache.Entry{{App: "app", Created: time.Now(), Used: time.Now(), Answer: []byte("{}")}})
	wantDown(t, db, err, "it is read-only")
	if err := db.Check(t.Context()); !errors.Is(err, ErrDown) {
		t.Errorf("checking: %v, want ErrDown", err)
	}
	exec(t, other, `ALTER DATABASE `+name+` RESET default_transaction_read_only`)
	db.pool.Reset()
	if err := db.Check(t.Context()); err != nil {
		t.Fatalf("checking: %v", err)
	}
	wantUp(t, db)
}

// What fails must give its connection back, whatever the way in which it fails.
func TestFailingStatementsLeaveThePoolAsFullAsBefore(t *testing.T) {
	db := opened(t)
	run := func(statement string) func(context.Context) error {
		return func(ctx context.Context) error {
			return db.do(ctx, "failing", func(ctx context.Context, c *pgxpool.Conn) error {
				_, err := c.Exec(ctx, statement)
				return err
			})
		}
	}
	gone := func(f func(context.Context) error) func(context.Context) error {
		return func(ctx context.Context) error {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return f(ctx)
		}
	}
	record := func(id, prompt string) *persist.Record {
		return &persist.Record{ID: id, Prompt: []byte(prompt), Exchange: persist.Exchange{App: "a", Start: time.Now()}}
	}
	tooWide := make([]float32, 17_000) // pgvector ends at 16,000
	tooWide[0] = 1
	kinds := map[string]struct {
		times int
		f     func(context.Context) error
	}{
		"syntax":              {1000, run("SELEC")},
		"no table":            {1000, run("SELECT 1 FROM nowhere")},
		"division":            {1000, run("SELECT 1/0")},
		"an open transaction": {200, run("BEGIN; SELECT 1/0")},
		"canceled":            {1000, gone(func(ctx context.Context) error { return ask(ctx, db) })},
		"no entry":            {1000, func(ctx context.Context) error { return second(db.Cache().Entry(ctx, "app", 1)) }},
		"no thread":           {1000, func(ctx context.Context) error { return second(db.Memory().Thread(ctx, "app", "x", 0)) }},
		"width": {1000, func(ctx context.Context) error {
			return db.Cache().Add(ctx, []*cache.Entry{{App: "app", Vector: tooWide, Created: time.Now(), Used: time.Now(), Answer: []byte("{}")}})
		}},
		"not JSON": {1000, func(ctx context.Context) error {
			return db.Memory().Append(ctx, &memory.Turn{ID: "0193cf5e-0000-7000-8000-000000000001", Start: true, Messages: []json.RawMessage{[]byte("{")}, At: time.Now()})
		}},
		"rejected": {200, func(ctx context.Context) error {
			rejected, err := db.Prompts().Insert(ctx, []*persist.Record{record("no id", ""), record("0193cf5e-0000-7000-8000-000000000001", "{")})
			if err != nil || len(rejected) != 2 {
				return fmt.Errorf("BUG: rejected %v, %w", rejected, err)
			}
			return errors.New("rejected")
		}},
	}
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for range kind.times / 4 {
						if err := kind.f(t.Context()); err == nil || strings.Contains(err.Error(), "BUG") || errors.Is(err, ErrDown) {
							t.Errorf("got %v, want a plain error", err)
							return
						}
					}
				})
			}
			wg.Wait()
			wantFull(t, db)
			wantUp(t, db)
		})
	}
}

// wantFull has every connection that the pool may have, at once.
func wantFull(t *testing.T, db *DB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var all []*pgxpool.Conn
	for range db.pool.Config().MaxConns {
		c, err := db.pool.Acquire(ctx)
		if err != nil {
			t.Errorf("only %d of %d connections are left: %v", len(all), db.pool.Config().MaxConns, err)
			break
		}
		if err := c.Ping(ctx); err != nil {
			t.Error(err)
		}
		all = append(all, c)
	}
	for _, c := range all {
		c.Release()
	}
}

func TestErrorsDoNotQuoteWhatWasToBeStored(t *testing.T) {
	db := opened(t)
	err := db.Memory().Append(t.Context(), &memory.Turn{
		ID: "0193cf5e-0000-7000-8000-000000000001", App: "a", Start: true, At: time.Now(), Messages: []json.RawMessage{[]byte(`hush`)},
	})
	if err == nil || strings.Contains(err.Error(), "hush") {
		t.Errorf("got %v, want an error without the message", err)
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != "22P02" {
		t.Errorf("%v does not unwrap to the database's", err)
	}
}

func TestCloseLeavesNothingRunning(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	db := opened(t)
	unlock, ok, err := db.Lock(t.Context(), "x")
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	wantUp(t, db)
	unlock()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if s := db.State(); s.Up || s.Fault != "it is closed" {
		t.Errorf("state %+v, want it closed", s)
	}
}

func TestAnOldFailureDoesNotPutADatabaseDownThatWasFoundUpSince(t *testing.T) {
	now := time.Unix(1000, 0)
	g := gate{now: func() time.Time { return now }, up: true, since: now}
	began := now
	now = now.Add(time.Second)
	if !g.shut(began, "first") || !g.found() {
		t.Fatal("it did not go down and up")
	}
	if g.shut(began, "late news") {
		t.Error("an operation from before put it down")
	}
	if _, up := g.open(); !up {
		t.Error("it is down")
	}
	if !g.shut(now, "new") || g.shut(now, "again") {
		t.Error("a new failure has to put it down, once")
	}
}

func second[T any](_ T, err error) error { return err }

func third[T, U any](_ T, _ U, err error) error { return err }
