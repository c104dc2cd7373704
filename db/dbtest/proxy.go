package dbtest

import (
	"context"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"
)

// Proxy stands between the gateway and a database, and fails as networks and
// servers do: see Refuse, Silence, Delay and Reset. Heal ends what the first
// three began. What it carries is never lost or changed before a reset.
type Proxy struct {
	t       testing.TB
	server  string // host and port
	address string // of its own
	wg      sync.WaitGroup

	mu       sync.Mutex // guards what follows
	listener net.Listener
	links    map[*link]bool
	delay    time.Duration
	healed   chan struct{} // closed by Heal; nil when nothing is held back
}

// link is one client's connection, and its own to the server.
type link struct {
	client, server net.Conn // server is nil until there is one; guarded by the Proxy's mu
	ended          chan struct{}
}

// NewProxy starts a proxy in front of the database of a URL, and returns the
// URL that leads through it. It is stopped when the test ends.
func NewProxy(t testing.TB, dsn string) (p *Proxy, through string) {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal("the database's address is not a URL")
	}
	p = &Proxy{t: t, server: u.Host, address: "127.0.0.1:0", links: map[*link]bool{}}
	p.listen()
	t.Cleanup(p.Stop)
	u.Host = p.address
	return p, u.String()
}

// Stop is Refuse for good, and waits for all that is under way.
func (p *Proxy) Stop() {
	p.Refuse()
	p.wg.Wait()
}

// Refuse ends all connections and refuses new ones: the server is not there.
func (p *Proxy) Refuse() {
	p.mu.Lock()
	if p.listener != nil {
		p.listener.Close()
		p.listener = nil
	}
	p.mu.Unlock()
	p.Reset()
}

// Silence accepts connections and answers nothing, also on those there are.
func (p *Proxy) Silence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.healed == nil {
		p.healed = make(chan struct{})
	}
}

// Delay holds back all that a client sends by d: every round trip takes as
// much longer.
func (p *Proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// Reset ends all connections as a server does that crashes.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		p.end(l)
	}
}

// Heal makes the proxy carry everything at once again. What a silence held
// back is sent on, as networks do.
func (p *Proxy) Heal() {
	p.t.Helper()
	p.mu.Lock()
	p.delay = 0
	if p.healed != nil {
		close(p.healed)
		p.healed = nil
	}
	refuses := p.listener == nil
	p.mu.Unlock()
	if refuses {
		p.listen()
	}
}

func (p *Proxy) listen() {
	p.t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", p.address)
	if err != nil {
		p.t.Fatalf("listening at %s: %v", p.address, err)
	}
	p.mu.Lock()
	p.listener, p.address = listener, listener.Addr().String()
	p.mu.Unlock()
	p.wg.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			l := &link{client: client, ended: make(chan struct{})}
			p.mu.Lock()
			if p.listener != listener { // it refuses by now
				client.Close()
			} else {
				p.links[l] = true
				p.wg.Go(func() { p.serve(l) })
			}
			p.mu.Unlock()
		}
	})
}

// serve carries one connection to its end.
func (p *Proxy) serve(l *link) {
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.end(l)
	}()
	if !p.hold(l, 0) {
		return
	}
	server, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", p.server)
	if err != nil {
		return
	}
	p.mu.Lock()
	l.server = server
	gone := !p.links[l]
	p.mu.Unlock()
	if gone {
		server.Close()
		return
	}
	var back sync.WaitGroup
	back.Go(func() {
		p.carry(l, l.client, server, false)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.end(l)
	})
	p.carry(l, server, l.client, true)
	p.mu.Lock()
	p.end(l)
	p.mu.Unlock()
	back.Wait()
}

// carry copies from one side to the other until one of them ends.
func (p *Proxy) carry(l *link, to, from net.Conn, request bool) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			delay := time.Duration(0)
			if request {
				p.mu.Lock()
				delay = p.delay
				p.mu.Unlock()
			}
			if !p.hold(l, delay) {
				return
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// hold waits for a delay, and for the end of a silence; false says that the
// connection has ended meanwhile.
func (p *Proxy) hold(l *link, delay time.Duration) bool {
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-l.ended:
			return false
		}
	}
	p.mu.Lock()
	healed := p.healed
	p.mu.Unlock()
	if healed != nil {
		select {
		case <-healed:
		case <-l.ended:
			return false
		}
	}
	return true
}

// end ends a connection with a reset, not with a farewell. The caller holds
// mu.
func (p *Proxy) end(l *link) {
	if !p.links[l] {
		return
	}
	delete(p.links, l)
	close(l.ended)
	for _, c := range []net.Conn{l.client, l.server} {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
			_ = tcp.Close()
		}
	}
}
