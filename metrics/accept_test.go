package metrics

import "testing"

func TestFormIsChosenByFormatThenByAccept(t *testing.T) {
	const (
		prometheus2 = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"
		prometheus3 = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,*/*;q=0.2"
		browser     = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
	)
	for _, tt := range []struct {
		name, accept, format string
		want                 bool
	}{
		{"nothing said", "", "", false},
		{"curl", "*/*", "", false},
		{"browser", browser, "", false},
		{"JSON client", "application/json, text/plain, */*", "", false},
		{"Prometheus 2", prometheus2, "", true},
		{"Prometheus 3", prometheus3, "", true},
		{"plain text", "text/plain", "", true},
		{"plain text in capitals with spaces", " Text/Plain ; Q=0.5 , */* ;q = 0.1", "", true},
		{"JSON preferred", "text/plain;q=0.5, application/json", "", false},
		{"plain text refused", "text/plain;q=0", "", false},
		{"quality that is no number", "text/plain;q=high", "", false},
		{"quality out of range", "text/plain;q=2, */*;q=0.1", "", false},
		{"quality NaN", "text/plain;q=NaN", "", false},
		{"format prometheus wins", "application/json", "prometheus", true},
		{"format json wins", prometheus2, "json", false},
		{"unknown format does not", prometheus2, "xml", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := WantsPrometheus(tt.accept, tt.format); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
