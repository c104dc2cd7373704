package main

import (
	"context"
	"os"
	"path/filepath"
	"time"
)

// The stores, by the names that -stores takes.
const (
	embedded   = "embedded"
	postgresql = "postgresql"
)

// place is where one gateway, or several, keep their state.
type place struct {
	url    string // as db.Open takes it
	env    []string
	dir    string  // of the embedded store
	server *server // nil for the embedded store
	family int     // process id of what serves it; 0 when that is nothing, or elsewhere
}

// places makes places of one store.
type places struct {
	b      *bench
	name   string  // of the store, or of what else is measured
	server *server // nil for the embedded store
}

// fresh makes an empty place.
func (p *places) fresh(ctx context.Context) (*place, error) { return p.make(ctx, nil) }

// copyOf makes a place with what another holds, which nobody has open.
func (p *places) copyOf(ctx context.Context, other *place) (*place, error) { return p.make(ctx, other) }

func (p *places) make(ctx context.Context, like *place) (*place, error) {
	if p.server != nil {
		url, err := p.server.newDatabase(ctx, like)
		return &place{url: url, env: []string{"DATABASE_URL=" + url}, server: p.server, family: p.server.postmaster}, err
	}
	dir, err := os.MkdirTemp(p.b.dir, p.name+"-")
	if err != nil {
		return nil, err
	}
	at := &place{url: "sqlite:" + filepath.Join(dir, "gateway.db"), env: []string{"API_GATEWAY_DATA_DIR=" + dir}, dir: dir}
	if like == nil {
		return at, nil
	}
	return at, os.CopyFS(dir, os.DirFS(like.dir))
}

// cpu is the CPU time of the store's own processes; 0 when it has none, or
// runs elsewhere.
func (p *place) cpu() (time.Duration, error) {
	if p == nil || p.family == 0 {
		return 0, nil
	}
	return familyCPU(p.family)
}
