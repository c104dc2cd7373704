package backend

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/net/http/httpproxy"
)

// proxy is a forward proxy, reached in cleartext, that connections are
// tunnelled through.
type proxy struct {
	addr string // host:port
	auth string // value of Proxy-Authorization; empty when there is none
}

// proxyFromEnvironment reads HTTP_PROXY, HTTPS_PROXY and NO_PROXY once. Every
// endpoint, cleartext ones too, is reached through a tunnel (RFC 9110 section
// 9.3.6), so that the proxy sees no keys.
func proxyFromEnvironment() func(origin) (*proxy, error) {
	choose := httpproxy.FromEnvironment().ProxyFunc()
	return func(o origin) (*proxy, error) {
		u := &url.URL{Scheme: "http", Host: o.addr}
		if o.tls {
			u.Scheme = "https"
		}
		via, err := choose(u)
		if err != nil || via == nil {
			return nil, err
		}
		if via.Scheme != "http" {
			return nil, errors.New("proxy must be an http:// URL")
		}
		p := &proxy{addr: via.Host}
		if via.Port() == "" {
			p.addr = net.JoinHostPort(via.Hostname(), "80")
		}
		if name := via.User.Username(); name != "" {
			password, _ := via.User.Password()
			p.auth = "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password))
		}
		return p, nil
	}
}

// connect opens a tunnel to o on c.
func (p *proxy) connect(ctx context.Context, c net.Conn, o origin) error {
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(aLongTimeAgo) })
	defer stop()
	head := fmt.Sprintf("CONNECT %s HTTP/1.1\r\nHost: %s\r\n", o.addr, o.addr)
	if p.auth != "" {
		head += "Proxy-Authorization: " + p.auth + "\r\n"
	}
	if _, err := c.Write([]byte(head + "\r\n")); err != nil {
		return err
	}
	// One byte at a time: what follows the header belongs to the tunnel.
	//nolint:bodyclose // what follows the header is the tunnel itself
	resp, err := http.ReadResponse(bufio.NewReaderSize(oneByte{c}, 16), &http.Request{Method: http.MethodConnect})
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("proxy answered %d", resp.StatusCode)
	}
	if !stop() {
		return context.Cause(ctx)
	}
	return c.SetDeadline(time.Time{})
}

type oneByte struct{ net.Conn }

func (r oneByte) Read(p []byte) (int, error) { return r.Conn.Read(p[:1]) }
