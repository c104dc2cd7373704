package sqlite

import (
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Faults of the file that somebody has to put right.
var (
	errNotDatabase = errors.New("not a SQLite database; move the file away, or name another")
	errCorrupt     = errors.New("the database file is damaged; restore it from a backup, or move it away to begin anew")
	errReadOnly    = errors.New("the database cannot be written; give this process the right to write the file and its folder")
	errFull        = errors.New("the disk is full; make room, the gateway goes on by itself")
	errDisk        = errors.New("the disk failed")
	errBusy        = errors.New("another program holds the database locked")
)

// explain puts what to do about a fault of the file in front of what SQLite
// says. Other errors it returns as they are.
func explain(err error) error {
	if known := faultOf(err); known != nil {
		return fmt.Errorf("%w (%w)", known, err)
	}
	return err
}

// faultOf returns the fault of the file that an error tells of, nil when it is
// of another kind.
func faultOf(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return nil
	}
	switch e.Code() & 0xff { // the rest of an extended code says where it happened
	case sqlite3.SQLITE_NOTADB:
		return errNotDatabase
	case sqlite3.SQLITE_CORRUPT:
		return errCorrupt
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN:
		return errReadOnly
	case sqlite3.SQLITE_FULL:
		return errFull
	case sqlite3.SQLITE_IOERR:
		return errDisk
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return errBusy
	}
	return nil
}
