package main

import (
	"testing"

	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

func TestSinkCountsTheSpansOfAllScopes(t *testing.T) {
	span := &tracepb.Span{Name: "chat", TraceId: make([]byte, 16)}
	scope := func(spans ...*tracepb.Span) *tracepb.ScopeSpans { return &tracepb.ScopeSpans{Spans: spans} }
	request, err := proto.Marshal(&coltrace.ExportTraceServiceRequest{ResourceSpans: []*tracepb.ResourceSpans{
		{ScopeSpans: []*tracepb.ScopeSpans{scope(span, span), scope(span)}},
		{ScopeSpans: []*tracepb.ScopeSpans{scope(), scope(span)}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if n, whole := countSpans(request); n != 4 || !whole {
		t.Errorf("%d spans, whole %t; want 4, true", n, whole)
	}
	if n, whole := countSpans(nil); n != 0 || !whole {
		t.Errorf("nothing: %d spans, whole %t", n, whole)
	}
	if _, whole := countSpans(request[:len(request)-1]); whole {
		t.Error("a request that is cut off is whole")
	}
}
