package sqlite

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

const (
	testInsert = `INSERT INTO scratch (n) VALUES (?)`
	testCount  = `SELECT count(*), coalesce(sum(n), 0) FROM scratch`
)

// withScratch is a new database with a table to play with.
func withScratch(t testing.TB) *DB {
	t.Helper()
	d := openNew(t)
	if err := d.writer.write(t.Context(), func(ctx context.Context) error {
		_, err := d.writer.exec(ctx, `CREATE TABLE scratch (n INTEGER UNIQUE)`)
		return err
	}, nil); err != nil {
		t.Fatal(err)
	}
	return d
}

func scratch(t testing.TB, d *DB) (rows, sum int) {
	t.Helper()
	if err := d.reader.scan(t.Context(), testCount, nil, []any{&rows, &sum}); err != nil {
		t.Fatal(err)
	}
	return rows, sum
}

// put is a change that inserts n, then fails with err unless it is nil.
func put(d *DB, n int, err error) func(context.Context) error {
	return func(ctx context.Context) error {
		if _, err := d.writer.exec(ctx, testInsert, n); err != nil {
			return err
		}
		return err
	}
}

func TestChangesAtOnceShareACommitAndFailAlone(t *testing.T) {
	d := withScratch(t)
	d.writer.turn <- struct{}{} // as if a commit were under way
	var wg sync.WaitGroup
	wrong := errors.New("wrong")
	var published sync.Map
	const changes = 2*maxBatch + 10
	for i := range changes {
		var fail error
		if i%3 == 0 {
			fail = wrong
		}
		wg.Go(func() {
			err := d.writer.write(t.Context(), put(d, i, fail), func() { published.Store(i, true) })
			if !errors.Is(err, fail) {
				t.Errorf("change %d: got %v, want %v", i, err, fail)
			}
			if _, ok := published.Load(i); ok != (fail == nil) {
				t.Errorf("change %d: published is %v when it returns", i, ok)
			}
		})
	}
	<-d.writer.turn
	wg.Wait()
	rows, sum := 0, 0
	for i := range changes {
		if i%3 != 0 {
			rows, sum = rows+1, sum+i
		}
	}
	if gotRows, gotSum := scratch(t, d); gotRows != rows || gotSum != sum {
		t.Errorf("%d rows of sum %d, want %d of %d", gotRows, gotSum, rows, sum)
	}
}

func TestEndedContextWithdrawsAWaitingChange(t *testing.T) {
	d := withScratch(t)
	d.writer.turn <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := d.writer.write(ctx, put(d, 1, nil), func() { t.Error("published") }); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
	})
	cancel()
	wg.Wait()
	<-d.writer.turn
	if err := d.writer.write(t.Context(), put(d, 2, nil), nil); err != nil {
		t.Fatal(err)
	}
	if rows, sum := scratch(t, d); rows != 1 || sum != 2 {
		t.Errorf("%d rows of sum %d, want 1 of 2", rows, sum)
	}
}

func TestWriterGoesOnAfterAPanic(t *testing.T) {
	d := withScratch(t)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = d.writer.write(t.Context(), func(ctx context.Context) error {
			_ = put(d, 1, nil)(ctx)
			panic("BUG: on purpose")
		}, nil)
	}()
	if err := d.writer.write(t.Context(), put(d, 2, nil), nil); err != nil {
		t.Fatal(err)
	}
	if rows, sum := scratch(t, d); rows != 1 || sum != 2 {
		t.Errorf("%d rows of sum %d, want 1 of 2", rows, sum)
	}
}

func TestCloseFailsWhatWaits(t *testing.T) {
	d := withScratch(t)
	d.writer.turn <- struct{}{}
	var wg sync.WaitGroup
	for i := range 5 {
		wg.Go(func() {
			if err := d.writer.write(t.Context(), put(d, i, nil), nil); err != nil && !errors.Is(err, errClosed) {
				t.Errorf("got %v, want errClosed or nothing", err)
			}
		})
	}
	wg.Go(func() {
		if err := d.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	<-d.writer.turn
	wg.Wait()
	if err := d.writer.write(t.Context(), put(d, 9, nil), nil); !errors.Is(err, errClosed) {
		t.Errorf("got %v, want errClosed", err)
	}
}

func TestFailingStatementsLeaveThePoolAsItWas(t *testing.T) {
	d := withScratch(t)
	if err := d.writer.write(t.Context(), put(d, 1, nil), nil); err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		if err := d.writer.write(t.Context(), put(d, 1, nil), nil); err == nil {
			t.Fatal("a second row of a unique value was taken")
		}
		if err := d.reader.scan(t.Context(), fmt.Sprint("SELECT nonsense FROM nowhere -- ", i%3), nil, nil); err == nil {
			t.Fatal("nonsense was read")
		}
	}
	if s := d.State(); s.InUse != 0 || !s.Up {
		t.Errorf("got %+v, want it up and no connection in use", s)
	}
}

func TestNothingRunsAfterClose(t *testing.T) {
	before := goleak.IgnoreCurrent()
	d := withScratch(t)
	if err := d.writer.write(t.Context(), put(d, 1, nil), nil); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	goleak.VerifyNone(t, before)
}

// What a turn waits for: alone, and when many turns share the disk.
func BenchmarkCommit(b *testing.B) {
	d := withScratch(b)
	n := 0
	var mu sync.Mutex
	next := func() int { mu.Lock(); defer mu.Unlock(); n++; return n }
	b.Run("alone", func(b *testing.B) {
		for b.Loop() {
			if err := d.writer.write(b.Context(), put(d, next(), nil), nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("32 at once", func(b *testing.B) {
		b.SetParallelism(16)
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				if err := d.writer.write(b.Context(), put(d, next(), nil), nil); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}
