package azure

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"aigateway/openai"
	"aigateway/persist"
)

// sent returns a stand-in that has the items of exchanges.
func sent(t *testing.T, o Options, batch ...*persist.Exchange) *standIn {
	t.Helper()
	in := newStandIn(t)
	s := in.open(o)
	s.Send(t.Context(), batch)
	if s.Dropped() > 0 {
		t.Fatalf("%d were dropped", s.Dropped())
	}
	return in
}

func TestFailedOverRequestIsARequestAndTwoDependencies(t *testing.T) {
	in := sent(t, Options{Role: "edge", Instance: "pod-1", Version: "1.2.3"}, failedOver())
	if len(in.items) != 3 {
		t.Fatalf("got %d items", len(in.items))
	}
	tags := func(parent string) map[string]string {
		return map[string]string{
			"ai.cloud.role": "edge", "ai.cloud.roleInstance": "pod-1", "ai.application.ver": "1.2.3", "ai.internal.sdkVersion": "aigw:1.2.3",
			"ai.operation.id": "ab000000000000000000000000000001", "ai.operation.name": "POST /lb/:app", "ai.operation.parentId": parent,
		}
	}
	yes, no := true, false
	request, first, second := in.items[0], in.items[1], in.items[2]
	if diff := cmp.Diff(tags("0800000000000000"), request.Tags); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
	if request.Time != "2026-03-01T12:00:00.1234567Z" || first.Time != "2026-03-01T12:00:00.1334567Z" {
		t.Errorf("got times %s, %s", request.Time, first.Time)
	}
	common := func(properties map[string]string, measurements map[string]float64) common {
		return common{2, properties, measurements}
	}
	for _, c := range []struct{ want, got any }{
		{requestData{
			common: common(map[string]string{
				"requestId": "req-1", "app": "support", "tenant": "blue", "caller": "web", "thread": "thread-1", "cache": "miss",
				"cacheWhy": "nothing near", "model": "gpt-4o", "answeredBy": "gpt-4o-2024-08-06", "usage": "reported", "finishReason": "stop",
			}, map[string]float64{"promptTokens": 120, "completionTokens": 80, "firstByteMs": 700, "attempts": 2}),
			ID: "0900000000000000", Name: "POST /lb/:app", Duration: "0.00:00:01.5000000", ResponseCode: "200", URL: "/lb/support", Success: &yes,
		}, request.request},
		{dependencyData{
			common: common(map[string]string{
				"requestId": "req-1", "app": "support", "tenant": "blue", "endpoint": "ptu", "region": "Sweden Central",
				"endpointRequestId": "apim-1", "remainingRequests": "0", "remainingTokens": "12",
			}, map[string]float64{"attempt": 1}),
			ID: "0100000000000000", Name: "chat gpt-4o", Duration: "0.00:00:00.0900000", ResultCode: "429", Data: "POST one.openai.azure.com",
			Type: "HTTP", Target: "one.openai.azure.com", Success: &no,
		}, first.dependency},
		{dependencyData{
			common: common(map[string]string{"requestId": "req-1", "app": "support", "tenant": "blue", "endpoint": "paygo"},
				map[string]float64{"attempt": 2, "firstByteMs": 590, "endpointMs": 512}),
			ID: "0200000000000000", Name: "chat gpt-4o", Duration: "0.00:00:01.3900000", ResultCode: "200", Data: "POST two.example:8443",
			Type: "HTTP", Target: "two.example:8443", Success: &yes,
		}, second.dependency},
		{tags("0900000000000000"), first.Tags},
		{tags("0900000000000000"), second.Tags},
	} {
		if diff := cmp.Diff(c.want, c.got, cmp.AllowUnexported(requestData{}, dependencyData{})); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
}

func TestFaultsAreExceptions(t *testing.T) {
	for _, c := range []struct {
		name      string
		change    func(*persist.Exchange)
		kind      string
		succeeded bool
	}{
		{"nothing", func(*persist.Exchange) {}, "", true},
		{"our own fault", func(x *persist.Exchange) { x.Status, x.Code = 500, "internalFailure" }, "internalFailure", false},
		{"our database", func(x *persist.Exchange) { x.Status, x.Code = 503, "storeUnavailable" }, "storeUnavailable", false},
		{"no endpoint", func(x *persist.Exchange) { x.Status, x.Code = 502, "backendFailure" }, "backendFailure", false},
		{"cut off", func(x *persist.Exchange) { x.Cut = true }, "cut", false},
		{"the client left", func(x *persist.Exchange) { x.Aborted = true }, "", true},
		{"the client's mistake", func(x *persist.Exchange) { x.Status, x.Code = 400, "invalidPayload" }, "", false},
		{"a limit", func(x *persist.Exchange) { x.Status, x.Code, x.Limit = 429, "tooManyRequests", "support-tpm" }, "", false},
		{"a limit that observes", func(x *persist.Exchange) { x.LimitOver = "support-day" }, "", true},
		{"the endpoint's own error", func(x *persist.Exchange) { x.Status = 500 }, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := failedOver()
			c.change(x)
			in := sent(t, Options{}, x)
			if got := *in.of("RequestData")[0].request.Success; got != c.succeeded {
				t.Errorf("got success %v", got)
			}
			if got := in.of("RequestData")[0].request.Properties; got["limit"] != x.Limit || got["limitOver"] != x.LimitOver {
				t.Errorf("got limit %q, over %q", got["limit"], got["limitOver"])
			}
			found := in.of("ExceptionData")
			if c.kind == "" {
				if len(found) != 0 {
					t.Errorf("got %s", found[0].Data.BaseData)
				}
				return
			}
			if len(found) != 1 {
				t.Fatalf("got %d exceptions", len(found))
			}
			e := found[0]
			if got := e.exception.Exceptions[0].TypeName; got != c.kind || e.exception.ProblemID != c.kind+" at POST /lb/:app" {
				t.Errorf("got %s, problem %s", got, e.exception.ProblemID)
			}
			if e.Tags["ai.operation.parentId"] != "0900000000000000" || e.Time != "2026-03-01T12:00:01.6234567Z" {
				t.Errorf("got parent %s, time %s", e.Tags["ai.operation.parentId"], e.Time)
			}
		})
	}
}

func TestCallsThatFailAreMarked(t *testing.T) {
	for _, c := range []struct {
		name      string
		change    func(*persist.Exchange)
		result    string
		succeeded bool
	}{
		{"answered", func(*persist.Exchange) {}, "200", true},
		{"refused", func(x *persist.Exchange) { x.Attempts[1].Status = 404 }, "404", false},
		{"not reached", func(x *persist.Exchange) { x.Attempts[1].Status, x.Attempts[1].Fault = 0, "dial" }, "dial", false},
		{"broken off", func(x *persist.Exchange) { x.Cut = true }, "200", false},
		{"broken off by a reset", func(x *persist.Exchange) { x.Attempts[1].Fault = "reset" }, "200", false},
	} {
		x := failedOver()
		c.change(x)
		got := sent(t, Options{}, x).of("RemoteDependencyData")[1].dependency
		if got.ResultCode != c.result || *got.Success != c.succeeded {
			t.Errorf("%s: got %s, success %v", c.name, got.ResultCode, *got.Success)
		}
	}
}

func TestWhatTheModelTookIsANumberOrLeftOut(t *testing.T) {
	for told, want := range map[string]float64{"512": 512, "12.5": 12.5, "NaN": 0, "+Inf": 0, "-1": 0, "1e300": 0, "soon": 0} {
		x := failedOver()
		x.Attempts[1].Told.Took = told
		if got := sent(t, Options{}, x).items[2].dependency.Measurements["endpointMs"]; got != want {
			t.Errorf("%s: got %v", told, got)
		}
	}
}

func TestNamesOfRequestsAndCalls(t *testing.T) {
	for _, c := range []struct {
		operation, call, model, method, route, app string
		wantCall, wantRequest, wantURL             string
	}{
		{"chat", "", "gpt-4o", "POST", "/lb/:app", "a b", "chat gpt-4o", "POST /lb/:app", "/lb/a%20b"},
		{"chat", "", "", "POST", "/lb/:app", "", "chat", "POST /lb/:app", "/lb/:app"},
		{"images/generations", "", "", "POST", "/lb/:app/*operation", "draw", "images/generations", "POST /lb/:app/*operation", "/lb/draw/*operation"},
		{"my/key", "", "gpt-4o", "POST", "/lb/:app/*operation", "x", "other gpt-4o", "POST /lb/:app/*operation", "/lb/x/*operation"},
		{"other", "translateApiCalls", "", "BREW", "/reconfig/:key", "x", "call translateApiCalls", "HTTP /reconfig/:key", "/reconfig/:key"},
		{"", "", "", "GET", "", "", "call", "GET", ""},
	} {
		x := failedOver()
		x.Operation, x.Call, x.Model, x.App, x.Trace.Method, x.Trace.Route = c.operation, c.call, c.model, c.app, c.method, c.route
		in := sent(t, Options{}, x)
		got := in.items[0].request
		if got.Name != c.wantRequest || got.URL != c.wantURL || in.items[1].dependency.Name != c.wantCall {
			t.Errorf("%+v: got %q, %q, %q", c, got.Name, got.URL, in.items[1].dependency.Name)
		}
	}
}

func TestContentIsSentOnlyWhenSwitchedOn(t *testing.T) {
	if raw := string(sent(t, Options{}, failedOver()).items[0].Data.BaseData); strings.Contains(raw, "secret") {
		t.Errorf("got %s", raw)
	}
	x := failedOver()
	x.Trace.Prompt = append(x.Trace.Prompt, strings.Repeat("ü", 9000)...)
	got := sent(t, Options{Content: true}, x).items[0].request.Properties
	if len([]rune(got["prompt"])) != contentMost || got["completion"] != `"a secret answer"` {
		t.Errorf("got a prompt of %d characters, completion %q", len([]rune(got["prompt"])), got["completion"])
	}
}

func TestHostileValuesMakeValidItems(t *testing.T) {
	for _, c := range []string{"\x00", "\xff", "€", "\"", "\\", "🐇", "\u2028", "\n"} {
		long := strings.Repeat(c, 10_000)
		x := failedOver()
		x.RequestID, x.App, x.Caller, x.Tenant, x.Thread, x.Model, x.Answered = long, long, long, long, long, long, long
		x.Cache, x.CacheWhy, x.Limit, x.LimitOver, x.FinishReason, x.Operation = long, long, long, long, long, long
		x.Attempts[0].ID, x.Attempts[0].Host, x.Attempts[0].Fault = long, "h"+long, long
		x.Attempts[0].Told = persist.Told{Region: long, RequestID: long, RemainingRequests: long, RemainingTokens: long, Took: long}
		x.Trace.Prompt, x.Trace.Completion = []byte(long), []byte(long)
		x.Cut, x.Duration = true, -time.Second
		in := sent(t, Options{Content: true, Role: long, Instance: long}, x)
		if len(in.items) != 4 {
			t.Errorf("%q: got %d items", c, len(in.items))
		}
	}
}

func TestOwnCallsAreDependenciesOfOperationsOfTheirOwn(t *testing.T) {
	own := func(i int) *persist.Exchange {
		x := failedOver()
		x.Own, x.Operation, x.Model, x.Trace, x.RequestID = true, "embeddings", "ada", nil, fmt.Sprint("own-", i)
		x.Attempts = x.Attempts[:1]
		x.Attempts[0].Span = [8]byte{}
		return x
	}
	in := sent(t, Options{}, own(1), own(2))
	if len(in.items) != 2 {
		t.Fatalf("got %d items", len(in.items))
	}
	ids := map[string]bool{}
	for _, e := range in.items {
		if e.dependency.Name != "embeddings ada" || e.Tags["ai.operation.parentId"] != "" || e.Tags["ai.operation.name"] != "" {
			t.Errorf("got %q with %v", e.dependency.Name, e.Tags)
		}
		ids[e.dependency.ID], ids[e.Tags["ai.operation.id"]] = true, true
	}
	if len(ids) != 4 {
		t.Errorf("got ids %v", ids)
	}
}

func TestOwnCallsKeepTheirSpanAndHostAndAreNoRequests(t *testing.T) {
	x := &persist.Exchange{
		Own: true, App: "vectors", Operation: "embeddings", Model: "ada", Start: begin, Duration: 30 * time.Millisecond, Status: 502, Code: "backendFailure",
		Attempts: []persist.Attempt{
			{ID: "one", Host: "one.openai.azure.com:443", Span: [8]byte{1}, Status: 429, Start: begin, Duration: 10 * time.Millisecond},
			{ID: "two", Host: "two.example:8443", Span: [8]byte{2}, Fault: "dial", Start: begin, Duration: 20 * time.Millisecond},
		},
	}
	none := &persist.Exchange{Own: true, App: "vectors", Operation: "embeddings", Model: "ada", Start: begin, Status: 429}
	in := sent(t, Options{Content: true}, x, none)
	if len(in.items) != 2 {
		t.Fatalf("got %d items", len(in.items))
	}
	for i, want := range []struct{ id, target, result string }{
		{"0100000000000000", "one.openai.azure.com", "429"}, {"0200000000000000", "two.example:8443", "dial"},
	} {
		got := in.items[i].dependency
		if got.ID != want.id || got.Target != want.target || got.ResultCode != want.result || got.Success == nil || *got.Success || got.Properties["app"] != "vectors" {
			t.Errorf("got %s", in.items[i].Data.BaseData)
		}
	}
	if one, two := in.items[0].Tags["ai.operation.id"], in.items[1].Tags["ai.operation.id"]; one == "" || one != two {
		t.Errorf("got operations %q and %q of one call that was tried twice", one, two)
	}
}

func TestRequestsWithoutCallerHaveNoParent(t *testing.T) {
	x := failedOver()
	x.Trace.Parent = [8]byte{}
	in := sent(t, Options{}, x)
	if parent, ok := in.items[0].Tags["ai.operation.parentId"]; ok || in.items[1].Tags["ai.operation.parentId"] == "" {
		t.Errorf("got parent %q of the request, %q of its call", parent, in.items[1].Tags["ai.operation.parentId"])
	}
}

func TestUsageOfAnswersIsMeasured(t *testing.T) {
	x := failedOver()
	x.Usage = openai.Usage{Estimated: true, PromptTokens: 3, CompletionTokens: 4, TotalTokens: 7}
	x.FirstByte = 0
	got := sent(t, Options{}, x).items[0].request
	want := map[string]float64{"promptTokens": 3, "completionTokens": 4, "attempts": 2}
	if diff := cmp.Diff(want, got.Measurements); diff != "" || got.Properties["usage"] != "estimated" {
		t.Errorf("got usage %s\n%s", got.Properties["usage"], diff)
	}
}
