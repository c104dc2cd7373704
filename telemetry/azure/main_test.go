package azure

import (
	"bytes"
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"

	"aigateway/telemetry"
)

var _ telemetry.Sink = (*Sink)(nil)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a clock that tests move.
type clock struct{ at time.Time }

func newClock() *clock                 { return &clock{begin} }
func (c *clock) now() time.Time        { return c.at }
func (c *clock) pass(by time.Duration) { c.at = c.at.Add(by) }

// logged returns a log and what was written to it.
func logged() (*slog.Logger, *bytes.Buffer) {
	var b bytes.Buffer
	return slog.New(slog.NewTextHandler(&b, nil)), &b
}
