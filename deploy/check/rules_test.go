package check

import (
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/util/teststorage"
	"go.yaml.in/yaml/v3"
)

// readRules returns the alert rules by name.
func readRules(t *testing.T) map[string]rulefmt.Rule {
	t.Helper()
	groups, faults := rulefmt.ParseFile("../prometheus/alerts.yml", false, model.LegacyValidation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	for _, fault := range faults {
		t.Error(fault)
	}
	if groups == nil {
		t.FailNow()
	}
	rules := map[string]rulefmt.Rule{}
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			if _, twice := rules[r.Alert]; twice || r.Alert == "" {
				t.Errorf("%q is no alert, or there twice", r.Alert)
			}
			rules[r.Alert] = r
		}
	}
	return rules
}

func TestEveryAlertMatchesSeries(t *testing.T) {
	h := historyOf(t)
	for name, rule := range readRules(t) {
		t.Run(name, func(t *testing.T) {
			if _, err := h.ask(t.Context(), check(t, h.last, rule.Expr)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestEveryAlertSaysHowBadItIsAndWhatToDo(t *testing.T) {
	for name, rule := range readRules(t) {
		if !slices.Contains([]string{"critical", "warning", "info"}, rule.Labels["severity"]) {
			t.Errorf("%s has severity %q", name, rule.Labels["severity"])
		}
		for _, annotation := range []string{"summary", "description"} {
			if rule.Annotations[annotation] == "" {
				t.Errorf("%s has no %s", name, annotation)
			}
		}
	}
}

func TestScrapeJobIsTheOneThatAlertsAskFor(t *testing.T) {
	text, err := os.ReadFile("../prometheus/prometheus.yml")
	if err != nil {
		t.Fatal(err)
	}
	var set struct {
		RuleFiles     []string `yaml:"rule_files"`
		ScrapeConfigs []struct {
			JobName     string `yaml:"job_name"`
			MetricsPath string `yaml:"metrics_path"`
		} `yaml:"scrape_configs"`
	}
	if err := yaml.Unmarshal(text, &set); err != nil {
		t.Fatal(err)
	}
	if len(set.ScrapeConfigs) != 1 || set.ScrapeConfigs[0].JobName != job || set.ScrapeConfigs[0].MetricsPath != metricsPath || !slices.Equal(set.RuleFiles, []string{"alerts.yml"}) {
		t.Errorf("got %+v", set)
	}
}

// alertCases say for each alert when it fires and when, for little, it does
// not: series in the notation of Prometheus's own tests (start+step×times).
var alertCases = map[string]struct {
	at           time.Duration // when it is asked
	fires, quiet string
}{
	"GatewayDown": {
		time.Hour,
		`load 1m
			up{job="gateway",instance="a"} 1x57 0x3`,
		`load 1m
			up{job="gateway",instance="a"} 1x60
			up{job="node",instance="a"} 0x60`,
	},
	"GatewayNotScraped": {
		time.Hour,
		`load 1m
			up{job="node",instance="a"} 1x60`,
		`load 1m
			up{job="gateway",instance="a"} 0x60`,
	},
	"GatewayConfigReloadFailed": {
		time.Hour,
		`load 1m
			gateway_config_reloads_total{instance="a",result="error"} 0x40 1x20`,
		`load 1m
			gateway_config_reloads_total{instance="a",result="error"} 1x60
			gateway_config_reloads_total{instance="a",result="ok"} 1+1x60`,
	},
	"GatewayOpenFiles": {
		time.Hour,
		`load 1m
			process_open_fds{job="gateway",instance="a"} 900x60
			process_max_fds{job="gateway",instance="a"} 1000x60`,
		`load 1m
			process_open_fds{job="gateway",instance="a"} 700x60
			process_max_fds{job="gateway",instance="a"} 1000x60`,
	},
	"GatewayTelemetryDropping": {
		time.Hour,
		`load 1m
			gateway_telemetry_dropped_total{instance="a"} 0+1x60`,
		`load 1m
			gateway_telemetry_dropped_total{instance="a"} 7x60`,
	},
	"GatewayErrors": {
		time.Hour,
		`load 1m
			gateway_requests_total{app="chat",outcome="ok",instance="a"} 0+90x60
			gateway_requests_total{app="chat",outcome="backend_error",instance="a"} 0+5x60
			gateway_requests_total{app="chat",outcome="internal_error",instance="a"} 0+5x60`,
		`load 1m
			gateway_requests_total{app="chat",outcome="ok",instance="a"} 0+97x60
			gateway_requests_total{app="chat",outcome="client_error",instance="a"} 0+50x60
			gateway_requests_total{app="chat",outcome="backend_error",instance="a"} 0+3x60
			gateway_requests_total{app="rare",outcome="backend_error",instance="a"} 0x58 1x2
			gateway_requests_total{app="rare",outcome="ok",instance="a"} 0x60`,
	},
	"GatewayThrottled": {
		time.Hour,
		`load 1m
			gateway_requests_total{app="chat",outcome="ok"} 0+80x60
			gateway_requests_total{app="chat",outcome="throttled"} 0+20x60`,
		`load 1m
			gateway_requests_total{app="chat",outcome="ok"} 0+95x60
			gateway_requests_total{app="chat",outcome="throttled"} 0+5x60`,
	},
	"GatewaySlowFirstByte": {
		time.Hour,
		`load 1m
			gateway_time_to_first_byte_seconds_bucket{app="chat",le="10.24"} 0+10x60
			gateway_time_to_first_byte_seconds_bucket{app="chat",le="20.48"} 0+20x60
			gateway_time_to_first_byte_seconds_bucket{app="chat",le="+Inf"} 0+20x60
			gateway_time_to_first_byte_seconds_count{app="chat"} 0+20x60`,
		`load 1m
			gateway_time_to_first_byte_seconds_bucket{app="chat",le="1.28"} 0+99x60
			gateway_time_to_first_byte_seconds_bucket{app="chat",le="20.48"} 0+100x60
			gateway_time_to_first_byte_seconds_bucket{app="chat",le="+Inf"} 0+100x60
			gateway_time_to_first_byte_seconds_count{app="chat"} 0+100x60`,
	},
	"GatewayAllEndpointsResting": {
		time.Hour,
		`load 1m
			gateway_endpoint_resting{app="chat",endpoint="first",instance="a"} 1x60
			gateway_endpoint_resting{app="chat",endpoint="second",instance="a"} 0x50 1x10`,
		`load 1m
			gateway_endpoint_resting{app="chat",endpoint="first",instance="a"} 1x60
			gateway_endpoint_resting{app="chat",endpoint="second",instance="a"} 0x60`,
	},
	"GatewayEndpointThrottled": {
		time.Hour,
		`load 1m
			gateway_attempts_total{app="chat",endpoint="first",outcome="ok"} 0+7x60
			gateway_attempts_total{app="chat",endpoint="first",outcome="throttled"} 0+3x60`,
		`load 1m
			gateway_attempts_total{app="chat",endpoint="first",outcome="ok"} 0+9x60
			gateway_attempts_total{app="chat",endpoint="first",outcome="throttled"} 0+1x60`,
	},
	"GatewayEndpointFailing": {
		time.Hour,
		`load 1m
			gateway_attempts_total{app="chat",endpoint="first",outcome="ok"} 0+3x60
			gateway_attempts_total{app="chat",endpoint="first",outcome="timeout"} 0+3x60
			gateway_attempts_total{app="chat",endpoint="first",outcome="backend_error"} 0+4x60`,
		`load 1m
			gateway_attempts_total{app="chat",endpoint="first",outcome="ok"} 0+5x60
			gateway_attempts_total{app="chat",endpoint="first",outcome="canceled"} 0+5x60
			gateway_attempts_total{app="chat",endpoint="first",outcome="timeout"} 0+1x60`,
	},
	"GatewayLimitRefusals": {
		time.Hour,
		`load 1m
			gateway_limited_total{app="chat",status="429"} 0+3x60
			gateway_requests_total{app="chat",outcome="ok"} 0+7x60
			gateway_requests_total{app="chat",outcome="throttled"} 0+3x60`,
		`load 1m
			gateway_limited_total{app="chat",status="429"} 0+1x60
			gateway_limited_total{app="chat",status="403"} 0+8x60
			gateway_requests_total{app="chat",outcome="ok"} 0+9x60
			gateway_requests_total{app="chat",outcome="client_error"} 0+8x60`,
	},
	"GatewayQuotaExhausted": {
		time.Hour,
		`load 1m
			gateway_limited_total{app="chat",status="403"} 0x58 1x2`,
		`load 1m
			gateway_limited_total{app="chat",status="403"} 5x60
			gateway_limited_total{app="chat",status="429"} 0+5x60`,
	},
	"GatewayCostSurge": { // a week of 5 an hour, and then 60 in one
		8 * 24 * time.Hour,
		`load 10m
			gateway_cost_total{app="chat",instance="a"} 0+0.834x1146 966+10x6
			gateway_cost_total{app="chat",instance="b"} 0x1152`,
		`load 10m
			gateway_cost_total{app="chat",instance="a"} 0+0.834x1146 957.4+1.5x6
			gateway_cost_total{app="cheap",instance="a"} 0+0.001x1146 1.2+1x6
			gateway_cost_total{app="new",instance="a"} _x1100 0+0.834x46 40+10x6`,
	},
	"GatewaySharedCountersAway": {
		time.Hour,
		`load 1m
			gateway_limit_shared_up{instance="a"} 1x50 0x10`,
		`load 1m
			gateway_limit_shared_up{instance="a"} 1x60`,
	},
	"GatewayTenantsBeyondBound": {
		time.Hour,
		`load 1m
			openai_total_tokens_total{tenant_name="other",openai_name="first",method_name="chat"} 0+10x60`,
		`load 1m
			openai_total_tokens_total{tenant_name="none",openai_name="first",method_name="chat"} 0+10x60`,
	},
	"GatewayStoreDown": {
		time.Hour,
		`load 1m
			gateway_store_up{instance="a"} 1x50 0x10`,
		`load 1m
			gateway_store_up{instance="a"} 1x60`,
	},
	"GatewaySpoolBlocked": {
		time.Hour,
		`load 1m
			gateway_spool_blocked{instance="a"} 1x60`,
		`load 1m
			gateway_spool_blocked{instance="a"} 0x60`,
	},
	"GatewaySpoolGrowing": {
		time.Hour,
		`load 1m
			gateway_spool_oldest_seconds{instance="a"} 0+60x60
			gateway_prompts_waiting_bytes{instance="a"} 0+1000x60`,
		`load 1m
			gateway_spool_oldest_seconds{instance="shrinking"} 0+60x60
			gateway_prompts_waiting_bytes{instance="shrinking"} 90000-1000x60
			gateway_spool_oldest_seconds{instance="young"} 10x60
			gateway_prompts_waiting_bytes{instance="young"} 0+1000x60`,
	},
	"GatewayPromptsLost": {
		time.Hour,
		`load 1m
			gateway_prompts_lost_total{instance="a"} 0x55 3x5`,
		`load 1m
			gateway_prompts_lost_total{instance="a"} 3x60`,
	},
	"GatewayPromptsRejected": {
		time.Hour,
		`load 1m
			gateway_prompts_rejected_total{instance="a"} 0x55 3x5`,
		`load 1m
			gateway_prompts_rejected_total{instance="a"} 3x60`,
	},
	"GatewayCacheDropping": {
		time.Hour,
		`load 1m
			gateway_cache_dropped_total{instance="a"} 0x60
			gateway_cache_store_faults_total{instance="a"} 0+2x60`,
		`load 1m
			gateway_cache_dropped_total{instance="a"} 0x60
			gateway_cache_store_faults_total{instance="a"} 0x59 5x1`,
	},
	"GatewayCacheHitRateDropped": {
		24 * time.Hour,
		`load 10m
			gateway_cache_requests_total{app="chat",result="hit"} 0+50x132 6600+10x12
			gateway_cache_requests_total{app="chat",result="miss"} 0+50x132 6600+90x12`,
		`load 10m
			gateway_cache_requests_total{app="chat",result="hit"} 0+50x132 6600+40x12
			gateway_cache_requests_total{app="chat",result="miss"} 0+50x132 6600+60x12
			gateway_cache_requests_total{app="rare",result="hit"} 0+5x132 660+1x12
			gateway_cache_requests_total{app="rare",result="miss"} 0+5x132 660+9x12
			gateway_cache_requests_total{app="never",result="hit"} 0+5x132 660x12
			gateway_cache_requests_total{app="never",result="miss"} 0+95x144`,
	},
	"GatewayInvalidatorFailing": {
		6 * time.Hour,
		`load 10m
			gateway_invalidator_runs_total{of="cache",outcome="failed"} 0+1x36
			gateway_invalidator_runs_total{of="cache",outcome="ok"} 5x36
			gateway_invalidator_runs_total{of="memory",outcome="ok"} 0+1x36`,
		`load 10m
			gateway_invalidator_runs_total{of="cache",outcome="failed"} 0+1x36
			gateway_invalidator_runs_total{of="cache",outcome="ok",instance="b"} 0+1x36`,
	},
	"GatewayInvalidatorLate": {
		30 * time.Hour,
		`load 5m
			gateway_invalidator_last_success_timestamp_seconds{of="ledger",instance="a"} 60x360
			gateway_invalidator_last_success_timestamp_seconds{of="ledger",instance="b"} 600x360`,
		`load 5m
			gateway_invalidator_last_success_timestamp_seconds{of="ledger",instance="a"} 60x360
			gateway_invalidator_last_success_timestamp_seconds{of="ledger",instance="b"} 72000x360`,
	},
}

func TestAlertsFireWhenTheyShould(t *testing.T) {
	rules := readRules(t)
	for name := range alertCases {
		if _, ok := rules[name]; !ok {
			t.Errorf("there is no alert %s", name)
		}
	}
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			c, ok := alertCases[name]
			if !ok {
				t.Fatal("it is not told when this alert fires")
			}
			fired := held(t, rule, c.fires, c.at)
			if len(fired) == 0 {
				t.Errorf("it does not fire with\n%s", c.fires)
			}
			for _, one := range fired {
				names(t, rule, one)
			}
			if fired := held(t, rule, c.quiet, c.at); len(fired) != 0 {
				t.Errorf("it fires for %v with\n%s", fired, c.quiet)
			}
		})
	}
}

// held returns the labels of what the rule's expression is true of at a time,
// and was true of for as long before as the rule waits.
func held(t *testing.T, rule rulefmt.Rule, series string, at time.Duration) (fired []map[string]string) {
	t.Helper()
	const step = time.Minute
	engine, store := promqltest.NewTestEngine(t, false, 0, 1e6), load(t, series)
	end := time.Unix(0, 0).Add(at)
	q, err := engine.NewRangeQuery(t.Context(), store, nil, rule.Expr, end.Add(-time.Duration(rule.For)), end, step)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	result := q.Exec(t.Context())
	if result.Err != nil {
		t.Fatal(result.Err)
	}
	for _, s := range result.Value.(promql.Matrix) {
		if len(s.Floats) == 1+int(time.Duration(rule.For)/step) {
			fired = append(fired, s.Metric.Map())
		}
	}
	return fired
}

// load stores series that begin at the epoch. Prometheus's own loader stores
// one after the other, which fails when the first begins late.
func load(t *testing.T, series string) *teststorage.TestStorage {
	t.Helper()
	first, rest, _ := strings.Cut(series, "\n")
	step, err := time.ParseDuration(strings.TrimPrefix(first, "load "))
	if err != nil {
		t.Fatal(err)
	}
	var names []labels.Labels
	var values [][]parser.SequenceValue
	longest := 0
	for line := range strings.Lines(rest) {
		name, sequence, err := parser.NewParser(parser.Options{}).ParseSeriesDesc(strings.TrimSpace(line))
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		names, values, longest = append(names, name), append(values, sequence), max(longest, len(sequence))
	}
	store := teststorage.New(t)
	a := store.Appender(t.Context())
	for i := range longest {
		for j, sequence := range values {
			if i >= len(sequence) || sequence[i].Omitted {
				continue
			}
			if _, err := a.Append(0, names[j], (time.Duration(i) * step).Milliseconds(), sequence[i].Value); err != nil {
				t.Fatalf("storing %s: %v", names[j], err)
			}
		}
	}
	if err := a.Commit(); err != nil {
		t.Fatal(err)
	}
	return store
}

var alertLabels = regexp.MustCompile(`\$labels\.(\w+)`)

// names checks that what fired has the labels that the rule's texts name.
func names(t *testing.T, rule rulefmt.Rule, has map[string]string) {
	t.Helper()
	for _, text := range rule.Annotations {
		for _, label := range alertLabels.FindAllStringSubmatch(text, -1) {
			if has[label[1]] == "" {
				t.Errorf("its text names %s, which what fired does not have: %v", label[1], has)
			}
		}
	}
}
