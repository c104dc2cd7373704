package main

import (
	"bytes"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

// TestUsageAndCapacityArePrintedBesideARunningGateway on the embedded store,
// which one process at a time has.
func TestUsageAndCapacityArePrintedBesideARunningGateway(t *testing.T) {
	_, models := startModels(t)
	dir := t.TempDir()
	gateway := startGateway(t, keepingConfig(models), keepingEnv("API_GATEWAY_DATA_DIR="+dir, "API_GATEWAY_LEDGER=true")...)
	if r := postChat(t, gateway.Base+"/lb/chat", "What is a gateway?"); r.status != http.StatusOK {
		t.Fatalf("%d: %s", r.status, r.body)
	}
	t.Setenv("API_GATEWAY_DATA_DIR", dir)
	t.Setenv("API_GATEWAY_CONFIG_FILE", filepath.Join(dir, "none.json"))
	var printed string
	if err := eventually(startsWithin, func() (bool, error) {
		var out, faults bytes.Buffer
		if code := run([]string{"usage", "--by", "app,kind"}, &out, &faults); code != 0 {
			t.Fatalf("exit %d: %s", code, faults.String())
		}
		printed = out.String()
		return strings.Contains(printed, "chat,reported,1,1,0,"), nil
	}); err != nil {
		t.Fatalf("%v: %s", err, printed)
	}
	var out, faults bytes.Buffer
	if code := run([]string{"usage", "--format", "json", "--app", "chat"}, &out, &faults); code != 0 || gjson.Get(out.String(), "usage.0.requests").Int() != 1 {
		t.Errorf("exit %d: %s%s", code, out.String(), faults.String())
	}
	out.Reset()
	if code := run([]string{"capacity", "chat", "--units", "1,2"}, &out, &faults); code != 0 || !strings.Contains(out.String(), "Capacity of chat") || !strings.Contains(out.String(), "100.00%") {
		t.Errorf("exit %d: %s%s", code, out.String(), faults.String())
	}
	for _, args := range [][]string{{"usage", "--by", "weather"}, {"usage", "--from", "tomorrow"}, {"capacity", "--units", "many"}, {"capacity", "--from", "2020-01-01", "--to", "2021-01-01"}} {
		out.Reset()
		if code := run(args, &out, &faults); code == 0 {
			t.Errorf("%v: exit 0: %s", args, out.String())
		}
	}
}
