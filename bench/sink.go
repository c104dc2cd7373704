package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// silence is longer than a gateway holds traces back, which is a second.
const silence = 1200 * time.Millisecond

// sink is a process that takes OTLP over HTTP, counts the spans and keeps
// nothing.
type sink struct{ server *process }

func (b *bench) startSink(ctx context.Context) (*sink, error) {
	addr, err := freeAddr(ctx)
	if err != nil {
		return nil, err
	}
	p, err := start(ctx, "sink", addr, b.dir, get(addr, "/"), nil, b.self, "sink", "-listen", addr)
	if err != nil {
		return nil, err
	}
	return &sink{p}, nil
}

// spans is how many it has got.
func (s *sink) spans(ctx context.Context) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.server.addr+"/", http.NoBody)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, fmt.Errorf("asking the sink: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, fmt.Errorf("asking the sink: %w", err)
	}
	return strconv.Atoi(string(text))
}

// quiet waits until the sink has got nothing for longer than a gateway holds
// traces back.
func (s *sink) quiet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settlesWithin)
	defer cancel()
	last, since := -1, time.Now()
	for time.Since(since) < silence {
		n, err := s.spans(ctx)
		if err != nil {
			return err
		}
		if n != last {
			last, since = n, time.Now()
		}
		if err := wait(ctx, silence/10); err != nil {
			return fmt.Errorf("after %s the sink still gets traces: %w", settlesWithin, err)
		}
	}
	return nil
}

// serveSink is the sink's process.
func serveSink(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("sink", flag.ContinueOnError)
	listen := flags.String("listen", "", "address")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var got atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		n, whole := countSpans(body)
		if err != nil || !whole {
			http.Error(w, "no traces", http.StatusBadRequest)
			return
		}
		got.Add(int64(n))
	})
	mux.HandleFunc("POST /v1/metrics", func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // a sink
	})
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, got.Load()) })
	return serveUntil(ctx, &http.Server{Addr: *listen, Handler: mux})
}

// countSpans counts those of an ExportTraceServiceRequest, and tells whether it
// is one: spans are field 2 of a ScopeSpans, which is field 2 of a
// ResourceSpans, which is field 1 (opentelemetry/proto/trace/v1).
func countSpans(request []byte) (n int, whole bool) {
	fields := func(message []byte, number protowire.Number, visit func([]byte)) bool {
		for len(message) > 0 {
			num, kind, size := protowire.ConsumeTag(message)
			if size < 0 {
				return false
			}
			message = message[size:]
			if size = protowire.ConsumeFieldValue(num, kind, message); size < 0 {
				return false
			}
			if num == number && kind == protowire.BytesType {
				value, _ := protowire.ConsumeBytes(message)
				visit(value)
			}
			message = message[size:]
		}
		return true
	}
	whole = fields(request, 1, func(resource []byte) {
		_ = fields(resource, 2, func(scope []byte) {
			_ = fields(scope, 2, func([]byte) { n++ })
		})
	})
	return n, whole
}
