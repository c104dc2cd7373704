package metrics

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"
)

// dateLayout writes times as JavaScript's toLocaleString does in en-US.
const dateLayout = "1/2/2006, 3:04:05 PM"

// Header is what the JSON form says of the gateway itself.
type Header struct {
	ListenPort   string
	InstanceName string
	EndpointURI  string // path of the request for the metrics
}

// JSON returns the metrics as the gateway's predecessor wrote them, members in
// the same order: of each endpoint the counts of the current window, and in
// history those of finished ones under their numbers.
func (m *Metrics) JSON(h Header) []byte {
	apps := []object{}
	for _, a := range *m.apps.Load() {
		apps = append(apps, a.object())
	}
	success, cached, failed := m.totals.success.Load(), m.totals.cached.Load(), m.totals.failed.Load()
	return appendValue(nil, object{
		{"listenPort", h.ListenPort},
		{"instanceName", h.InstanceName},
		{"collectionIntervalMins", m.clock.interval.Minutes()},
		{"historyCount", m.clock.history},
		{"applicationMetrics", apps},
		{"successApiCalls", success},
		{"cachedApiCalls", cached},
		{"failedApiCalls", failed},
		{"totalApiCalls", success + cached + failed},
		{"endpointUri", h.EndpointURI},
		{"currentDate", m.clock.now().Format(dateLayout)},
		{"status", "OK"},
	})
}

func (a *App) object() object {
	endpoints := []object{}
	for i, e := range a.spec.Endpoints {
		endpoints = append(endpoints, object{
			{"endpoint", e.URI},
			{"priority", int64(i)},
			{"metrics", a.endpointObject(a.endpoints[i])},
		})
	}
	o := object{{"applicationId", a.spec.ID}}
	if a.spec.CacheOn {
		hits := a.counts.hits.Load()
		o = append(o, member{"cacheMetrics", object{
			{"hitCount", hits},
			{"avgScore", ratio(a.counts.score.value(), hits)},
		}})
	}
	return append(o, member{"endpointMetrics", endpoints})
}

func (a *App) endpointObject(e *endpointCounts) object {
	current, finished := e.windows.read(a.clock)
	history := object{}
	for _, w := range finished {
		history = append(history, member{strconv.FormatInt(w.number, 10), object{
			{"collectionTime", w.begin.Format(dateLayout)},
			{"collectedMetrics", a.collected(w)},
		}})
	}
	o := a.calls(current)
	if inference(a.spec.Type) {
		o = append(o, member{"kInferenceTokens", float64(current.tokens.Load()) / 1000})
	}
	return append(o, member{"history", history})
}

// calls returns the members that count calls.
func (a *App) calls(w *window) object {
	succeeded, failed := w.succeeded.Load(), w.failed.Load()
	o := object{{"apiCalls", succeeded}}
	for i, name := range a.named {
		o = append(o, member{name, w.named[i].Load()})
	}
	o = append(o, member{"failedApiCalls", failed})
	if inference(a.spec.Type) {
		o = append(o, member{"throttledApiCalls", w.throttled.Load()}, member{"filteredApiCalls", w.filtered.Load()})
	}
	return append(o, member{"totalApiCalls", succeeded + failed})
}

// collected returns what history says of a finished window. The factor 6 of
// requests is Azure's: 6 requests per minute come with 1,000 tokens per minute.
func (a *App) collected(w *window) object {
	o := a.calls(w)
	answered := w.succeeded.Load()
	if inference(a.spec.Type) {
		tokens := float64(w.tokens.Load())
		minutes := a.clock.begin(w.number + 1).Sub(w.begin).Minutes()
		perCall := ratio(tokens, answered)
		o = append(o, member{"throughput", object{
			{"kTokensPerWindow", tokens / 1000},
			{"requestsPerWindow", tokens / 1000 * 6},
			{"avgTokensPerCall", perCall},
			{"avgRequestsPerCall", perCall * 6 / 1000},
			{"tokensPerMinute", tokens / minutes},
			{"requestsPerMinute", float64(answered) / minutes},
		}})
	}
	milliseconds := float64(w.latency.Load()) / float64(time.Millisecond)
	return append(o, member{"latency", object{
		{"avgResponseTimeMsec", ratio(milliseconds, answered)},
	}})
}

// ratio returns sum / n, 0 when n is.
func ratio(sum float64, n int64) float64 {
	if n == 0 {
		return 0
	}
	return sum / float64(n)
}

// object is a JSON object that keeps the order of its members, which
// encoding/json does not do for names known only at run time.
type object []member

// member has a value of type string, int64, float64, object or []object. Names
// are written as they are.
type member struct {
	name  string
	value any
}

// appendValue appends v as JSON.
func appendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return appendString(b, v)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case float64:
		return strconv.AppendFloat(b, v, 'f', -1, 64)
	case object:
		b = append(b, '{')
		for i, m := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, '"')
			b = append(b, m.name...)
			b = append(b, `":`...)
			b = appendValue(b, m.value)
		}
		return append(b, '}')
	case []object:
		b = append(b, '[')
		for i, o := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendValue(b, o)
		}
		return append(b, ']')
	}
	panic("BUG: a member's type cannot be written as JSON")
}

// appendString appends s quoted, and as JavaScript would: & in addresses stays.
func appendString(b []byte, s string) []byte {
	var quoted bytes.Buffer
	e := json.NewEncoder(&quoted)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic("BUG: a string cannot be written as JSON: " + err.Error())
	}
	return append(b, bytes.TrimSuffix(quoted.Bytes(), []byte("\n"))...)
}
