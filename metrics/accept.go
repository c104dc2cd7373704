package metrics

import (
	"strconv"
	"strings"
)

// WantsPrometheus reports whether a request for the metrics is answered with
// the Prometheus form. The format member of its query decides when it is
// "prometheus" or "json"; else its Accept header does: the Prometheus form when
// that prefers text/plain, OpenMetrics or Prometheus's protobuf to anything
// else, as scrapers do, and JSON otherwise, as for browsers and for */*.
func WantsPrometheus(accept, format string) bool {
	switch format {
	case "prometheus":
		return true
	case "json":
		return false
	}
	var scraper, other float64
	for element := range strings.SplitSeq(accept, ",") {
		mediaType, parameters, _ := strings.Cut(element, ";")
		q := quality(parameters)
		switch strings.ToLower(strings.TrimSpace(mediaType)) {
		case "text/plain", "application/openmetrics-text", "application/vnd.google.protobuf":
			scraper = max(scraper, q)
		default:
			other = max(other, q)
		}
	}
	return scraper > other
}

// quality returns the q parameter of an element of Accept (RFC 9110, 12.4.2);
// 1 without one, 0 for one that is no number.
func quality(parameters string) float64 {
	for p := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(p, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "q") {
			continue
		}
		q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil || !(q >= 0 && q <= 1) { // NaN too
			return 0
		}
		return q
	}
	return 1
}
