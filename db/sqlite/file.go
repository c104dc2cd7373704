package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
)

// file is a database file that this process alone has open.
type file struct {
	path   string
	unlock func()
	remove string // folder that goes with the file; empty when it stays
}

// hold makes the file, with its folder, when it is not there, and takes its
// lock. The folder and the file are for their owner only: they hold prompts.
func hold(path string) (*file, error) {
	f := &file{path: path}
	if path == ":memory:" {
		dir, err := os.MkdirTemp("", "gateway-")
		if err != nil {
			return nil, fmt.Errorf("making a folder for a database that is not kept: %w", err)
		}
		f.path, f.remove = filepath.Join(dir, "gateway.db"), dir
	}
	if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of database %s: %w; name a folder that can be written", f.path, err)
	}
	h, err := os.OpenFile(f.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening database %s: %w; name a file, in a folder, that can be written", f.path, err), f.release())
	}
	if info, err := h.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(fmt.Errorf("opening database %s: not a regular file", f.path), h.Close(), f.release())
	}
	if err := h.Close(); err != nil {
		return nil, errors.Join(fmt.Errorf("opening database %s: %w", f.path, err), f.release())
	}
	if f.unlock, err = lock(f.path + ".lock"); err != nil {
		if errors.Is(err, errHeld) {
			err = fmt.Errorf("database %s is open in another process: one gateway at a time has a SQLite file; give each its own, or share a PostgreSQL by DATABASE_URL", f.path)
		}
		return nil, errors.Join(err, f.release())
	}
	return f, nil
}

// errHeld says that another has the lock.
var errHeld = errors.New("held by another")

func (f *file) release() error {
	if f.unlock != nil {
		f.unlock()
	}
	if f.remove == "" {
		return nil
	}
	return os.RemoveAll(f.remove)
}

// exists reports whether there is a file with something in it.
func exists(path string) (bool, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || path == ":memory:" {
		return false, nil
	}
	return err == nil && info.Size() > 0, err
}

// busyMillis is how long a statement waits for a lock that another program
// has, such as the sqlite3 shell.
const busyMillis = "5000"

// connect opens up to n connections to the file. Commits wait until the disk
// has them (synchronous FULL): a turn or a prompt that was acknowledged
// survives a power failure too. That is one fdatasync a commit, of about
// 0.2 ms on a local disk, which changes made at once share.
func (f *file) connect(n int, pragmas ...string) (*sql.DB, error) {
	q := url.Values{"_txlock": {"immediate"}}
	for _, p := range append([]string{
		"busy_timeout(" + busyMillis + ")",
		"foreign_keys(1)",
		"synchronous(FULL)",
		"journal_size_limit(67108864)", // 64 MiB: what a burst leaves of the log is given back
		"cache_size(-16384)",           // 16 MiB
	}, pragmas...) {
		q.Add("_pragma", p)
	}
	u := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(f.path), RawQuery: q.Encode()}
	if !filepath.IsAbs(f.path) {
		u = url.URL{Scheme: "file", Opaque: url.PathEscape(filepath.ToSlash(f.path)), RawQuery: q.Encode()}
	}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return nil, fmt.Errorf("opening database %s: %w", f.path, err)
	}
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	return db, nil
}

// prepare turns the write-ahead log on, which the file then keeps.
func (f *file) prepare(ctx context.Context, db *sql.DB) error {
	var mode string
	if err := db.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&mode); err != nil {
		return fmt.Errorf("opening database %s: %w", f.path, explain(err))
	}
	if mode != "wal" {
		return fmt.Errorf("opening database %s: its folder does not allow a write-ahead log; use a local disk", f.path)
	}
	return nil
}
