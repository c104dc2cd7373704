package main

import (
	"context"
	"flag"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
)

// serveProxy is the yardstick: the least reverse proxy that the standard
// library gives, with a transport that keeps enough connections open. It reads
// no body, knows no caller and logs no request.
func serveProxy(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("proxy", flag.ContinueOnError)
	to := flags.String("target", "", "address of the backend")
	addr := flags.String("listen", "", "address to listen on")
	buffers := flags.Bool("bufferpool", false, "reuse copy buffers")
	if err := flags.Parse(args); err != nil {
		return err
	}
	target, err := url.Parse(*to)
	if err != nil {
		return err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns = 0
	transport.MaxIdleConnsPerHost = 512
	transport.DisableCompression = true
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: transport,
	}
	if *buffers {
		proxy.BufferPool = new(bufferPool)
	}
	return serveUntil(ctx, &http.Server{Addr: *addr, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Without this net/http closes the request's body when the answer
		// begins. When the transport has then not yet read the body's end, it
		// takes the close for a fault and cuts the answer off: seen in about
		// one of 5,000 streams that begin together.
		http.NewResponseController(w).EnableFullDuplex() //nolint:errcheck // HTTP/1.1 has it
		proxy.ServeHTTP(w, r)
	})})
}

// serveUntil serves until ctx ends.
func serveUntil(ctx context.Context, web *http.Server) error {
	served := make(chan error, 1)
	go func() { served <- web.ListenAndServe() }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
		err := web.Close()
		<-served //nolint:errcheck // it says that the server is closed
		return err
	}
}

// bufferPool reuses buffers of the size that ReverseProxy makes without one.
type bufferPool struct{ pool sync.Pool }

func (b *bufferPool) Get() []byte {
	if buf, ok := b.pool.Get().(*[]byte); ok {
		return *buf
	}
	return make([]byte, 32<<10)
}

func (b *bufferPool) Put(buf []byte) { b.pool.Put(&buf) }
