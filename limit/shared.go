package limit

import (
	"context"
	"time"
)

// Shared is where the replicas of a gateway count together. All methods may be
// called at once; a nil Shared is a gateway of one replica.
type Shared interface {
	// Take adds all charges to their accounts, or, when one of them does not
	// fit, none: atomically, in one round trip, by the clock of what is shared.
	// An error says that it could not be done, and nothing was added.
	Take(ctx context.Context, t Taking) (Taken, error)
	// Settle corrects accounts. It may be called late, and again after an error,
	// when part of it may have been done; all that it does then wrong is within
	// what the error left open.
	Settle(ctx context.Context, all []Settlement) error
	// Look tells what is in accounts, adding nothing.
	Look(ctx context.Context, charges []Charge) ([]int64, error)
	// Up tells whether it is known to be reachable, without asking. While it is
	// not, each replica goes on with its part of each limit.
	Up() bool
	// Replicas is how many share it, at least 1, as last known.
	Replicas() int
}

// Kind is how an account counts.
type Kind uint8

// The kinds of account.
const (
	// Window is what was added in the last 60 seconds.
	Window Kind = iota
	// Period is what was added since the beginning of a day or month.
	Period
	// Gauge is what was added and not yet taken back; leases that are not
	// renewed for LeaseFor are taken back by themselves.
	Gauge
	// Part is a Window of one application in a pool: what it may hold depends
	// on the others'.
	Part
)

const (
	// Slots is the number of slots that a window's 60 seconds are kept in. What
	// was added counts until the end of the slot after them: at most 60 s and one
	// slot, so that no 60 seconds ever hold more than the limit.
	Slots = 12
	// SlotLength is the length of one.
	SlotLength = time.Minute / Slots
	// LeaseFor is how long a lease of a gauge lasts when it is not renewed.
	LeaseFor = time.Minute
)

// Charge is one account that a request draws on.
type Charge struct {
	Key   string // of the account: unique, at most 300 bytes
	Kind  Kind
	Add   int64 // 0 or more: requests, tokens, or billionths of a currency
	Limit int64 // the most that may be in it; below 0, any
	// Until is when a period ends; its account is forgotten some time after.
	Until time.Time
	// Pool is the account's, of kind Part: Key is the pool's then, and Limit the
	// pool's capacity.
	Pool *PoolPart
}

// PoolPart is an application's place in a pool.
type PoolPart struct {
	App int // index in Shares
	// Shares are what each application may always hold, adding up to no more
	// than the capacity. An application may hold more than its own as long as
	// every other one that is active (had a charge in the last 60 seconds) keeps
	// room for the rest of its own.
	Shares []int64
	// Names are the applications' ids, as Shares.
	Names []string
}

// Taking is what one request takes.
type Taking struct {
	Charges []Charge
	Lease   string // unique to the request; for its gauges
}

// Taken is what came of a Taking.
type Taken struct {
	OK bool
	// Used is what is in each account now: with what was added, when OK.
	Used []int64
	// Refused is the index of the first charge that did not fit, when not OK,
	// and Wait the time until it may fit, at the earliest.
	Refused int
	Wait    time.Duration
	Slot    int64 // that windows were charged in, for Settle
}

// Settlement corrects what one request has in one account.
type Settlement struct {
	Key   string
	Kind  Kind
	Slot  int64 // of Taken
	Delta int64 // what it used less what was reserved
	Until time.Time
	Pool  *PoolPart
	Lease string // of a gauge: it is over
}
