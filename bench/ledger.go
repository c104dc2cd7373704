package main

import (
	"context"
	"fmt"
	"time"
)

const (
	unbooked = "no ledger"
	booked   = "ledger"
	// unhurried leaves the two cores idle between requests, as they are on a
	// machine that is not overloaded: what is written after an answer is then not
	// in the way of the next.
	unhurried = 2 * time.Millisecond
)

// ledger measures a gateway that keeps the ledger in a store beside one that
// keeps none.
func (b *bed) ledger(ctx context.Context, r *report) error {
	at, err := b.fresh(ctx)
	if err != nil {
		return err
	}
	one := &trial{group: "ledger", subject: b.name, title: fmt.Sprintf("ledger, small chat, 1 connection, %s between requests", unhurried)}
	many := &trial{group: "ledger", subject: b.name, title: "ledger, small chat, 16 connections"}
	for _, k := range []keeping{
		{name: unbooked, accounts: true, at: &place{}},
		{name: booked, accounts: true, ledger: true, at: at},
	} {
		name := k.name
		t, err := b.keep(ctx, k)
		if err != nil {
			return err
		}
		one.takes = append(one.takes, take{name, t.book(k.ledger, b.unhurried, t.ask(1, b.unhurried, unhurried))})
		many.takes = append(many.takes, take{name, t.book(k.ledger, b.small, t.ask(16, b.small, 0))})
	}
	of := pair{unbooked, booked}
	// Nothing is what it should add. The twentieth is for the background, which
	// shares cores and their caches with everything else here.
	one.figures = []figure{of.p50(1.05), of.added()}
	many.figures = []figure{of.cpu("a request", 0), of.p50(0)}
	return b.try(ctx, &r.Accounting, b.sizes.rounds, []*trial{one, many})
}

// book runs a take and sees that the ledger has a row of each of its requests.
func (t *target) book(books bool, requests int, run func(context.Context) (sample, error)) func(context.Context) (sample, error) {
	if !books {
		return run
	}
	return func(ctx context.Context) (sample, error) {
		before, err := t.waiting(ctx)
		if err != nil {
			return sample{}, err
		}
		got, err := run(ctx)
		if err != nil {
			return got, err
		}
		after, err := t.waiting(ctx)
		if rows := after.rows - before.rows; err == nil && rows < requests {
			err = fmt.Errorf("the store has got %d rows of %d requests", rows, requests)
		}
		return got, err
	}
}
