package otlp

import (
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"aigateway/persist"
	"aigateway/telemetry"
)

// exchange writes the spans of a request that has a trace: one of the gateway
// as a server, and one of each call that it made as a client.
func (w *wire) exchange(x *persist.Exchange, scheme string, content bool) {
	w.server(x, scheme, content)
	if len(x.Attempts) > 0 {
		w.span = w.span[:0]
		w.ask(x, content)
		w.asked = append(w.asked[:0], w.span...)
	}
	for i := range x.Attempts {
		w.attempt(x, i, content)
	}
}

// server writes the span of the request: that of HTTP servers by the
// conventions, and what the gateway did about it under names of its own.
func (w *wire) server(x *persist.Exchange, scheme string, content bool) {
	t := x.Trace
	w.begin(&head{
		trace: t.ID, id: t.Span, parent: t.Parent, remote: t.Parent != [8]byte{}, state: t.State,
		kind: kindServer, start: x.Start, took: x.Duration,
	})
	method := methodOf(t)
	w.text("http.request.method", method)
	w.text("http.route", t.Route)
	w.text("url.scheme", scheme)
	w.number("http.response.status_code", int64(x.Status))
	failure := failureOf(x)
	w.text("error.type", failure)
	w.text("gen_ai.conversation.id", x.Thread)

	w.text("gateway.request.id", x.RequestID)
	w.text("gateway.app", x.App)
	w.text("gateway.caller", x.Caller)
	w.text("gateway.tenant", x.Tenant)
	w.text("gateway.error.code", x.Code)
	w.text("gateway.limit", x.Limit)
	w.text("gateway.limit.over", x.LimitOver)
	w.text("gateway.cache", x.Cache)
	w.text("gateway.cache.why", x.CacheWhy)
	if x.Cached {
		w.real("gateway.cache.score", x.CacheScore)
		w.number("gateway.tokens.saved", x.Saved.TotalTokens)
	}
	w.number("gateway.attempts", int64(len(x.Attempts)))
	w.text("gateway.usage.kind", persist.KindOf(x))
	if x.Priced != "" {
		w.real("gateway.cost", billionths(x.Cost))
		if x.Cached {
			w.real("gateway.cost.saved", billionths(x.SavedCost))
		}
	}
	w.flag("gateway.aborted", x.Aborted)
	w.flag("gateway.cut", x.Cut)
	if content && len(x.Attempts) == 0 { // else the call's span has it
		w.content(x)
	}
	verb := method
	if verb == "_OTHER" {
		verb = "HTTP"
	}
	w.end(verb, t.Route, failure != "")
}

func billionths(n int64) float64 { return float64(n) / 1e9 }

// attempt writes the span of one call. What was answered in the end is known of
// the last.
func (w *wire) attempt(x *persist.Exchange, i int, content bool) {
	t, a, last := x.Trace, &x.Attempts[i], i == len(x.Attempts)-1
	id := a.Span
	if id == [8]byte{} {
		id = telemetry.NewSpan()
	}
	w.begin(&head{
		trace: t.ID, id: id, parent: t.Span, state: t.State,
		kind: kindClient, start: a.Start, took: a.Duration,
	})
	address, port := addressOf(a.Host)
	if address != "" {
		w.text("server.address", address)
		if port != 0 {
			w.number("server.port", int64(port))
		}
	}
	if a.Status != 0 {
		w.number("http.response.status_code", int64(a.Status))
	}
	fault := faultOf(x, i)
	w.text("error.type", fault)
	w.text("gateway.endpoint", a.ID)
	w.number("gateway.attempt", int64(i+1))
	w.told(&a.Told)

	w.span = append(w.span, w.asked...)
	verb := operationOf(x)
	if verb == "" {
		w.end("call", x.Call, fault != "")
		return
	}
	w.text("gen_ai.provider.name", providerOf(x, address))
	if last && a.Status < 400 {
		w.answered(x, a)
	}
	if last && content {
		w.content(x)
	}
	w.end(verb, x.Model, fault != "")
}

// told writes what the endpoint's header says of the service behind it.
func (w *wire) told(told *persist.Told) {
	w.text("gateway.upstream.region", told.Region)
	w.text("gateway.upstream.request_id", told.RequestID)
	w.count("gateway.upstream.remaining_requests", told.RemainingRequests)
	w.count("gateway.upstream.remaining_tokens", told.RemainingTokens)
	if ms, err := strconv.ParseFloat(told.Took, 64); err == nil {
		w.real("gateway.upstream.duration", ms/1000)
	}
}

// count writes a header's count, when it is one.
func (w *wire) count(key, digits string) {
	if n, err := strconv.ParseInt(digits, 10, 64); err == nil {
		w.number(key, n)
	}
}

// ask writes what the client asked for. Members that are not of the type that
// the convention gives the attribute are left out, and without content all that is
// text of the client's own.
func (w *wire) ask(x *persist.Exchange, content bool) {
	operation := operationOf(x)
	if operation == "" {
		w.text("gateway.call", x.Call)
		return
	}
	w.text("gen_ai.operation.name", operation)
	w.text("gen_ai.conversation.id", x.Thread)
	w.text("openai.api.type", apiOf(x))
	w.text("gen_ai.request.model", x.Model)
	w.flag("gen_ai.request.stream", x.Stream)
	limited, format := false, ""
	for _, member := range x.Trace.Asked {
		switch name, value := member[0], member[1]; name {
		case "temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty":
			if n, err := strconv.ParseFloat(value, 64); err == nil {
				w.real("gen_ai.request."+name, n)
			}
		case "max_completion_tokens", "max_output_tokens", "max_tokens":
			if !limited && isCount(value) {
				limited = true
				w.count("gen_ai.request.max_tokens", value)
			}
		case "seed":
			w.count("gen_ai.request.seed", value)
		case "n":
			if value != "1" {
				w.count("gen_ai.request.choice.count", value)
			}
		case "dimensions":
			w.count("gen_ai.embeddings.dimension.count", value)
		case "stop":
			if content {
				w.strings("gen_ai.request.stop_sequences", value)
			}
		case "encoding_format":
			if form := gjson.Parse(value).Str; slices.Contains(encodings, form) {
				w.texts("gen_ai.request.encoding_formats", form)
			}
		case "service_tier":
			if tier := gjson.Parse(value).Str; slices.Contains(tiers, tier) {
				w.text("openai.request.service_tier", tier)
			}
		case "response_format":
			format = value
		}
	}
	w.text("gen_ai.output.type", outputOf(x, format))
}

// The texts that may be told of what is asked: others are the clients' own.
var (
	encodings = []string{"float", "base64", "int8", "uint8", "binary", "ubinary"}
	tiers     = []string{"default", "flex", "priority", "scale"} // by the convention not auto
)

func isCount(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// strings writes an array from a JSON text or an array of some.
func (w *wire) strings(key, value string) {
	const most = 16 // OpenAI takes 4
	var found []string
	for _, s := range gjson.Parse(value).Array() {
		if s.Type == gjson.String && len(found) < most {
			found = append(found, s.Str)
		}
	}
	if len(found) > 0 {
		w.texts(key, found...)
	}
}

// answered writes what came back.
func (w *wire) answered(x *persist.Exchange, a *persist.Attempt) {
	w.text("gen_ai.response.model", x.Answered)
	w.text("gen_ai.response.id", x.Trace.ResponseID)
	w.text("openai.response.system_fingerprint", x.Trace.Fingerprint)
	w.text("openai.response.service_tier", x.Trace.ServiceTier)
	if x.FinishReason != "" {
		w.texts("gen_ai.response.finish_reasons", x.FinishReason)
	}
	if x.Stream && a.FirstByte > 0 {
		w.real("gen_ai.response.time_to_first_chunk", a.FirstByte.Seconds())
	}
	u := &x.Usage
	if !u.Reported && !u.Estimated {
		return
	}
	w.flag("gateway.usage.estimated", u.Estimated)
	w.number("gen_ai.usage.input_tokens", u.PromptTokens)
	if x.Operation != "embeddings" {
		w.number("gen_ai.usage.output_tokens", u.CompletionTokens)
	}
	if u.CachedTokens > 0 {
		w.number("gen_ai.usage.cache_read.input_tokens", u.CachedTokens)
	}
	if u.ReasoningTokens > 0 {
		w.number("gen_ai.usage.reasoning.output_tokens", u.ReasoningTokens)
	}
}
