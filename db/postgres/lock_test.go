package postgres

import "testing"

func TestALockIsHeldWithoutHoldingBackCleanUp(t *testing.T) {
	db := opened(t)
	unlock, ok, err := db.Lock(t.Context(), "x")
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	defer unlock()
	conn := plain(t, db.pool.Config().ConnString())
	const holders = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'`
	if n := scalar[int](t, conn, holders); n != 1 {
		t.Errorf("%d transactions hold a lock, want 1", n)
	}
	if n := scalar[int](t, conn, holders+` AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)`); n != 0 {
		t.Error("index builds and clean-up would wait for the holder of a lock")
	}
}

func TestALockOfABrokenConnectionIsFree(t *testing.T) {
	db, p := behindProxy(t)
	unlock, ok, err := db.Lock(t.Context(), "x")
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	p.cut()
	for !func() bool { // the server may notice late
		again, free, err := db.Lock(t.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		if free {
			again()
		}
		return free
	}() {
		continue
	}
	unlock() // of the broken one: no harm
}
