package otlp

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"aigateway/persist"
)

func TestTheLogNamesNoKeys(t *testing.T) {
	to := collecting(t)
	to.answer = func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, strings.Repeat("no ", 1000), http.StatusUnauthorized)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "sesame")
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "sesame")
	var log strings.Builder
	s := open(t, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	s.Send(t.Context(), []*persist.Exchange{failedOver()})
	got := log.String()
	if strings.Contains(got, "sesame") {
		t.Errorf("got %s", got)
	}
	for _, want := range []string{"parse headers", "parse duration", "401"} {
		if !strings.Contains(got, want) {
			t.Errorf("the log does not say %q: %s", want, got)
		}
	}
	if len(got) > 2000 {
		t.Errorf("got a log of %d bytes", len(got))
	}
}

func TestTheLogNamesNoPathsOfTheCollector(t *testing.T) {
	to := collecting(t)
	to.answer = func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "no "+r.URL.Path, http.StatusBadRequest)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT")+"/sesame?key=sesame")
	var log strings.Builder
	s := open(t, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	s.Send(t.Context(), []*persist.Exchange{failedOver()})
	err := s.Close(t.Context())
	if err == nil || !strings.Contains(err.Error(), "400") || strings.Contains(err.Error(), "sesame") {
		t.Errorf("got %v", err)
	}
	if got := log.String(); !strings.Contains(got, "400") || strings.Contains(got, "sesame") {
		t.Errorf("got %s", got)
	}
}

func TestTheEndNamesNoPathsOfACollectorThatIsAway(t *testing.T) {
	web := httptest.NewServer(nil)
	web.Close() // nobody listens there now
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://u:sesame@"+web.Listener.Addr().String()+"/sesame")
	s := open(t, Options{})
	s.metrics.observe([]*persist.Exchange{failedOver()})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond) // of attempts
	defer cancel()
	if err := s.Close(ctx); err == nil || strings.Contains(err.Error(), "sesame") {
		t.Errorf("got %v", err)
	}
}
