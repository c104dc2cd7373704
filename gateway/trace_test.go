package gateway_test

import (
	"context"
	"encoding/hex"
	"slices"
	"strings"
	"sync"
	"testing"

	"aigateway/gateway"
	"aigateway/persist"
	"aigateway/simulator"
	"aigateway/telemetry"
)

// seenExchanges is where telemetry ends in tests.
type seenExchanges struct {
	mu  sync.Mutex
	all []*persist.Exchange // guarded by mu
}

func (s *seenExchanges) Send(_ context.Context, batch []*persist.Exchange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, batch...)
}

func (s *seenExchanges) Close(context.Context) error { return nil }

// newTraced starts a gateway with telemetry; stopped tells what it was told,
// when it has ended.
func newTraced(t *testing.T, content bool, o simulator.Options, configJSON string) (k *keeping, stopped func() []*persist.Exchange) {
	t.Helper()
	sink := &seenExchanges{}
	traces := telemetry.New(telemetry.Options{Sinks: []telemetry.Sink{sink}, Content: content})
	ctx, cancel := context.WithCancel(context.Background())
	var loops sync.WaitGroup
	for _, loop := range traces.Loops() {
		loops.Go(func() { loop(ctx) })
	}
	k = &keeping{db: newSQLite(t)}
	newSetupKeeping(t, o, func(s *setup, g *gateway.Options) func() {
		g.Telemetry = traces
		g.Settings.UseCache, g.Settings.StateMgmt, g.Settings.PersistPrompts, g.Settings.VectorApp = true, true, true, "embed"
		stop := k.open(t, s, g)
		return func() {
			stop()
			cancel()
			loops.Wait()
		}
	}, configJSON)
	return k, func() []*persist.Exchange {
		cancel()
		loops.Wait()
		return sink.all
	}
}

func TestATraceGoesThroughTheGateway(t *testing.T) {
	o := simulator.Options{Deployments: map[string]simulator.Deployment{"fails": {Fault: "status=503"}}}
	k, stopped := newTraced(t, false, o, applications(embedApp, chatApp("bot", cacheOn+`"memorySettings":{"useMemory":true},`, "fails", "works")))
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	body := ask(`"stream":true,"temperature":0.5,`, "What is a gateway?")
	_, header, _ := k.post("/lb/bot", body, "Traceparent", parent, "Tracestate", "vendor=1")
	k.entries("bot", 1)
	k.post("/lb/bot", body, "Traceparent", parent)
	k.idle()

	var calls []string
	for _, seen := range k.sim.Requests() {
		if strings.Contains(seen.Path, "/chat/") {
			calls = append(calls, seen.Header.Get("Traceparent"))
		}
	}
	all := slices.DeleteFunc(stopped(), func(x *persist.Exchange) bool { return x.Own && x.Trace == nil && x.Attempts[0].Host != "" }) // embeddings
	if len(all) != 2 || len(calls) != 2 {
		t.Fatalf("telemetry was told of %d exchanges, the models of %d calls", len(all), len(calls))
	}
	x := all[0]
	if hex.EncodeToString(x.Trace.ID[:]) != "0af7651916cd43dd8448eb211c80319c" || hex.EncodeToString(x.Trace.Parent[:]) != "b7ad6b7169203331" ||
		x.Trace.State != "vendor=1" || x.Trace.Method != "POST" || x.Trace.Route != "/lb/:app" || x.Thread != header.Get("X-Thread-Id") || x.Trace.Chunks == 0 {
		t.Errorf("told %+v, trace %+v", x, x.Trace)
	}
	if len(x.Trace.Asked) != 1 || x.Trace.Asked[0] != [2]string{"temperature", "0.5"} {
		t.Errorf("asked %v", x.Trace.Asked)
	}
	for i, a := range x.Attempts {
		if want := "00-0af7651916cd43dd8448eb211c80319c-" + hex.EncodeToString(a.Span[:]) + "-01"; calls[i] != want || a.Host == "" {
			t.Errorf("call %d was sent %q, want %q; host %q", i, calls[i], want, a.Host)
		}
	}
	if y := all[1]; !y.Cached || len(y.Attempts) != 0 || y.Saved.TotalTokens == 0 || y.Trace.Span == x.Trace.Span {
		t.Errorf("the cached one: %+v", y)
	}
	if x.Trace.Prompt != nil || x.Trace.Completion != nil {
		t.Error("telemetry was told what was said, though content is off")
	}
}

func TestTelemetryIsToldWhatWasSaidOnlyWithoutWhatIsHidden(t *testing.T) {
	config := strings.TrimSuffix(applications(embedApp, chatApp("bot", "", "works"), chatApp("quiet", `"persist":{"content":false},`, "works")), "}") +
		`,"persist":{"redact":["4[0-9]{3}"]}}`
	k, stopped := newTraced(t, true, simulator.Options{}, config)
	k.post("/lb/bot", ask("", "My number is 4711."))
	k.post("/lb/quiet", ask("", "My number is 4711."))
	k.idle()
	all := stopped()
	if len(all) != 2 {
		t.Fatalf("told of %d", len(all))
	}
	said := string(all[0].Trace.Prompt) + string(all[0].Trace.Completion)
	if !strings.Contains(said, "[redacted]") || strings.Contains(said, "4711") {
		t.Errorf("told %s", said)
	}
	if all[1].Trace.Prompt != nil || all[1].Trace.Completion != nil {
		t.Error("told what an application does not keep")
	}
}
