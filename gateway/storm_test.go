package gateway_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"aigateway/persist"
	"aigateway/simulator"
)

// stormApps are applications of which each goes wrong in its own way, all under
// the limit "all" of each and with endpoints that have limits of their own.
func stormApps(h *held) (ids []string, config string) {
	var apps []string
	add := func(id, members string, deployments ...string) {
		var endpoints []string
		for _, d := range deployments {
			uri := chatURI(d)
			if d == "waits" {
				uri = h.uri(d)
			}
			endpoints = append(endpoints, `{"id":"`+d+`","apikey":"key-of-`+d+`","pool":"shared","limits":{"concurrent":1000,"tokensPerDay":1000000000},"uri":"`+uri+`"}`)
		}
		ids = append(ids, id)
		apps = append(apps, `{"appId":"`+id+`","appType":"azure_oai","strategy":"priority","model":"gpt-4o",`+members+`"endpoints":[`+strings.Join(endpoints, ",")+`]}`)
	}
	add("plain", "", "plain")
	add("silent", "", "silent")
	add("stalls", "", "stalls")
	add("drained", `"onClientAbort":"drain",`, "drained")
	add("hangs", "", "hangs")
	add("cuts", "", "cuts")
	add("missing", "", "missing")
	add("fails", "", "fails")
	add("rescued", "", "fails", "page", "late", "plain")
	add("halved", "", "half", "plain")
	add("slow", `"sseKeepAlive":"1 second",`, "slow")
	add("waits", `"sseKeepAlive":"1 second",`, "waits")
	add("cached", cacheOn, "cached")
	add("kept", memoryOn, "plain")
	return ids, limited(`{"id":"all","per":["app"],"allow":{"concurrent":1000,"requestsPerMinute":1000000,"tokensPerDay":1000000000,"costPerDay":1000000}},
		{"id":"rare","per":["app"],"users":["rare"],"allow":{"requestsPerMinute":3}},
		{"id":"narrow","per":["app"],"users":["narrow"],"allow":{"concurrent":1,"tokensPerDay":400}}`,
		append([]string{embedApp}, apps...)...)
}

// ends makes a request that its client leaves as soon as all of it is written.
func (k *keeping) ends(path, body string) {
	ctx, cancel := context.WithCancel(k.t.Context())
	defer cancel()
	trace := &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { cancel() }}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), http.MethodPost, k.url+path, strings.NewReader(body))
	if err != nil {
		k.t.Error(err)
		return
	}
	req.Header.Set("Content-Type", "application/json")
	if resp, err := k.client.Do(req); err == nil {
		resp.Body.Close()
	}
}

// stormQuestion is the i-th question; all take as many tokens.
func stormQuestion(i int) string { return fmt.Sprintf("Question %d, 値段は?", i) }

// stormy makes one odd request, and counts the status of its answer.
func (k *keeping) stormy(random *rand.Rand, ids []string, seen *[600]atomic.Int64) {
	app := ids[random.IntN(len(ids))]
	path := "/lb/" + app
	question := stormQuestion(random.IntN(20))
	members := ""
	if app != "halved" && random.IntN(2) == 0 { // half of a stream is sent on
		members = `"stream":true,`
	}
	if random.IntN(2) == 0 {
		members += `"max_tokens":40,`
	}
	streamed := `"stream":true,`
	post := func(path, body string, headers ...string) {
		seen[k.call(http.MethodPost, path, body, headers...).status].Add(1)
	}
	switch app { // which are left, for they do not end, or not well
	case "hangs", "waits":
		k.ends(path, ask(members, question))
		return
	case "cuts":
		k.leaveAfter(toTheEnd, path, ask(streamed, question))
		return
	case "stalls", "drained":
		if random.IntN(2) == 0 {
			k.leaveAfter(1, path, ask(streamed, question))
		} else {
			k.ends(path, ask(streamed, question))
		}
		return
	}
	switch random.IntN(12) {
	case 0:
		post(path, ask(`"max_tokens":-1,`, question))
	case 1:
		post(path, ask(`"max_tokens":2000000000,`, question)) // more than the limit, or than the model writes
	case 2:
		post(path, `{"messages":[{"role":"user","content":"`)
	case 3:
		post(path, `{"messages":"none"}`)
	case 4:
		post("/lb/nobody", ask(members, question))
	case 5:
		post(path, ask(members, question), "X-Thread-Id", "00000000-0000-4000-8000-000000000000")
	case 6:
		k.ends(path, ask(members, question))
	case 7:
		post(path, ask(members+`"user":"rare",`, question))
	case 8:
		post(path, ask(members+`"user":"narrow",`, question))
	case 9:
		post(path+"/nothing/of/the/kind", ask(members, question))
	case 10:
		k.converse(path, members, question)
	default:
		post(path, ask(members, question))
	}
}

// converse makes two requests of one conversation, where there are any.
func (k *keeping) converse(path, members, question string) {
	first := k.call(http.MethodPost, path, ask(members, question))
	if thread := first.header.Get("X-Thread-Id"); thread != "" {
		k.call(http.MethodPost, path, ask(members, question+" And then?"), "X-Thread-Id", thread)
	}
}

// spent is what an application used, in tokens and billionths of the currency.
type spent struct{ tokens, cost int64 }

// spentBooked is what the ledger has, by application.
func (k *keeping) spentBooked() map[string]spent {
	k.t.Helper()
	rows, err := k.db.Ledger().Usage(k.t.Context(), persist.UsageQuery{
		From: k.now().Add(-48 * time.Hour), To: k.now().Add(48 * time.Hour), By: []string{persist.ByApp},
	}, 1000)
	if err != nil {
		k.t.Fatal(err)
	}
	all := map[string]spent{}
	for _, r := range rows {
		all[r.App] = spent{r.Prompt + r.Completion, r.Cost}
	}
	return all
}

func TestAfterAStormNothingIsUnderWayAndOnlyWhatWasUsedIsTaken(t *testing.T) {
	deployments := map[string]simulator.Deployment{
		"plain": {Model: "gpt-4o"}, "cached": {Model: "gpt-4o"},
		"silent":  {Model: "gpt-4o", Fault: "nousage"},
		"stalls":  {Model: "gpt-4o", Fault: "stall=2"},
		"drained": {Model: "gpt-4o", Fault: "cadence=1ms"},
		"hangs":   {Model: "gpt-4o", Fault: "hang"},
		"cuts":    {Model: "gpt-4o", Fault: "cut=2"},
		"missing": {Model: "gpt-4o", Fault: "status=404"},
		"fails":   {Model: "gpt-4o", Fault: "status=500"},
		"page":    {Model: "gpt-4o", Fault: "html"},
		"late":    {Model: "gpt-4o", Fault: "errorevent=0"},
		"half":    {Model: "gpt-4o", Fault: "truncate"},
		"slow":    {Model: "gpt-4o"},
	}
	h := newHeld(t)
	ids, config := stormApps(h)
	config = strings.TrimSuffix(config, "}") + `,"pools":[{"id":"shared","tokensPerMinute":1000000000}]` + prices
	k := newKeepingSim(t, simulator.Options{Deployments: deployments, Count: countAs}, newSQLite(t), config, withLedger)
	_, _, first := k.post("/lb/plain", ask("", stormQuestion(0)))
	prompt := gjson.Get(first, "usage.prompt_tokens").Int()
	perWorker := 150
	if testing.Short() {
		perWorker = 40
	}
	var seen [600]atomic.Int64 // by status
	var work sync.WaitGroup
	for w := range 8 {
		work.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 7))
			for range perWorker {
				k.stormy(random, ids, &seen)
			}
		})
	}
	work.Go(func() { k.comments(h) })
	work.Wait()
	k.eventually("the models have no call left", func() bool { return k.sim.Open() == 0 })
	k.idle()

	for _, status := range []int{200, 400, 404, 429, 502} {
		if seen[status].Load() == 0 {
			t.Errorf("no request was answered with %d: the test does not show what it should", status)
		}
	}
	var wrong []string
	for range 100 { // a request that was left at once may come late
		if wrong = k.wrongAfter(ids, prompt); len(wrong) == 0 {
			break
		}
		k.idle()
	}
	for _, fault := range wrong {
		t.Error(fault)
	}
}

// leftEarly counts, by application, the requests that were left when an
// endpoint had been asked and had not answered.
func (k *keeping) leftEarly() map[string]int64 {
	all := map[string]int64{}
	for line := range strings.Lines(k.log.String()) {
		if l := gjson.Parse(line); l.Get("aborted").Bool() && l.Get("attempts").Int() > 0 && !l.Get("tokens_in").Exists() {
			all[l.Get("app").String()]++
		}
	}
	return all
}

// wrongAfter says what of the limits is not as the ledger has it, with the
// prompts of those who left early, which are not booked.
func (k *keeping) wrongAfter(ids []string, prompt int64) (wrong []string) {
	k.t.Helper()
	booked, left := k.spentBooked(), k.leftEarly()
	for _, app := range ids {
		status, _, page := k.get("/limits/"+app+"?user=narrow", "Authorization", "Bearer "+adminKey)
		limits := gjson.Get(page, "limits").Array()
		if status != http.StatusOK || len(limits) < 8 {
			k.t.Errorf("%s: %d: %s", app, status, page)
		}
		var used spent
		for _, st := range limits {
			limit, amount, n := st.Get("limit").String(), st.Get("amount").String(), st.Get("used")
			switch {
			case amount == "concurrent" && n.Int() != 0:
				wrong = append(wrong, fmt.Sprintf("%s: still under way: %s", app, st))
			case limit == "all" && amount == "tokensPerDay":
				used.tokens = n.Int()
			case limit == "all" && amount == "costPerDay":
				used.cost = int64(math.Round(n.Float() * 1e9))
			case strings.HasPrefix(limit, "endpoint ") && amount == "tokensPerDay" && n.Int() > booked[app].tokens+prompt*left[app]:
				wrong = append(wrong, fmt.Sprintf("%s: booked %+v; used at an endpoint: %s", app, booked[app], st))
			}
		}
		early := (used.tokens - booked[app].tokens) / prompt
		price := int64(2500) // of a prompt's token, in billionths
		if want := (spent{booked[app].tokens + early*prompt, booked[app].cost + early*prompt*price}); used != want ||
			early < 0 || early > left[app] || app == "hangs" && early != left[app] {
			wrong = append(wrong, fmt.Sprintf("%s: used %+v, booked %+v and %d left early", app, used, booked[app], left[app]))
		}
	}
	for _, app := range []string{"plain", "silent", "stalls", "drained", "rescued", "cached", "kept"} {
		if booked[app] == (spent{}) {
			wrong = append(wrong, app+" used nothing: the test does not show what it should")
		}
	}
	return wrong
}

// comments makes streams that begin with a comment, for their model takes its
// time: one is left then, one is broken by what the model says, one goes well.
func (k *keeping) comments(h *held) {
	defer h.letGo()
	for _, leaves := range []bool{true, false} {
		ctx, leave := context.WithCancel(k.t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, k.url+"/lb/waits", strings.NewReader(ask(`"stream":true,`, stormQuestion(0))))
		if err != nil {
			k.t.Error(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := k.client.Do(req)
		if err != nil {
			k.t.Error(err)
			leave()
			return
		}
		text := bufio.NewReader(resp.Body)
		if first, err := text.ReadString('\n'); err != nil || !strings.HasPrefix(first, ":") {
			k.t.Errorf("the stream begins with %q, %v", first, err)
		}
		if !leaves {
			h.letGo()
			if rest, err := io.ReadAll(text); err == nil || !strings.Contains(string(rest), "event: error") {
				k.t.Errorf("the stream goes on with %q, %v", rest, err)
			}
		}
		leave()
		resp.Body.Close()
	}
	r := k.call(http.MethodPost, "/lb/slow", ask(`"stream":true,"user":"sim:latency=1100ms",`, stormQuestion(0)))
	if r.status != http.StatusOK || !strings.HasPrefix(r.body, ":") || !strings.HasSuffix(r.body, "data: [DONE]\n\n") {
		k.t.Errorf("a stream that begins with a comment: %d: %s", r.status, r.body)
	}
}
