package azure

import (
	"cmp"
	"encoding/hex"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"aigateway/persist"
	"aigateway/telemetry"
)

// The lengths that the schema allows, in characters, and what keeps an item
// below the 64 KB of Application Insights' service limits: content makes two
// values of at most 24 KB.
const (
	tagMost     = 256 // ai.cloud.role
	nameMost    = 1024
	urlMost     = 2048
	messageMost = 32768
	contentMost = 8192
	// chosenMost is what is kept of texts that clients choose; the schema has
	// room for 8,192.
	chosenMost = 256
)

// head is what all items have in common.
type head struct {
	name []byte // of the envelope, to the kind of item
	key  []byte // iKey, and tags to the item's own
	role string
}

func newHead(key string, o Options) head {
	var l line
	l.text("iKey", key, nameMost)
	l.open("tags")
	l.text("ai.cloud.role", o.Role, tagMost)
	l.text("ai.cloud.roleInstance", o.Instance, tagMost)
	l.text("ai.application.ver", o.Version, 64)
	l.text("ai.internal.sdkVersion", "aigw:"+cmp.Or(o.Version, "0"), 64)
	return head{
		name: []byte(`{"ver":1,"name":"Microsoft.ApplicationInsights.` + strings.ReplaceAll(key, "-", "") + "."),
		key:  l, role: o.Role,
	}
}

// begin writes an envelope up to its tags, which it leaves open. The item
// stands for 1/share items, in which the service counts.
func (h *head) begin(l *line, kind string, at time.Time, share float64) {
	b := append((*l)[:0], h.name...)
	b = append(b, kind...)
	b = append(b, `","time":"`...)
	b = at.UTC().AppendFormat(b, "2006-01-02T15:04:05.0000000Z")
	*l = append(b, '"', ',')
	if share < 1 { // 100 is what it is without
		l.number("sampleRate", 100*share)
	}
	*l = append(*l, h.key...)
}

// data writes the beginning of the item's data.
func (h *head) data(l *line, kind string) {
	l.open("data")
	l.text("baseType", kind, nameMost)
	l.open("baseData")
	l.number("ver", 2)
}

// end puts the item into the backlog.
func (s *Sink) end(of *fate) {
	s.line.shut() // baseData
	s.line.shut() // data
	s.line.shut()
	s.lose(s.backlog.add(item{slices.Clone(s.line[:len(s.line)-1]), of}))
}

// operation is what correlates the items of a request.
type operation struct {
	id, parent string
	name       string  // of the request, such as POST /lb/:app
	share      float64 // the item stands for 1/share
}

// begin writes an envelope up to the item's own members.
func (s *Sink) begin(kind string, at time.Time, op operation) *line {
	l := &s.line
	s.head.begin(l, strings.TrimSuffix(kind, "Data"), at, op.share)
	l.text("ai.operation.id", op.id, 128)
	l.text("ai.operation.parentId", op.parent, 128)
	l.text("ai.operation.name", op.name, nameMost)
	l.shut()
	s.head.data(l, kind)
	return l
}

// exchange writes the items of a request: itself, its calls, and what went
// wrong. A call of the gateway's own is part of no request.
func (s *Sink) exchange(x *persist.Exchange, share float64) {
	of := &fate{}
	op := operation{share: share}
	if t := x.Trace; t != nil {
		op.id, op.parent, op.name = hex.EncodeToString(t.ID[:]), idOf(t.Parent), nameOf(t)
		if !x.Own {
			s.request(x, op, of)
			op.parent = idOf(t.Span)
		}
		if kind, message := fault(x); kind != "" {
			s.exception(x, op, of, kind, message)
		}
	} else {
		op.id = newOperation()
	}
	for i := range x.Attempts {
		s.dependency(x, i, op, of)
	}
}

// request writes a RequestData.
func (s *Sink) request(x *persist.Exchange, op operation, of *fate) {
	l := s.begin("RequestData", x.Start, op)
	t := x.Trace
	l.text("id", idOf(t.Span), 128)
	l.text("name", op.name, nameMost)
	l.duration("duration", x.Duration)
	l.text("responseCode", strconv.Itoa(x.Status), nameMost)
	l.flag("success", x.Status < 400 && !x.Cut)
	l.text("url", pathOf(x), urlMost)
	l.open("properties")
	s.about(x)
	l.text("caller", x.Caller, chosenMost)
	l.text("thread", x.Thread, chosenMost)
	l.text("cache", x.Cache, chosenMost)
	l.text("cacheWhy", x.CacheWhy, chosenMost)
	l.text("limit", x.Limit, chosenMost)
	l.text("limitOver", x.LimitOver, chosenMost)
	l.text("model", x.Model, chosenMost)
	l.text("answeredBy", x.Answered, chosenMost)
	l.text("usage", persist.KindOf(x), chosenMost)
	l.text("code", x.Code, chosenMost)
	l.text("finishReason", x.FinishReason, chosenMost)
	if x.Aborted {
		l.text("aborted", "true", chosenMost)
	}
	if s.content {
		l.text("prompt", string(t.Prompt), contentMost)
		l.text("completion", string(t.Completion), contentMost)
	}
	l.shut()
	l.open("measurements")
	l.number("promptTokens", float64(x.Usage.PromptTokens))
	l.number("completionTokens", float64(x.Usage.CompletionTokens))
	if x.FirstByte > 0 {
		l.number("firstByteMs", milliseconds(x.FirstByte))
	}
	l.number("attempts", float64(len(x.Attempts)))
	l.shut()
	s.end(of)
}

// about writes the properties that all items of an exchange have.
func (s *Sink) about(x *persist.Exchange) {
	s.line.text("requestId", x.RequestID, chosenMost)
	s.line.text("app", x.App, chosenMost)
	s.line.text("tenant", x.Tenant, chosenMost)
}

// dependency writes the RemoteDependencyData of a call. The application map has
// a node for each type and target, so each endpoint's host is one.
func (s *Sink) dependency(x *persist.Exchange, i int, op operation, of *fate) {
	a := &x.Attempts[i]
	broken := a.Fault != "" || x.Cut && i == len(x.Attempts)-1
	result := a.Fault
	if a.Status > 0 {
		result = strconv.Itoa(a.Status)
	}
	id := a.Span
	if id == [8]byte{} {
		id = telemetry.NewSpan()
	}
	target := targetOf(a.Host)
	l := s.begin("RemoteDependencyData", a.Start, op)
	l.text("id", idOf(id), 128)
	l.text("name", callOf(x), chosenMost)
	l.duration("duration", a.Duration)
	l.text("resultCode", result, nameMost)
	l.flag("success", a.Status > 0 && a.Status < 400 && !broken)
	l.text("type", "HTTP", nameMost)
	l.text("target", target, nameMost)
	l.text("data", "POST "+target, contentMost)
	l.open("properties")
	s.about(x)
	l.text("endpoint", a.ID, chosenMost)
	l.text("fault", a.Fault, chosenMost)
	l.text("region", a.Told.Region, chosenMost)
	l.text("endpointRequestId", a.Told.RequestID, chosenMost)
	l.text("remainingRequests", a.Told.RemainingRequests, chosenMost)
	l.text("remainingTokens", a.Told.RemainingTokens, chosenMost)
	l.shut()
	l.open("measurements")
	l.number("attempt", float64(i+1))
	if a.FirstByte > 0 {
		l.number("firstByteMs", milliseconds(a.FirstByte))
	}
	const day = 24 * 60 * 60 * 1000 // which no honest endpoint says
	if took, err := strconv.ParseFloat(a.Told.Took, 64); err == nil && took >= 0 && took < day {
		l.number("endpointMs", took)
	}
	l.shut()
	s.end(of)
}

// fault is the type and message of what went wrong here or at an endpoint; both
// are empty when nothing did. What clients do wrong is none.
func fault(x *persist.Exchange) (kind, message string) {
	switch {
	case x.Code == "internalFailure":
		return x.Code, "The gateway failed to answer."
	case x.Code == "storeUnavailable":
		return x.Code, "The database of the gateway could not be reached."
	case x.Cut:
		return "cut", "The endpoint broke off an answer that had begun."
	case x.Code == "backendFailure":
		return x.Code, "No endpoint gave an answer."
	}
	return "", ""
}

// exception writes an ExceptionData. Its stack is where the request was
// served: the schema wants one.
func (s *Sink) exception(x *persist.Exchange, op operation, of *fate, kind, message string) {
	l := s.begin("ExceptionData", x.Start.Add(x.Duration), op)
	*l = append(*l, `"exceptions":[{`...)
	l.text("typeName", kind, nameMost)
	l.text("message", message, messageMost)
	l.flag("hasFullStack", false)
	*l = append(*l, `"parsedStack":[{"level":0,`...)
	l.text("method", op.name, nameMost)
	l.text("assembly", s.head.role, nameMost)
	l.shut()
	*l = append((*l)[:len(*l)-1], "]}],"...)
	l.text("severityLevel", "Error", nameMost)
	l.text("problemId", kind+" at "+op.name, nameMost)
	l.open("properties")
	s.about(x)
	if n := len(x.Attempts); n > 0 {
		l.text("endpoint", x.Attempts[n-1].ID, chosenMost)
	}
	l.shut()
	s.end(of)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// idOf is a span as Application Insights writes it; empty when there is none.
func idOf(span [8]byte) string {
	if span == [8]byte{} {
		return ""
	}
	return hex.EncodeToString(span[:])
}

// newOperation is the id of a new operation: a W3C trace id.
func newOperation() string {
	a, b := telemetry.NewSpan(), telemetry.NewSpan()
	return hex.EncodeToString(append(a[:], b[:]...))
}

// methods are those that names of requests have; clients may send any.
var methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

// nameOf is the name of a request: its method and the pattern of its path.
func nameOf(t *persist.Trace) string {
	if !slices.Contains(methods, t.Method) {
		return strings.TrimSpace("HTTP " + t.Route)
	}
	return strings.TrimSpace(t.Method + " " + t.Route)
}

// pathOf is the pattern of the request's path with the application in it: paths
// themselves, and queries, may have keys.
func pathOf(x *persist.Exchange) string {
	if x.App == "" {
		return x.Trace.Route
	}
	return strings.Replace(x.Trace.Route, ":app", url.PathEscape(x.App), 1)
}

// callOf is the name of a call, such as chat gpt-4o.
func callOf(x *persist.Exchange) string {
	if x.Operation == "other" || x.Operation == "" {
		return strings.TrimSpace("call " + x.Call)
	}
	return strings.TrimSpace(telemetry.Operation(x) + " " + x.Model)
}

// targetOf is an endpoint's host; the ports that schemes have are left out.
func targetOf(host string) string {
	host = strings.TrimSuffix(host, ":443")
	return strings.TrimSuffix(host, ":80")
}
