package metrics

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"aigateway/persist"
)

// full returns metrics with every metric in it.
func full() *Metrics {
	m, _ := newMetrics(5)
	everyType(m)
	(*m.apps.Load())[0].Observe(&persist.Exchange{Operation: "chat", Status: 429, Limit: "free-tier"})
	m.Begin()
	m.Begin()
	m.End()
	m.Reloaded(true, 7)
	m.Reloaded(false, 8)
	m.SetEndpointStates(func() []EndpointState {
		return []EndpointState{
			{App: "azure_oai-app", Endpoint: "0", Resting: true, InFlight: 3, RPMUsed: 42},
			{App: "openai-app", Endpoint: "0"},
		}
	})
	return m
}

func scrape(m *Metrics, accept string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	m.ServePrometheus(w, r)
	return w
}

func TestPrometheusText(t *testing.T) {
	w := scrape(full(), "text/plain")
	if got := w.Header().Get("Content-Type"); w.Code != http.StatusOK || !strings.HasPrefix(got, "text/plain; version=0.0.4") {
		t.Fatalf("got %d, %s", w.Code, got)
	}
	var ours strings.Builder // of one application: the others differ in its name only
	for line := range strings.Lines(w.Body.String()) {
		of := strings.Contains(line, `app="azure_oai-app"`) || !strings.Contains(line, `app="`)
		if strings.Contains(line, "gateway_") && !strings.Contains(line, "build_info{") && of {
			ours.WriteString(line)
		}
	}
	golden(t, "prometheus.txt", []byte(ours.String()))
}

func TestPrometheusShowsTheBuildTheRuntimeAndTheProcess(t *testing.T) {
	body := scrape(full(), "text/plain").Body.String()
	for _, want := range []string{`gateway_build_info{goversion="go1.`, `version="1.2.3"} 1`, "go_goroutines ", "process_start_time_seconds "} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is not shown", want)
		}
	}
}

func TestOpenMetricsWhenAskedFor(t *testing.T) {
	w := scrape(full(), "application/openmetrics-text;version=1.0.0")
	if got := w.Header().Get("Content-Type"); !strings.HasPrefix(got, "application/openmetrics-text; version=1.0.0") {
		t.Errorf("got %s", got)
	}
	if !strings.HasSuffix(w.Body.String(), "# EOF\n") {
		t.Error("the text does not end as OpenMetrics does")
	}
}

func TestMetricsAreNamedAsPrometheusAdvises(t *testing.T) {
	problems, err := testutil.GatherAndLint(newRegistry(full()))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestFailedReloadKeepsTheGeneration(t *testing.T) {
	m, _ := newMetrics(0)
	m.Reloaded(true, 7)
	m.Reloaded(false, 8)
	body := scrape(m, "text/plain").Body.String()
	for _, want := range []string{
		"gateway_config_generation 7\n",
		`gateway_config_reloads_total{result="ok"} 1` + "\n",
		`gateway_config_reloads_total{result="error"} 1` + "\n",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is not shown", want)
		}
	}
}

func TestOneBadLabelDoesNotHideTheOthers(t *testing.T) {
	m := full()
	m.SetEndpointStates(func() []EndpointState { return []EndpointState{{App: "\xff", Endpoint: "0"}} })
	w := scrape(m, "text/plain")
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "gateway_requests_total{") {
		t.Errorf("got %d: %.200s", w.Code, w.Body)
	}
}

func TestUnroutedRequestsMakeNoSeries(t *testing.T) {
	m, _ := newMetrics(0)
	x := answer(0)
	x.App, x.Operation = "made up by a caller", "made/up"
	m.Unrouted(x)
	m.Configure([]AppSpec{spec("app", "x")})[0].Observe(x)
	body := scrape(m, "text/plain").Body.String()
	if strings.Contains(body, "made") {
		t.Error("a caller's value is a label")
	}
	if want := `gateway_requests_total{app="app",operation="other",outcome="ok"} 1`; !strings.Contains(body, want) {
		t.Errorf("%q is not shown", want)
	}
}
