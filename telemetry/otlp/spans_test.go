package otlp

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"aigateway/openai"
	"aigateway/persist"
	"aigateway/telemetry"
)

var _ telemetry.Sink = (*Sink)(nil)

// exported returns the spans of an exchange as a collector gets them.
func exported(t *testing.T, o Options, x *persist.Exchange) []*tracepb.Span {
	t.Helper()
	to := collecting(t)
	s := open(t, o)
	s.Send(t.Context(), []*persist.Exchange{x})
	to.close(s)
	if s.Dropped() > 0 {
		t.Fatal("spans were dropped")
	}
	return to.spans
}

func TestFailedOverStreamHasASpanOfEachCall(t *testing.T) {
	spans := exported(t, Options{Version: "1.2.3"}, failedOver())
	if len(spans) != 3 {
		t.Fatalf("got %d spans", len(spans))
	}
	server, first, second := spans[0], spans[1], spans[2]

	type form struct {
		Name, State         string
		Trace, Span, Parent []byte
		Kind                tracepb.Span_SpanKind
		Start, End          time.Duration // since the request's begin
		Failed              bool
		Flags               uint32
	}
	of := func(s *tracepb.Span) form {
		return form{
			s.Name, s.TraceState, s.TraceId, s.SpanId, s.ParentSpanId, s.Kind,
			time.Duration(s.StartTimeUnixNano - uint64(begin.UnixNano())), time.Duration(s.EndTimeUnixNano - uint64(begin.UnixNano())),
			s.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR, s.Flags,
		}
	}
	trace := []byte{0xab, 15: 1}
	ms := time.Millisecond
	for _, c := range []struct {
		got  *tracepb.Span
		want form
	}{
		{server, form{"POST /lb/:app", "vendor=x", trace, []byte{9, 7: 0}, []byte{8, 7: 0}, tracepb.Span_SPAN_KIND_SERVER, 0, 1500 * ms, false, 0x301}},
		{first, form{"chat gpt-4o", "vendor=x", trace, []byte{1, 7: 0}, []byte{9, 7: 0}, tracepb.Span_SPAN_KIND_CLIENT, 10 * ms, 100 * ms, true, 0x101}},
		{second, form{"chat gpt-4o", "vendor=x", trace, []byte{2, 7: 0}, []byte{9, 7: 0}, tracepb.Span_SPAN_KIND_CLIENT, 100 * ms, 1490 * ms, false, 0x101}},
	} {
		if diff := cmp.Diff(c.want, of(c.got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.want.Name, diff)
		}
	}

	want := map[string]any{
		"http.request.method": "POST", "http.route": "/lb/:app", "url.scheme": "http", "http.response.status_code": int64(200),
		"gen_ai.conversation.id": "thread-1", "gateway.request.id": "req-1", "gateway.app": "support", "gateway.caller": "web",
		"gateway.tenant": "blue", "gateway.cache": "miss", "gateway.cache.why": "nothing near", "gateway.attempts": int64(2),
		"gateway.usage.kind": "reported", "gateway.cost": 0.0011, "gateway.limit.over": "support-day",
	}
	if diff := cmp.Diff(want, pairs(server.Attributes)); diff != "" {
		t.Errorf("server (-want +got):\n%s", diff)
	}
	asked := func(more map[string]any) map[string]any {
		for k, v := range map[string]any{
			"gen_ai.operation.name": "chat", "gen_ai.conversation.id": "thread-1", "gen_ai.request.model": "gpt-4o",
			"openai.api.type": "chat_completions", "gen_ai.request.stream": true, "gen_ai.request.temperature": 0.7,
			"gen_ai.request.max_tokens": int64(500), "gen_ai.request.seed": int64(7), "gen_ai.request.choice.count": int64(2), "server.port": int64(443),
		} {
			more[k] = v
		}
		return more
	}
	want = asked(map[string]any{
		"server.address": "one.openai.azure.com", "gen_ai.provider.name": "azure.ai.openai",
		"http.response.status_code": int64(429), "error.type": "429", "gateway.endpoint": "ptu", "gateway.attempt": int64(1),
		"gateway.upstream.region": "Sweden Central", "gateway.upstream.request_id": "apim-1",
		"gateway.upstream.remaining_requests": int64(0), "gateway.upstream.remaining_tokens": int64(12),
	})
	if diff := cmp.Diff(want, pairs(first.Attributes)); diff != "" {
		t.Errorf("first call (-want +got):\n%s", diff)
	}
	want = asked(map[string]any{
		"server.address": "api.openai.com", "gen_ai.provider.name": "openai",
		"http.response.status_code": int64(200), "gateway.endpoint": "paygo", "gateway.attempt": int64(2),
		"gateway.upstream.request_id": "req_x", "gateway.upstream.remaining_requests": int64(99),
		"gateway.upstream.remaining_tokens": int64(70000), "gateway.upstream.duration": 0.512,
		"gen_ai.response.model": "gpt-4o-2024-08-06", "gen_ai.response.finish_reasons": []any{"stop"},
		"gen_ai.response.time_to_first_chunk": 0.59, "gen_ai.usage.input_tokens": int64(120),
		"gen_ai.usage.output_tokens": int64(80), "gen_ai.usage.cache_read.input_tokens": int64(64),
		"gen_ai.usage.reasoning.output_tokens": int64(16), "gen_ai.response.id": "chatcmpl-1",
		"openai.response.system_fingerprint": "fp_1", "openai.response.service_tier": "default",
	})
	if diff := cmp.Diff(want, pairs(second.Attributes)); diff != "" {
		t.Errorf("second call (-want +got):\n%s", diff)
	}
}

func TestCachedAnswerHasNoCall(t *testing.T) {
	x := failedOver()
	x.Attempts, x.Cached, x.Cache, x.CacheWhy, x.CacheScore = nil, true, "hit", "semantic", 0.97
	x.Usage, x.Saved, x.Cost, x.SavedCost = openai.Usage{}, x.Usage, 0, 1_100_000
	spans := exported(t, Options{Scheme: "https"}, x)
	if len(spans) != 1 {
		t.Fatalf("got %d spans", len(spans))
	}
	got := pairs(spans[0].Attributes)
	for k, want := range map[string]any{
		"gateway.cache": "hit", "gateway.cache.why": "semantic", "gateway.cache.score": 0.97, "gateway.tokens.saved": int64(200),
		"gateway.cost": 0.0, "gateway.cost.saved": 0.0011, "gateway.usage.kind": "none", "gateway.attempts": int64(0), "url.scheme": "https",
	} {
		if got[k] != want {
			t.Errorf("%s: got %v, want %v", k, got[k], want)
		}
	}
}

func TestRefusalsNameTheLimitAndAreNoFailures(t *testing.T) {
	x := &persist.Exchange{Operation: "chat", Start: begin, Status: 429, Code: "limitReached", Limit: "support-tpm", Trace: failedOver().Trace}
	x.Trace.Parent, x.Trace.Method = [8]byte{}, "BREW"
	span := exported(t, Options{}, x)[0]
	got := pairs(span.Attributes)
	if got["gateway.limit"] != "support-tpm" || got["gateway.error.code"] != "limitReached" || got["error.type"] != nil || span.Status != nil {
		t.Errorf("got %v with status %v", got, span.Status)
	}
	if span.ParentSpanId != nil || span.Flags != 0x101 {
		t.Errorf("got parent %x, flags %x of a trace that begins here", span.ParentSpanId, span.Flags)
	}
	if got["http.request.method"] != "_OTHER" || span.Name != "HTTP /lb/:app" {
		t.Errorf("got method %v, name %q of a method that nobody knows", got["http.request.method"], span.Name)
	}
}

func TestFailuresAreMarked(t *testing.T) {
	for _, c := range []struct {
		name         string
		change       func(*persist.Exchange)
		server, call any // error.type
	}{
		{"our own fault", func(x *persist.Exchange) { x.Status, x.Code = 500, "internalFailure" }, "internalFailure", nil},
		{"the endpoint's status", func(x *persist.Exchange) { x.Status, x.Attempts[1].Status = 503, 503 }, "503", "503"},
		{"a time-out", func(x *persist.Exchange) {
			x.Status, x.Code, x.Attempts[1].Status, x.Attempts[1].Fault = 504, "backendTimeout", 0, "timeout"
		}, "backendTimeout", "timeout"},
		{"cut off", func(x *persist.Exchange) { x.Cut = true }, "cut", "reset"},
		{"cut off by a reset", func(x *persist.Exchange) { x.Cut, x.Code, x.Attempts[1].Fault = true, "backendFailure", "protocol" }, "backendFailure", "protocol"},
		{"the client left", func(x *persist.Exchange) { x.Aborted, x.Attempts[1].Fault = true, "canceled" }, nil, "canceled"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := failedOver()
			c.change(x)
			spans := exported(t, Options{}, x)
			for i, want := range map[int]any{0: c.server, 2: c.call} {
				if got := pairs(spans[i].Attributes)["error.type"]; got != want {
					t.Errorf("span %d: got error.type %v, want %v", i, got, want)
				}
				if failed := spans[i].GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR; failed != (want != nil) {
					t.Errorf("span %d: got failed %v", i, failed)
				}
			}
		})
	}
}

func TestWhatClientsChooseIsCutAndMadeUTF8(t *testing.T) {
	x := failedOver()
	x.Model = strings.Repeat("ü", longest) + "\xff"
	x.Thread, x.FinishReason = "a\xffb", "\xc3"
	span := exported(t, Options{}, x)[2]
	got := pairs(span.Attributes)
	if model := got["gen_ai.request.model"].(string); len(model) > longest || len(model) < longest-3 || !utf8.ValidString(model) {
		t.Errorf("got a model of %d bytes", len(model))
	}
	if got["gen_ai.conversation.id"] != "a\uFFFDb" {
		t.Errorf("got thread %q", got["gen_ai.conversation.id"])
	}
	if len(span.Name) > longest+len("chat ") {
		t.Errorf("got a name of %d bytes", len(span.Name))
	}
}

func TestOnlySampledRequestsHaveSpans(t *testing.T) {
	unsampled, own := failedOver(), failedOver()
	unsampled.Trace.Sampled = false
	own.Trace, own.Own, own.Operation = nil, true, "embeddings"
	to := collecting(t)
	s := open(t, Options{})
	s.Send(t.Context(), []*persist.Exchange{unsampled, own})
	to.close(s)
	if len(to.spans) != 0 {
		t.Errorf("got %d spans", len(to.spans))
	}
	if got := len(to.metrics); got != 1 {
		t.Fatalf("got %d exports of metrics", got)
	}
	if n := len(to.metrics[0]["gen_ai.client.operation.duration"].GetHistogram().DataPoints); n != 4 { // two calls of two operations
		t.Errorf("got %d series of calls", n)
	}
	if points := to.metrics[0]["http.server.request.duration"].GetHistogram().DataPoints; len(points) != 1 || points[0].Count != 1 {
		t.Errorf("got %v, want the client's request only", points)
	}
}

func TestOwnCallsAreMeasuredAsTheyComeAndBelongToNoTrace(t *testing.T) {
	of := func(attempts ...persist.Attempt) *persist.Exchange {
		return &persist.Exchange{
			Own: true, App: "vectors", Operation: "embeddings", Model: "ada", Answered: "text-embedding-ada-002",
			Start: begin, Duration: 30 * time.Millisecond, Status: 200, Attempts: attempts,
			Usage: openai.Usage{Reported: true, PromptTokens: 9, TotalTokens: 9},
		}
	}
	refused := persist.Attempt{ID: "one", Host: "one.openai.azure.com:443", Span: [8]byte{1}, Status: 429, Start: begin, Duration: 10 * time.Millisecond}
	answered := persist.Attempt{Endpoint: 1, ID: "two", Host: "two.example:8443", Span: [8]byte{2}, Status: 200, Start: begin, Duration: 20 * time.Millisecond}
	dead := persist.Attempt{ID: "one", Host: "one.openai.azure.com:443", Span: [8]byte{3}, Fault: "dial", Start: begin, Duration: time.Millisecond}
	lost, none := of(dead), of()
	lost.Status, lost.Answered, lost.Usage = 502, "", openai.Usage{}
	none.Status, none.Answered, none.Usage = 429, "", openai.Usage{}
	to := collecting(t)
	s := open(t, Options{Content: true})
	s.Send(t.Context(), []*persist.Exchange{of(refused, answered), lost, none})
	to.close(s)
	if len(to.spans) != 0 || s.Dropped() != 0 {
		t.Errorf("got %d spans, %d dropped", len(to.spans), s.Dropped())
	}
	got := to.metrics[0]
	durations := pointsOf(got["gen_ai.client.operation.duration"], "gen_ai.operation.name", "gen_ai.request.model", "gen_ai.response.model", "server.address", "server.port", "error.type")
	want := map[string]point{
		"embeddings ada <nil> one.openai.azure.com 443 429 ":            {1, 0.01},
		"embeddings ada text-embedding-ada-002 two.example 8443 <nil> ": {1, 0.02},
		"embeddings ada <nil> one.openai.azure.com 443 dial ":           {1, 0.001},
	}
	if diff := cmp.Diff(want, durations); diff != "" {
		t.Errorf("durations (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]point{"input ": {1, 9}}, pointsOf(got["gen_ai.client.token.usage"], "gen_ai.token.type")); diff != "" {
		t.Errorf("tokens (-want +got):\n%s", diff)
	}
	if got["http.server.request.duration"] != nil {
		t.Error("they count as requests of clients")
	}
}

func TestResourceComesFromTheEnvironment(t *testing.T) {
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod,service.version=9")
	t.Setenv("OTEL_SERVICE_NAME", "edge")
	to := collecting(t)
	s := open(t, Options{Version: "1.2.3", Instance: "pod-1"})
	s.Send(t.Context(), []*persist.Exchange{failedOver()})
	to.close(s)
	got := pairs(to.resource.Attributes)
	for k, want := range map[string]any{
		"service.name": "edge", "service.version": "9", "service.instance.id": "pod-1",
		"deployment.environment.name": "prod", "telemetry.sdk.language": "go",
	} {
		if got[k] != want {
			t.Errorf("%s: got %v, want %v", k, got[k], want)
		}
	}
	if sc := to.scopes[0]; sc.Name != "aigateway" || sc.Version != "1.2.3" {
		t.Errorf("got scope %v", sc)
	}
}
