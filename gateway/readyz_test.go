package gateway_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tidwall/gjson"

	"aigateway/gateway"
	"aigateway/simulator"
)

func TestReadyzSaysWhenReplicasCannotCountTogether(t *testing.T) {
	var together atomic.Bool
	s := newSetupKeeping(t, simulator.Options{}, func(_ *setup, o *gateway.Options) func() {
		o.Shared = together.Load
		return func() {}
	}, applications(chatApp("bot", "", "gpt-4o")))
	for _, tt := range []struct {
		together       bool
		status, limits string
	}{
		{true, "OK", "OK"},
		{false, "degraded", "down: "},
		{true, "OK", "OK"},
	} {
		together.Store(tt.together)
		status, _, body := s.get("/readyz")
		limits := gjson.Get(body, "dependencies.sharedLimits").String()
		// It still answers: no load balancer may take it out for that.
		if status != http.StatusOK || gjson.Get(body, "status").String() != tt.status || !strings.HasPrefix(limits, tt.limits) {
			t.Errorf("together %v: got %d: %s", tt.together, status, body)
		}
		if status, _, answer := s.post("/lb/bot", goodChat); status != http.StatusOK {
			t.Errorf("together %v: a request got %d: %s", tt.together, status, answer)
		}
	}
	together.Store(false)
	s.server.Drain()
	if status, _, body := s.get("/readyz"); status != http.StatusServiceUnavailable || gjson.Get(body, "status").String() != "draining" {
		t.Errorf("draining: got %d: %s", status, body)
	}
}

func TestReadyzIsSilentOfLimitsThatAreNotShared(t *testing.T) {
	s := newSetup(t, applications(chatApp("bot", "", "gpt-4o")))
	if status, _, body := s.get("/readyz"); status != http.StatusOK || gjson.Get(body, "status").String() != "OK" || gjson.Get(body, "dependencies.sharedLimits").Exists() {
		t.Errorf("got %d: %s", status, body)
	}
}
