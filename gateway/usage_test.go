package gateway_test

import (
	"bufio"
	"encoding/csv"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"aigateway/persist"
	"aigateway/simulator"
)

// stored is the stored row of the request with an id.
func (k *keeping) stored(app, request string) *persist.Record {
	k.t.Helper()
	var r *persist.Record
	k.eventually("the row of "+request, func() bool {
		var err error
		r, err = k.db.Prompts().Record(k.t.Context(), persist.Ref{App: app, RequestID: request, Any: true})
		return err == nil
	})
	return r
}

func TestUsageIsReportedEstimatedOrNone(t *testing.T) {
	stream := `"stream":true,`
	for _, tt := range []struct {
		name, fault, members string
		kind                 string
	}{
		{"whole", "", "", persist.KindReported},
		{"streamed", "", stream, persist.KindReported},
		{"nothing reported", "nousage", "", persist.KindEstimated},
		{"nothing reported of a stream", "nousage", stream, persist.KindEstimated},
		{"words for numbers", "badusage=strings", "", persist.KindEstimated},
		{"negative", "badusage=negative", stream, persist.KindEstimated},
		{"absurd", "badusage=huge", "", persist.KindEstimated},
		{"refused", "status=400", "", persist.KindNone},
		{"failed", "status=500", "", persist.KindNone},
	} {
		o := simulator.Options{Count: countAs, Deployments: map[string]simulator.Deployment{"gpt-4o": {Model: "gpt-4o", Fault: simulator.Fault(tt.fault)}}}
		k := newKeepingSim(t, o, newSQLite(t), applications(embedApp, chatApp("bot", "", "gpt-4o")), withLedger)
		k.post("/lb/bot", ask(tt.members, "How are you, 你好?"))
		k.idle()
		rows, err := k.db.Ledger().Usage(t.Context(), persist.UsageQuery{From: k.now().Add(-time.Hour), To: k.now().Add(time.Hour), By: []string{persist.ByKind}}, 10)
		if err != nil || len(rows) != 1 || rows[0].Kind != tt.kind {
			t.Errorf("%s: got %+v, %v, want one %s", tt.name, rows, err, tt.kind)
			continue
		}
		bill := account{}
		for _, a := range invoiced(k.sim) {
			bill = a
		}
		if got := (account{bill.Calls, rows[0].Prompt, rows[0].Completion, rows[0].Cached, rows[0].Reasoning}); got != bill {
			t.Errorf("%s: booked %+v, billed %+v", tt.name, got, bill)
		}
	}
}

func TestWhatTheClientLeavesIsCanceledOrDrained(t *testing.T) {
	for _, tt := range []struct {
		name, members, kind string
	}{
		{"cancel", "", persist.KindEstimated},
		{"drain", `"onClientAbort":"drain",`, persist.KindReported},
	} {
		o := simulator.Options{Count: countAs, Deployments: map[string]simulator.Deployment{"gpt-4o": {Model: "gpt-4o", Fault: "cadence=5ms;words=40"}}}
		k := newKeepingSim(t, o, newSQLite(t), applications(embedApp, chatApp("bot", tt.members+memoryOn, "gpt-4o")), withLedger)
		k.leaveAfter(2, "/lb/bot", ask(`"stream":true,`, "Tell me a long story"))
		k.eventually("the model has no call left", func() bool { return k.sim.Open() == 0 })
		k.idle()
		line := k.sim.Invoice()
		if len(line) != 1 || (line[0].Ended == "whole") != (tt.name == "drain") {
			t.Fatalf("%s: billed %+v", tt.name, line)
		}
		rows, err := k.db.Ledger().Usage(t.Context(), persist.UsageQuery{From: k.now().Add(-time.Hour), To: k.now().Add(time.Hour), By: []string{persist.ByKind}}, 10)
		if err != nil || len(rows) != 1 || rows[0].Kind != tt.kind || rows[0].Prompt != int64(line[0].PromptTokens) {
			t.Errorf("%s: booked %+v, %v; billed %+v", tt.name, rows, err, line)
		}
		if tt.name == "drain" && rows[0].Completion != int64(line[0].CompletionTokens) {
			t.Errorf("booked %+v; billed %+v", rows, line)
		}
		threads, err := k.db.Memory().List(t.Context(), "bot", "", 10)
		if err != nil || (len(threads) == 1) != (tt.name == "drain") {
			t.Errorf("%s: %d conversations, %v", tt.name, len(threads), err)
		}
	}
}

func TestDrainingEndsWithItsTime(t *testing.T) {
	o := simulator.Options{Count: countAs, Deployments: map[string]simulator.Deployment{"gpt-4o": {Model: "gpt-4o", Fault: "stall=2"}}}
	k := newKeepingSim(t, o, newSQLite(t), applications(embedApp, chatApp("bot", `"onClientAbort":"drain","drainTimeout":"50 milliseconds",`, "gpt-4o")), withLedger)
	k.leaveAfter(2, "/lb/bot", ask(`"stream":true,`, "Tell me a long story"))
	k.eventually("the call is given up", func() bool { return k.sim.Open() == 0 })
	k.idle()
	if owed, paid := invoiced(k.sim), k.booked(); owed["gpt-4o"] != paid["gpt-4o"] || owed["gpt-4o"].Completion == 0 {
		t.Errorf("billed %+v, booked %+v", owed, paid)
	}
}

func TestUsageIsToldAsJSONAndCSVToThoseWhomItConcerns(t *testing.T) {
	config := strings.TrimSuffix(applications(embedApp, chatApp("bot", cacheOn+`"tenants":{"header":"X-Tenant"},`, "gpt-4o")), "}") + `,
		"callers":[{"id":"shop","key":"key-of-shop","apps":["bot"]},{"id":"desk","key":"key-of-desk","apps":["bot"]}],
		"prices":[{"model":"gpt-4o","input":2.5,"output":10}],"ledger":{"currency":"EUR"}}`
	k := newKeeping(t, config, withLedger)
	k.post("/lb/bot", ask("", "One"), "Api-Key", "key-of-shop", "X-Tenant", "=cmd()", "X-Request-Id", "first")
	k.post("/lb/bot", ask("", "Two"), "Api-Key", "key-of-desk", "X-Tenant", "fabrikam")
	k.entries("bot", 2)
	k.post("/lb/bot", ask("", "Two"), "Api-Key", "key-of-desk", "X-Tenant", "fabrikam") // from the cache
	k.idle()

	admin := []string{"Authorization", "Bearer " + adminKey}
	status, _, page := k.get("/usage?by=app,caller&app=bot", admin...)
	desk := gjson.Get(page, `usage.#(caller=="desk")`)
	if status != 200 || gjson.Get(page, "currency").String() != "EUR" || desk.Get("requests").Int() != 2 || desk.Get("cacheHits").Int() != 1 ||
		desk.Get("savedTokens").Int() != desk.Get("promptTokens").Int()+desk.Get("completionTokens").Int() || desk.Get("cost").Float() != desk.Get("savedCost").Float() || desk.Get("cost").Float() <= 0 {
		t.Errorf("got %d: %s", status, page)
	}
	row := k.stored("bot", "first")
	if want := 2500*row.Usage.PromptTokens + 10000*row.Usage.CompletionTokens; row.Cost != want || row.Priced != "gpt-4o: 2.5/2.5/10" {
		t.Errorf("the row costs %d by %q, want %d", row.Cost, row.Priced, want)
	}

	status, header, text := k.get("/usage?app=bot&by=tenant,day&format=csv", "Api-Key", "key-of-shop", "X-Tenant", "=cmd()")
	lines, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if status != 200 || err != nil || len(lines) != 2 || !strings.HasPrefix(header.Get("Content-Type"), "text/csv") ||
		lines[1][0] != "'=cmd()" || lines[1][1] != k.now().UTC().Format(time.DateOnly) || lines[0][2] != "requests" || lines[1][2] != "1" {
		t.Errorf("got %d, %v: %q", status, err, text)
	}
	if _, _, text := k.get("/usage?app=bot&by=caller&format=csv", "Api-Key", "key-of-desk", "X-Tenant", "contoso"); strings.Count(text, "\n") != 1 {
		t.Errorf("a tenant was shown another's: %q", text)
	}
	for path, want := range map[string]int{
		"/usage?caller=desk": 403, "/usage": 400, "/usage?app=embed": 400, "/usage?by=nothing": 400, "/usage?by=day,hour": 400, "/usage?from=yesterday": 400, "/usage?from=2025-02-01&to=2025-01-01": 400,
	} {
		if status, _, body := k.get(path, "Api-Key", "key-of-shop"); status != want {
			t.Errorf("%s: got %d, want %d: %s", path, status, want, body)
		}
	}
	if status, _, _ := k.get("/usage"); status != 401 {
		t.Errorf("without a key: %d", status)
	}

	status, _, text = k.get("/capacity/bot?format=text&units=1", admin...)
	if status != 200 || !strings.Contains(text, "Capacity of bot") || !strings.Contains(text, "1 units") && !strings.Contains(text, "100.00%") {
		t.Errorf("got %d: %s", status, text)
	}
	if status, _, _ := k.get("/capacity/bot", "Api-Key", "key-of-shop"); status != 401 {
		t.Errorf("a caller got the capacity page: %d", status)
	}
}

func TestWhatEndpointsTellIsKept(t *testing.T) {
	k := newKeeping(t, applications(embedApp, chatApp("bot", "", "gpt-4o")), withLedger)
	_, header, _ := k.post("/lb/bot", goodChat, "X-Request-Id", "told")
	row := k.stored("bot", "told")
	told := row.Attempts[0].Told
	if told.Region != header.Get("X-Ms-Region") || told.Region == "" || told.RequestID != header.Get("Apim-Request-Id") || told.RemainingTokens != header.Get("X-Ratelimit-Remaining-Tokens") {
		t.Errorf("kept %+v of %v", told, header)
	}
}

func TestTheMemoryWindowFitsTheModel(t *testing.T) {
	k := newKeeping(t, applications(embedApp, chatApp("bot", `"memorySettings":{"useMemory":true,"maxTokens":400},`, "gpt-4o")))
	long := strings.Repeat("word ", 60) // 60 tokens and some
	_, header, _ := k.post("/lb/bot", `{"max_tokens":100,"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"first `+long+`"}]}`)
	thread := header.Get("X-Thread-Id")
	for i := range 6 {
		name := []string{"second", "third", "fourth", "fifth", "sixth", "seventh"}[i]
		if status, _, body := k.post("/lb/bot", `{"max_tokens":100,"messages":[{"role":"user","content":"`+name+` `+long+`"}]}`, "X-Thread-Id", thread); status != 200 {
			t.Fatalf("%d: %s", status, body)
		}
	}
	seen := k.sim.Requests()
	body := string(seen[len(seen)-1].Body)
	n := countAs("gpt-4o", body)
	if !strings.Contains(body, "Be brief.") || !strings.Contains(body, "first ") || !strings.Contains(body, "seventh ") || strings.Contains(body, "second ") || n > 400 {
		t.Errorf("%d tokens were sent: %s", n, body)
	}
}

func TestAStreamOfTheResponsesAPIThatIsLeftIsEstimatedOrDrained(t *testing.T) {
	for name, want := range map[string]string{"cancel": persist.KindEstimated, "drain": persist.KindReported} {
		app := `{"appId":"any","appType":"openai","onClientAbort":"` + name + `","endpoints":[{"id":"any","apikey":"key-of-any","uri":"{{sim}}/openai/v1","model":"gpt-4o"}]}`
		o := simulator.Options{Count: countAs, Fault: "cadence=5ms;words=60"}
		k := newKeepingSim(t, o, newSQLite(t), applications(embedApp, app), withLedger)
		resp := k.send(http.MethodPost, "/lb/any/responses", strings.NewReader(`{"stream":true,"input":"Tell me a long story"}`))
		for lines, deltas := bufio.NewScanner(resp.Body), 0; deltas < 5 && lines.Scan(); {
			if strings.Contains(lines.Text(), `"type":"response.output_text.delta"`) {
				deltas++
			}
		}
		resp.Body.Close()
		k.eventually("the model has no call left", func() bool { return k.sim.Open() == 0 })
		k.idle()
		rows, err := k.db.Ledger().Usage(t.Context(), persist.UsageQuery{From: k.now().Add(-time.Hour), To: k.now().Add(time.Hour), By: []string{persist.ByKind}}, 10)
		if err != nil || len(rows) != 1 || rows[0].Kind != want || rows[0].Prompt == 0 || rows[0].Completion < 5 {
			t.Errorf("%s: booked %+v, %v", name, rows, err)
		}
	}
}
