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
	// Settle corrects accounts, no more than MostSettled, all or none. An error
	// leaves open whether it was done: the same id says that it is the same again,
	// and when the last that was done for this replica had that id, nothing is.
	// An empty id is of what may be done twice. It may be called late.
	Settle(ctx context.Context, id string, all []Settlement) error
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
	// ActiveSlots is the number of slots after the one of its last charge in
	// which an application of a pool is active: one more than a window's, so that
	// who comes back when room was promised still has it kept.
	ActiveSlots = Slots + 1
	// LeaseFor is how long a lease of a gauge lasts when it is not renewed.
	LeaseFor = time.Minute
	// MostSettled is how many accounts are settled at once, at most: some
	// milliseconds in which nobody else can count.
	MostSettled = 500
)

// Charge is one account that a request draws on.
type Charge struct {
	Key   string // of the account: unique, at most 300 bytes; a period's has its date in it
	Kind  Kind
	Add   int64 // 0 or more: requests, tokens, or billionths of a currency
	Limit int64 // the most that may be in it; below 0, any
	// Until is when a period ends; its account is forgotten some time after.
	Until time.Time
	// Pool is the account's, of kind Part: Key is the pool's then, and Limit the
	// pool's capacity.
	Pool *PoolPart
}

// PoolPart is an application's place in a pool. Together the applications never
// hold more than the capacity. An application is active for ActiveSlots after a
// charge, one that did not fit too: so what others have borrowed of shares is
// back a minute after the last application became active.
type PoolPart struct {
	App int // index in Shares
	// Shares are what each application may hold, adding up to no more than the
	// capacity: a charge fits when all of them together still hold no more than
	// the capacity and the application then holds no more than its share, or
	// every other one that is active keeps room for the rest of its own:
	//
	//	sum of held + add <= capacity, and
	//	held + add <= share, or held + add + sum of the others' (active ? max(held, share) : held) <= capacity
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
	// Used is what is in each account now: with what was added, when OK; of a
	// Part, the capacity less what the application could still add. Look tells
	// the same.
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
