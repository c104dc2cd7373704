// Package sqlite keeps what the gateway remembers in one SQLite file: the
// default, with nothing to install, for a gateway that runs alone.
//
// In a request it answers the cache's and the memory's look-ups, and makes a
// turn durable before its answer ends. Reads run beside the one writer; changes
// that come at once share a commit. Vectors are read into memory at the start
// and kept in step with the file, which is why one process at a time may have
// the file open.
package sqlite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"aigateway/cache"
	"aigateway/db/spec"
	"aigateway/memory"
	"aigateway/persist"
)

// DB is an open database file.
type DB struct {
	file    *file
	reader  *reader
	writer  *writer
	closeDB func() error
	vectors *vectors
	version string
	schema  int64

	locks  sync.Mutex
	locked map[string]bool // guarded by locks

	health sync.Mutex
	up     bool      // guarded by health, as the following
	since  time.Time // of up
	fault  string
}

var _ spec.DB = (*DB)(nil)

// Open opens the database file at path, which it makes, with its folder, when
// there is none. ":memory:" is a new database, in a temporary file that Close
// removes. An error says what to do: about a file that is no database, that is
// damaged or cannot be written, that another process has open, or whose schema
// is newer than this version's.
func Open(ctx context.Context, path string, o spec.Options) (*DB, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	f, err := hold(path)
	if err != nil {
		return nil, err
	}
	db, err := open(ctx, f, o)
	if err != nil {
		return nil, errors.Join(err, f.release())
	}
	return db, nil
}

func open(ctx context.Context, f *file, o spec.Options) (_ *DB, err error) {
	writing, err := f.connect(1)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, writing.Close())
		}
	}()
	pending, schema, err := migrate(ctx, f, writing, o.NoMigrate, o.Log)
	if err != nil {
		return nil, err
	}
	if o.NoMigrate && len(pending) > 0 {
		return nil, fmt.Errorf("database %s has schema %d, older than this version of the gateway needs: run `gateway migrate`", f.path, schema)
	}
	conn, err := writing.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("opening database %s: %w", f.path, explain(err))
	}
	reading, err := f.connect(max(4, 2*runtime.GOMAXPROCS(0)), "query_only(1)")
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	d := &DB{
		file: f, reader: newReader(reading), writer: newWriter(conn), vectors: newVectors(),
		schema: schema, locked: map[string]bool{}, up: true, since: time.Now(),
	}
	d.closeDB = func() error { return errors.Join(reading.Close(), writing.Close()) }
	err = d.load(ctx)
	if err == nil {
		err = d.reader.scan(ctx, selectVersion, nil, []any{&d.version})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reading database %s: %w", f.path, explain(err)), conn.Close(), reading.Close())
	}
	return d, nil
}

const selectVersion = `SELECT sqlite_version()`

// Cache is the index of cached answers.
func (d *DB) Cache() cache.Index { return (*index)(d) }

// Memory is the store of conversations.
func (d *DB) Memory() memory.Store { return (*threads)(d) }

// Prompts is the history of exchanges.
func (d *DB) Prompts() persist.Store { return (*prompts)(d) }

// Ledger tells how much was used.
func (d *DB) Ledger() persist.Ledger { return (*ledger)(d) }

// Lock takes a lock of this process: no other has the file open.
func (d *DB) Lock(ctx context.Context, name string) (unlock func(), ok bool, err error) {
	if err := d.usable(ctx); err != nil {
		return nil, false, err
	}
	d.locks.Lock()
	defer d.locks.Unlock()
	if d.locked[name] {
		return nil, false, nil
	}
	d.locked[name] = true
	return sync.OnceFunc(func() {
		d.locks.Lock()
		defer d.locks.Unlock()
		delete(d.locked, name)
	}), true, nil
}

// usable says why nothing can be asked now.
func (d *DB) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if d.writer.isClosed() {
		return errClosed
	}
	return nil
}

// State tells what is known of the database. It is down from a fault of the
// file on, such as a full disk, until Check succeeds.
func (d *DB) State() spec.State {
	pool := d.reader.db.Stats()
	d.health.Lock()
	defer d.health.Unlock()
	return spec.State{
		Kind: "sqlite " + d.version, Schema: d.schema,
		Up: d.up, Since: d.since, Fault: d.fault,
		InUse: pool.InUse, Idle: pool.Idle, Waiting: pool.WaitCount,
	}
}

// Check asks whether the file can be read.
func (d *DB) Check(ctx context.Context) error {
	err := d.usable(ctx)
	if err == nil {
		var schema int64
		err = d.reader.scan(ctx, selectSchema, nil, []any{&schema})
	}
	if err != nil {
		return fmt.Errorf("checking the database: %w", d.note(err))
	}
	d.set(true, "")
	return nil
}

// note keeps in mind that the file has a fault, when the error is of that
// kind, and returns the error, explained.
func (d *DB) note(err error) error {
	if known := faultOf(err); known != nil {
		d.set(false, known.Error())
	}
	return explain(err)
}

func (d *DB) set(up bool, fault string) {
	d.health.Lock()
	defer d.health.Unlock()
	if d.up != up {
		d.up, d.since = up, time.Now()
	}
	d.fault = fault
}

// Close finishes the change under way, and gives the file back. What comes
// later fails.
func (d *DB) Close() error {
	if d.writer.isClosed() {
		return nil
	}
	d.set(false, errClosed.Error())
	return errors.Join(d.writer.close(), d.closeDB(), d.file.release())
}
