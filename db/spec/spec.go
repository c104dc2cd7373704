// Package spec says what every database of the gateway offers.
package spec

import (
	"context"
	"log/slog"
	"time"

	"aigateway/cache"
	"aigateway/memory"
	"aigateway/persist"
)

// DB is an open database: what the features keep in it, and its own state.
type DB interface {
	Cache() cache.Index
	Memory() memory.Store
	Prompts() persist.Store
	Ledger() persist.Ledger
	// Lock takes the lock of a name that only one process of those that share
	// the database can hold. ok is false when another has it; otherwise unlock
	// gives it back. ctx bounds the taking, not the holding; a connection that
	// breaks gives it back too.
	Lock(ctx context.Context, name string) (unlock func(), ok bool, err error)
	// State tells what is known of the database now, without asking it.
	State() State
	// Check asks the database whether it is there, and notes the answer. It is
	// to be called every second or so.
	Check(ctx context.Context) error
	// Close ends all connections.
	Close() error
}

// State is what is known of a database.
type State struct {
	Kind    string // "postgresql" or "sqlite", with its version
	Schema  int64  // number of the last migration
	Up      bool
	Since   time.Time // of Up
	Fault   string    // why it is not up, fit for a status page: no address, no secret
	InUse   int       // connections
	Idle    int
	Waiting int64 // times that a caller had to wait for a connection
}

// Options say how a database is opened.
type Options struct {
	// NoMigrate leaves the schema as it is; an older one than this version needs
	// is then a fault.
	NoMigrate bool
	Log       *slog.Logger // nil discards
}
