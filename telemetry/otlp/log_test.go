package otlp

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"

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

func TestReasonsHaveNoPaths(t *testing.T) {
	for give, want := range map[string]string{
		`failed to send to https://c.example:4318/key/v1/traces: 400 Bad Request`: "failed to send to https://c.example:4318 400 Bad Request",
		`Post "http://u:key@c.example/key?k=key": EOF`:                            "Post http://c.example EOF",
		`parse "http://%zz/key"`:                                                  "parse an address",
		"no\xff\nroute":                                                           "no\uFFFD route",
	} {
		if got := reason(errors.New(give)); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
