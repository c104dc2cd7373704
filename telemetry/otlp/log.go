package otlp

import (
	"context"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
)

const (
	// tell is between two lines of the log about what could not be sent.
	tell = time.Minute
	// reasonMost is the length of a reason: collectors may answer with pages.
	reasonMost = 300
)

// listen brings what the SDK has to say into our log. It is one for the process.
func (s *Sink) listen() {
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { s.report(err, 0) }))
	otel.SetLogger(logr.FromSlogHandler(complaints{s.o.Log}))
}

// report logs that something could not be sent, once a minute.
func (s *Sink) report(err error, lost int64) {
	s.mu.Lock()
	s.untold += lost
	now := s.o.Now()
	if !s.told.IsZero() && now.Sub(s.told) < tell {
		s.mu.Unlock()
		return
	}
	lost, s.told, s.untold = s.untold, now, 0
	s.mu.Unlock()
	s.o.Log.Warn("telemetry could not be sent", "error", reason(err), "exchanges", lost)
}

// reason is an error without the paths of addresses, which may hold keys.
func reason(err error) string {
	words := strings.Fields(err.Error())
	for i, w := range words {
		if at := strings.Index(w, "http"); at >= 0 && strings.Contains(w, "://") {
			u, err := url.Parse(strings.Trim(w[at:], `":,()`))
			if err != nil {
				words[i] = "an address"
				continue
			}
			words[i] = u.Scheme + "://" + u.Host
		}
	}
	text := clean(strings.Join(words, " "))
	return clean(text[:min(len(text), reasonMost)])
}

// complaints is where the SDK logs. It names settings that it cannot read with
// their values, which may be keys: only what it calls the fault is passed on.
type complaints struct{ log *slog.Logger }

// Enabled leaves out what logr calls verbose: the SDK warns with 1.
func (c complaints) Enabled(_ context.Context, level slog.Level) bool { return level >= -1 }

func (c complaints) Handle(_ context.Context, r slog.Record) error {
	c.log.Warn("a setting of telemetry is not as OpenTelemetry's SDK wants it", "about", r.Message)
	return nil
}

func (c complaints) WithAttrs([]slog.Attr) slog.Handler { return c }
func (c complaints) WithGroup(string) slog.Handler      { return c }
