package azure

import (
	"testing"

	"go.uber.org/goleak"

	"aigateway/telemetry"
)

var _ telemetry.Sink = (*Sink)(nil)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
