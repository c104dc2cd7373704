package otlp

import (
	"context"
	"log/slog"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"

	"aigateway/telemetry"
)

// tell is between two lines of the log about what could not be sent.
const tell = time.Minute

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
	s.o.Log.Warn("telemetry could not be sent", "error", telemetry.Discreet(err), "exchanges", lost)
}

// complaints is where the SDK logs. It names settings that it cannot read with
// their values, which may be keys: only what it calls the fault is passed on.
type complaints struct{ log *slog.Logger }

// Enabled leaves out what logr calls verbose: the SDK warns with 1.
func (c complaints) Enabled(_ context.Context, level slog.Level) bool { return level >= -1 }

func (c complaints) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "parse url" {
		return nil // addresses have been checked: see address
	}
	c.log.Warn("a setting of telemetry is not as OpenTelemetry's SDK wants it", "about", r.Message)
	return nil
}

func (c complaints) WithAttrs([]slog.Attr) slog.Handler { return c }
func (c complaints) WithGroup(string) slog.Handler      { return c }
