package backend

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// transport is an HTTP/1.1 client that does a whole exchange on the goroutine
// of its caller. net/http's Transport hands every request to a writing and a
// reading goroutine and back; on a gateway whose requests each have a
// goroutine already, those hand-overs are most of the cost of a small call
// (ADR 3). Parsing answers is net/http's own, by http.ReadResponse.
type transport struct {
	now     func() time.Time
	dialer  net.Dialer
	session tls.ClientSessionCache
	roots   *x509.CertPool // nil: the system's
	proxy   func(o origin) (*proxy, error)

	mu   sync.Mutex
	idle map[origin][]*conn // guarded by mu; the most recently used last
}

const (
	// maxIdlePerOrigin bounds the unused connections kept to one host: as many
	// as a gateway at a few thousand requests a second has in use at once.
	maxIdlePerOrigin = 512
	// maxHead bounds the header of an answer; http.ReadResponse itself has no
	// bound. Azure's are 1 to 2 KiB.
	maxHead = 256 << 10
	// smallBody is what is copied behind the header to leave in one TLS record
	// instead of two: a record holds 16 KiB.
	smallBody = 12 << 10
)

// aLongTimeAgo is a deadline that ends reads and writes at once.
var aLongTimeAgo = time.Unix(1, 0)

func newTransport(now func() time.Time) *transport {
	return &transport{
		now:     now,
		dialer:  net.Dialer{KeepAlive: 30 * time.Second},
		session: tls.NewLRUClientSessionCache(256),
		proxy:   proxyFromEnvironment(),
		idle:    make(map[origin][]*conn),
	}
}

// roundTrip makes a call on an idle connection or a new one. A call that finds
// its idle connection closed by the other side, before a byte of the answer,
// is made once more on a new connection when its body can be sent again.
func (t *transport) roundTrip(ctx context.Context, target *Target, call *Call) (*http.Response, error) {
	for again := false; ; again = true {
		var c *conn
		if !again {
			c = t.take(target.origin)
		}
		reused := c != nil
		if !reused {
			var err error
			if c, err = t.dial(ctx, target, call.Deadline); err != nil {
				return nil, fault(ctx, Dial, err)
			}
		}
		resp, err := c.exchange(ctx, target, call)
		if err == nil {
			return resp, nil
		}
		var failed *Error
		if reused && call.Stream == nil && !c.answered && errors.As(err, &failed) && failed.Fault == Reset {
			continue
		}
		return nil, err
	}
}

// take returns an idle connection that is still open, or nil.
func (t *transport) take(o origin) *conn {
	for {
		t.mu.Lock()
		list := t.idle[o]
		if len(list) == 0 {
			t.mu.Unlock()
			return nil
		}
		c := list[len(list)-1]
		list[len(list)-1] = nil
		t.idle[o] = list[:len(list)-1]
		t.mu.Unlock()
		if c.open() {
			return c
		}
		c.Close()
	}
}

// put keeps a connection for the next call.
func (t *transport) put(c *conn) {
	c.since = t.now()
	t.mu.Lock()
	list := t.idle[c.origin]
	full := len(list) >= maxIdlePerOrigin
	if !full {
		t.idle[c.origin] = append(list, c)
	}
	t.mu.Unlock()
	if full {
		c.Close()
	}
}

// closeIdle closes the connections that have been idle for longer than
// unusedFor.
func (t *transport) closeIdle(unusedFor time.Duration) {
	before := t.now().Add(-unusedFor)
	var old []*conn
	t.mu.Lock()
	for o, list := range t.idle {
		n := 0
		for n < len(list) && !list[n].since.After(before) {
			n++
		}
		old = append(old, list[:n]...)
		switch rest := list[n:]; {
		case len(rest) == 0:
			delete(t.idle, o)
		case n > 0:
			t.idle[o] = append([]*conn(nil), rest...)
		}
	}
	t.mu.Unlock()
	for _, c := range old {
		c.Close()
	}
}

// dial opens a connection, through the proxy of the environment when there is
// one for the host, within the connect budget.
func (t *transport) dial(ctx context.Context, target *Target, deadline time.Time) (*conn, error) {
	if budget := target.timeouts.Connect.Duration(); budget > 0 {
		deadline = earlier(deadline, t.now().Add(budget))
	}
	if !deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, deadline, errConnectTimeout)
		defer cancel()
	}
	c, err := t.open(ctx, target.origin)
	if err != nil && errors.Is(context.Cause(ctx), errConnectTimeout) {
		return nil, errConnectTimeout
	}
	return c, err
}

func (t *transport) open(ctx context.Context, o origin) (*conn, error) {
	via, err := t.proxy(o)
	if err != nil {
		return nil, err
	}
	addr := o.addr
	if via != nil {
		addr = via.addr
	}
	raw, err := t.dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: raw, tcp: raw, transport: t, origin: o}
	if via != nil {
		if err := via.connect(ctx, raw, o); err != nil {
			raw.Close()
			return nil, err
		}
	}
	if o.tls {
		session := tls.Client(raw, &tls.Config{
			ServerName:         o.host,
			NextProtos:         []string{"http/1.1"},
			MinVersion:         tls.VersionTLS12,
			RootCAs:            t.roots,
			ClientSessionCache: t.session,
		})
		if err := session.HandshakeContext(ctx); err != nil {
			raw.Close()
			return nil, err
		}
		c.Conn = session
	}
	c.r = bufio.NewReaderSize(readerFunc(c.read), 4<<10)
	return c, nil
}

// timeoutError is a budget that ran out.
type timeoutError string

func (e timeoutError) Error() string { return string(e) }
func (e timeoutError) Timeout() bool { return true }

const errConnectTimeout = timeoutError("connect budget spent")

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// earlier returns the earlier of two deadlines, either of which may be zero
// for none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// withoutAddress drops the addresses that net puts into its errors.
func withoutAddress(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		err = op.Err
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return errors.New(dns.Err)
	}
	return err
}

// appendField writes one header field. Line ends in the value, which net/http
// does not let in, would begin another field: they become blanks.
func appendField(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, ':', ' ')
	if strings.ContainsAny(value, "\r\n\x00") {
		value = strings.NewReplacer("\r", " ", "\n", " ", "\x00", " ").Replace(value)
	}
	b = append(b, value...)
	return append(b, '\r', '\n')
}

func appendLength(b []byte, n int64) []byte {
	b = append(b, "Content-Length: "...)
	b = strconv.AppendInt(b, n, 10)
	return append(b, '\r', '\n')
}
