package gateway_test

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"aigateway/config"
	"aigateway/db/dbtest"
	"aigateway/db/postgres"
	"aigateway/db/spec"
	"aigateway/persist"
	"aigateway/simulator"
	"aigateway/tokens"
)

// account is what one deployment is owed: by its own invoice, or by the
// ledger.
type account struct {
	Calls, Prompt, Completion, Cached, Reasoning int64
}

// invoiced sums the simulator's invoice by deployment.
func invoiced(sim *simulator.Simulator) map[string]account {
	all := map[string]account{}
	for _, line := range sim.Invoice() {
		a := all[line.Deployment]
		a.Calls++
		a.Prompt += int64(line.PromptTokens)
		a.Completion += int64(line.CompletionTokens)
		a.Cached += int64(line.CachedTokens)
		a.Reasoning += int64(line.ReasoningTokens)
		all[line.Deployment] = a
	}
	return all
}

// booked sums the ledger by endpoint, whose ids are the deployments' names.
func (k *keeping) booked() map[string]account {
	k.t.Helper()
	now := k.now()
	rows, err := k.db.Ledger().Usage(k.t.Context(), persist.UsageQuery{
		From: now.Add(-48 * time.Hour), To: now.Add(48 * time.Hour), By: []string{persist.ByEndpoint, persist.ByKind},
	}, 1000)
	if err != nil {
		k.t.Fatal(err)
	}
	all := map[string]account{}
	for _, r := range rows {
		if r.Endpoint == "" || r.Kind == persist.KindNone {
			continue // the cache's, and calls that used nothing
		}
		a := all[r.Endpoint]
		a.Calls += r.Requests
		a.Prompt += r.Prompt
		a.Completion += r.Completion
		a.Cached += r.Cached
		a.Reasoning += r.Reasoning
		all[r.Endpoint] = a
	}
	return all
}

// countAs counts as the models do, for the simulator.
func countAs(model, text string) int { return tokens.For(model).Count(text) }

// withLedger keeps a ledger.
func withLedger(s *config.Settings) { s.Ledger = true }

// TestTheLedgerAgreesWithTheInvoice sends thousands of requests of all kinds
// and compares what the models billed with what was booked, to the token.
func TestTheLedgerAgreesWithTheInvoice(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) { reconcile(t, newSQLite(t)) })
	t.Run("PostgreSQL", func(t *testing.T) {
		db, err := postgres.Open(t.Context(), dbtest.Postgres(t), spec.Options{})
		if err != nil {
			t.Fatal(err)
		}
		reconcile(t, db)
	})
}

func reconcile(t *testing.T, db spec.DB) {
	deployments := map[string]simulator.Deployment{
		"whole":    {Model: "gpt-4o-2024-08-06", Fault: "cachedprompt=3"},
		"thinking": {Model: "o3-mini", Fault: "reasoning=7"},
		"silent":   {Model: "gpt-4o-mini", Fault: "nousage"},
		"absurd":   {Model: "gpt-4o-mini", Fault: "badusage=huge"},
		"stalls":   {Model: "gpt-4o", Fault: "stall=3"},
		"drained":  {Model: "gpt-4o", Fault: "cadence=1ms"},
		"cuts":     {Model: "gpt-4o", Fault: "cut=2"},
		"fails":    {Model: "gpt-4o", Fault: "status=500"},
		"busy":     {Model: "gpt-4o", RPM: 5},
		"rescues":  {Model: "gpt-4o"},
		"cached":   {Model: "gpt-4o"},
		"embed":    {Model: "text-embedding-ada-002"},
	}
	app := func(id, members string, names ...string) string { return chatApp(id, members, names...) }
	k := newKeepingSim(t, simulator.Options{Deployments: deployments, Count: countAs}, db, applications(
		app("whole", "", "whole"), app("thinking", "", "thinking"), app("silent", "", "silent"), app("absurd", "", "absurd"),
		app("stalls", "", "stalls"), app("drained", `"onClientAbort":"drain",`, "drained"), app("cuts", "", "cuts"),
		app("rescued", "", "fails", "busy", "rescues"), app("cached", cacheOn, "cached"),
		`{"appId":"embed","appType":"azure_oai","endpoints":[{"id":"embed","apikey":"key-of-embed",
			"uri":"{{sim}}/openai/deployments/embed/embeddings?api-version=2024-10-21"}]}`), withLedger)

	var sent atomic.Int64
	perWorker := 250
	if testing.Short() {
		perWorker = 25
	}
	var work sync.WaitGroup
	for w := range 8 {
		work.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 1))
			for i := range perWorker {
				k.oddRequest(random, w, i)
				sent.Add(1)
			}
		})
	}
	work.Wait()
	k.eventually("the models have no call left", func() bool { return k.sim.Open() == 0 })
	k.idle()

	owed, paid := invoiced(k.sim), k.booked()
	if diff := cmp.Diff(owed, paid); diff != "" {
		t.Errorf("the invoice (-) and the ledger (+) differ:\n%s", diff)
	}
	t.Logf("%d requests; invoice and ledger by deployment:", sent.Load())
	for _, name := range slices.Sorted(maps.Keys(owed)) {
		t.Logf("%-10s invoice %+v", name, owed[name])
		t.Logf("%-10s ledger  %+v", "", paid[name])
	}
	for name := range deployments {
		if owed[name].Calls == 0 && name != "fails" {
			t.Errorf("%s was never billed: the test does not show what it should", name)
		}
	}
}

// oddRequest makes one request of a random kind.
func (k *keeping) oddRequest(random *rand.Rand, w, i int) {
	apps := []string{"whole", "thinking", "silent", "absurd", "stalls", "drained", "cuts", "rescued", "cached"}
	app := apps[random.IntN(len(apps))]
	stream := random.IntN(2) == 0 || app == "stalls" || app == "drained" || app == "cuts"
	question := fmt.Sprintf("Question %d of %d: what costs 12,345.67 €, 値段は? 👩‍👩‍👧 %s", i, w, strings.Repeat("word ", random.IntN(60)))
	if app == "cached" && random.IntN(2) == 0 {
		question = fmt.Sprintf("A question that is asked often, number %d", random.IntN(5))
	}
	members := ""
	if stream {
		members = `"stream":true,`
		if random.IntN(3) == 0 {
			members += `"stream_options":{"include_usage":true},`
		}
	}
	body := ask(members, question)
	switch {
	case app == "stalls":
		k.leaveAfter(3, "/lb/"+app, body)
	case app == "drained" && random.IntN(2) == 0:
		k.leaveAfter(1, "/lb/"+app, body)
	case app == "cuts":
		k.leaveAfter(toTheEnd, "/lb/"+app, body)
	default:
		if r := k.call(http.MethodPost, "/lb/"+app, body); r.status != http.StatusOK {
			k.t.Errorf("%s: %d: %s", app, r.status, r.body)
		}
	}
}

// toTheEnd is more events than any answer has.
const toTheEnd = 1 << 30

// leaveAfter streams an answer and leaves when so many events with content
// have come.
func (k *keeping) leaveAfter(events int, path, body string) {
	ctx, cancel := context.WithCancel(k.t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, k.url+path, strings.NewReader(body))
	if err != nil {
		k.t.Error(err)
		return
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := k.client.Do(req)
	if err != nil {
		k.t.Error(err)
		return
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for events > 0 && lines.Scan() {
		if strings.Contains(lines.Text(), `"content":"`) && !strings.Contains(lines.Text(), `"content":""`) {
			events--
		}
	}
	if events > 0 && events < toTheEnd/2 {
		k.t.Errorf("%s ended early", path)
	}
}
