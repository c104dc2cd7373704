package postgres

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"

	"aigateway/db/dbtest"
	"aigateway/db/spec"
)

// proxy stands between the gateway and the database, and can fail as networks
// and servers do.
type proxy struct {
	t        *testing.T
	server   string
	listener net.Listener
	wg       sync.WaitGroup

	mu    sync.Mutex
	mute  bool // accepts and answers nothing
	conns map[net.Conn]bool
}

// behindProxy opens a new database through a proxy.
func behindProxy(t *testing.T) (*DB, *proxy) {
	t.Helper()
	u, err := url.Parse(dbtest.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, server: u.Host, conns: map[net.Conn]bool{}}
	p.start("127.0.0.1:0")
	u.Host = p.listener.Addr().String()
	db, err := Open(t.Context(), u.String(), spec.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.stop()
		_ = db.Close()
	})
	return db, p
}

func (p *proxy) start(address string) {
	p.t.Helper()
	var err error
	if p.listener, err = net.Listen("tcp", address); err != nil {
		p.t.Fatal(err)
	}
	listener := p.listener
	p.wg.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(c) })
		}
	})
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	if !p.keep(client) {
		_, _ = io.Copy(io.Discard, client)
		return
	}
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	defer server.Close()
	p.keep(server)
	p.wg.Go(func() { _, _ = io.Copy(server, client); _ = server.Close() })
	_, _ = io.Copy(client, server)
}

// keep notes a connection, and reports whether it is to be served.
func (p *proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = true
	return !p.mute
}

// cut ends all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
	p.conns = map[net.Conn]bool{}
}

// stop refuses connections and ends those there are.
func (p *proxy) stop() {
	_ = p.listener.Close()
	p.cut()
	p.wg.Wait()
}

// silence sets whether new connections are accepted and never answered.
func (p *proxy) silence(on bool) {
	p.mu.Lock()
	p.mute = on
	p.mu.Unlock()
	p.cut()
}

// ask is an operation that works when the database is there.
func ask(ctx context.Context, db *DB) error {
	_, err := db.Memory().List(ctx, "app", "", 1)
	return err
}

func wantDown(t *testing.T, db *DB, err error, fault string) {
	t.Helper()
	if !errors.Is(err, ErrDown) {
		t.Fatalf("got %v, want ErrDown", err)
	}
	if s := db.State(); s.Up || s.Fault != fault || s.Since.IsZero() {
		t.Fatalf("state %+v, want it down: %s", s, fault)
	}
}

func wantUp(t *testing.T, db *DB) {
	t.Helper()
	if s := db.State(); !s.Up || s.Fault != "" {
		t.Fatalf("state %+v, want it up", s)
	}
	if err := ask(context.Background(), db); err != nil {
		t.Fatalf("asking: %v", err)
	}
}
