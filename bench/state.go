package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"aigateway/cache"
	"aigateway/db"
	"aigateway/db/spec"
	"aigateway/simulator"
)

// stateGroups are the scenarios of what keeping state costs, each on both
// stores.
var stateGroups = []string{"exact", "semantic", "miss", "history"}

// bed is what the trials of one subject share: of a store, mostly.
type bed struct {
	*bench
	*places
	proxy *target
	asked questions
	stops []func() // last first

	profiles []string // of the gateways, written when they end
}

// beside measures what keeping state and accounting cost; or, when profiles are
// wanted, writes those of each gateway and prints where the CPU time went to
// stdout.
func (b *bench) beside(ctx context.Context, r *report, stdout io.Writer) (err error) {
	var pg *server
	if b.needsServer() {
		if pg, err = connectServer(ctx, os.Getenv("TEST_DATABASE_URL")); err != nil {
			return err
		}
		defer pg.close(ctx)
		r.Servers = append(r.Servers, known(fmt.Sprintf("PostgreSQL %s, fsync=%s", pg.version, pg.fsync), pg.postmaster))
	}
	if b.wantsAny(stateGroups) {
		if err := b.state(ctx, r, pg, stdout); err != nil {
			return err
		}
	}
	if b.wantsAny(accountGroups) {
		return b.accounting(ctx, r, pg, stdout)
	}
	return nil
}

// known adds to what is said of a server that its process is not here.
func known(server string, pid int) string {
	if pid == 0 {
		return server + ", elsewhere: its CPU time is not known"
	}
	return server
}

// state measures what keeping state costs.
func (b *bench) state(ctx context.Context, r *report, pg *server, stdout io.Writer) error {
	proxy, err := b.startProxy(ctx)
	if err != nil {
		return err
	}
	defer proxy.server.stop()
	for _, store := range b.stores {
		on := b.bedOf(store, pg)
		on.proxy = proxy
		if err := on.run(ctx, stdout, func() error { return on.measure(ctx, r) }); err != nil {
			return err
		}
	}
	return nil
}

// bedOf is the bed of a store.
func (b *bench) bedOf(store string, pg *server) *bed {
	on := &bed{bench: b, places: &places{b: b, name: store}}
	if store == postgresql {
		on.places.server = pg
	}
	return on
}

// run measures, ends what was started for it, and prints its profiles.
func (b *bed) run(ctx context.Context, stdout io.Writer, measure func() error) error {
	err := func() error {
		defer b.close()
		return measure()
	}()
	if err != nil {
		return err
	}
	for _, prefix := range b.profiles {
		if err := printProfile(ctx, stdout, b.name, prefix); err != nil {
			return err
		}
	}
	return nil
}

// measure runs the trials of state of one store.
func (b *bed) measure(ctx context.Context, r *report) error {
	var trials []*trial
	if b.wants("exact") || b.wants("semantic") || b.wants("miss") {
		some, err := b.cacheTrials(ctx)
		if err != nil {
			return fmt.Errorf("preparing, %s: %w", b.name, err)
		}
		trials = append(trials, some...)
	}
	if b.wants("history") {
		t, err := b.history(ctx)
		if err != nil {
			return fmt.Errorf("preparing stored requests, %s: %w", b.name, err)
		}
		trials = append(trials, t)
	}
	return b.try(ctx, &r.State, b.stateRounds, trials)
}

// cacheTrials fills a cache and makes the trials that look into it.
func (b *bed) cacheTrials(ctx context.Context) ([]*trial, error) {
	full, err := b.fill(ctx)
	if err != nil {
		return nil, err
	}
	aside, err := b.copyOf(ctx, full)
	if err != nil {
		return nil, err
	}
	side, err := openSide(ctx, aside)
	if err != nil {
		return nil, err
	}
	b.stops = append(b.stops, side.close)
	misses, err := b.copyOf(ctx, full) // before somebody opens it
	if err != nil {
		return nil, err
	}
	var trials []*trial
	if b.wants("exact") || b.wants("semantic") {
		hits, err := b.keep(ctx, keeping{name: "cache of many", cache: true, at: full})
		if err != nil {
			return nil, err
		}
		if b.wants("exact") {
			t, err := b.exact(ctx, hits)
			if err != nil {
				return nil, err
			}
			trials = append(trials, t)
		}
		if b.wants("semantic") {
			t, err := b.semantic(ctx, hits, side, aside)
			if err != nil {
				return nil, err
			}
			trials = append(trials, t)
		}
	}
	if b.wants("miss") {
		some, err := b.miss(ctx, misses, side)
		if err != nil {
			return nil, err
		}
		trials = append(trials, some...)
	}
	return trials, nil
}

// keep starts a gateway that runs until the bed is closed.
func (b *bed) keep(ctx context.Context, k keeping) (*target, error) {
	k.name += ", " + b.name
	command := []string{b.gateway, "serve"}
	prefix := filepath.Join(b.profileDir, fileName(k.name))
	if b.profileDir != "" {
		command = []string{b.self, "gateway-inproc", "-profile", prefix}
	}
	t, err := b.startKeeping(ctx, k, command...)
	if err != nil {
		return nil, err
	}
	b.stops = append(b.stops, t.server.stop)
	if b.profileDir != "" {
		b.profiles = append(b.profiles, prefix)
	}
	return t, nil
}

func (b *bed) close() {
	for _, stop := range slices.Backward(b.stops) {
		stop()
	}
}

// fill makes a place whose cache holds as many entries as the scenarios want,
// answers of the simulated model to questions as clients send them.
func (b *bed) fill(ctx context.Context) (*place, error) {
	at, err := b.fresh(ctx)
	if err != nil {
		return nil, err
	}
	filler, err := b.startKeeping(ctx, keeping{name: "filler, " + b.name, cache: true, at: at}, b.gateway, "serve")
	if err != nil {
		return nil, err
	}
	stop := sync.OnceFunc(filler.server.stop)
	defer stop()
	const step = 2_000
	for left := b.entries; left > 0; left -= step {
		fmt.Fprintf(b.progress, "filling the cache, %s: %d to go\n", b.name, left)
		n := min(step, left)
		l := load{lists: spreadOver(16, filler.chats(b.asked.fresh(n), "Cache-Control: no-cache")), cache: "bypass; reason=no-cache", stored: n}
		if _, err := filler.send(ctx, l); err != nil {
			return nil, fmt.Errorf("filling the cache: %w\n%s", err, filler.server.said())
		}
	}
	stop()
	return at, b.tend(ctx, at)
}

// tend has the store look after its indexes now, which it else does every
// minute: PostgreSQL gets one for the vectors when a look-up has missed it.
func (b *bed) tend(ctx context.Context, at *place) error {
	s, err := openSide(ctx, at)
	if err != nil {
		return err
	}
	defer s.close()
	if _, err := s.index.Nearest(ctx, s.query(question(0, 0))); err != nil {
		return err
	}
	tended, ok := s.db.(interface {
		Tend(ctx context.Context) error
	})
	if !ok {
		return nil
	}
	fmt.Fprintf(b.progress, "building its index, %s\n", b.name)
	return tended.Tend(ctx)
}

// chats are requests that begin a conversation with a question each.
func (t *target) chats(questions []string, headers ...string) [][]byte {
	list := make([][]byte, len(questions))
	for i, q := range questions {
		list[i] = post(t.server.addr, gatewayPath, chat(q), headers...)
	}
	return list
}

// side is a store that this program opens itself, with the same entries as the
// gateway's: what the store alone takes is measured with it.
type side struct {
	db     spec.DB
	index  cache.Index
	bucket cache.Hash // of all its entries
}

func openSide(ctx context.Context, at *place) (*side, error) {
	opened, err := db.Open(ctx, at.url, spec.Options{})
	if err != nil {
		return nil, err
	}
	s := &side{db: opened, index: opened.Cache()}
	latest, err := s.index.List(ctx, "bench", 0, 1)
	if err == nil && len(latest) == 0 {
		err = errors.New("the cache that was filled is empty")
	}
	if err != nil {
		return nil, errors.Join(err, opened.Close())
	}
	s.bucket = latest[0].Bucket
	return s, nil
}

func (s *side) close() { _ = s.db.Close() } // nothing in it is wanted any more

// query is the cache's, for what is near a question.
func (s *side) query(question string) cache.Query {
	return cache.Query{
		App: "bench", Bucket: s.bucket, Vector: simulator.Embed(question, 0), Metric: cache.Cosine, Bound: nearEnough, Limit: 5,
	}
}
