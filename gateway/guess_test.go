package gateway_test

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"aigateway/simulator"
)

func TestALongAnswerLocksNobodyOut(t *testing.T) {
	o := simulator.Options{Deployments: map[string]simulator.Deployment{"some-model": {Model: "some-model"}}}
	s := newSetupSim(t, o, limited(`{"id":"tpm","allow":{"tokensPerMinute":2000}}`, chatApp("bot", "", "some-model")))
	s.sim.Script("some-model", "words=60000")
	if status, _, body := s.post("/lb/bot", goodChat); status != http.StatusOK {
		t.Fatalf("%d: %.200s", status, body)
	}
	for range 3 {
		s.advance(2 * time.Minute)
		if status, _, body := s.post("/lb/bot", goodChat); status != http.StatusOK {
			t.Errorf("after a minute: %d: %.300s", status, body)
		}
	}
}

func TestAReserveIsOfAllThatIsAskedFor(t *testing.T) {
	s := newSetup(t, limited(`{"id":"tpm","allow":{"tokensPerMinute":1000000}}`,
		chatApp("bot", "", "gpt-4o"),
		`{"appId":"text","appType":"azure_oai","endpoints":[{"id":"text","apikey":"key-of-text","uri":"{{sim}}/openai/deployments/gpt-35-turbo-instruct/completions`+apiVersion+`"}]}`,
		`{"appId":"any","appType":"openai","endpoints":[{"id":"any","apikey":"key-of-any","uri":"{{sim}}/openai/v1","model":"gpt-4o"}]}`))
	for _, tt := range []struct {
		path, body string
		least      int64
	}{
		{"/lb/bot", `{"n":5,"max_tokens":100,` + goodChat[1:], 500},
		{"/lb/bot", `{"max_completion_tokens":1,"max_tokens":700,` + goodChat[1:], 700},
		{"/lb/bot", `{"max_output_tokens":1,` + goodChat[1:], 100}, // which chat does not have
		{"/lb/text", `{"max_tokens":100,"prompt":["a","b","c","d"]}`, 400},
		{"/lb/text", `{"max_tokens":100,"best_of":20,"prompt":"a"}`, 2000},
		{"/lb/text", `{"max_tokens":100,"prompt":[[1,2],[3]]}`, 200},
		{"/lb/any/responses", `{"max_output_tokens":300,"input":"a"}`, 300},
	} {
		s.advance(2 * time.Minute)
		_, header, body := s.post(tt.path, tt.body)
		left, err := strconv.ParseInt(header.Get("X-Gateway-Limit-Remaining-Tokens"), 10, 64)
		if reserved := 1_000_000 - left; err != nil || reserved < tt.least || reserved > tt.least+1000 {
			t.Errorf("%s: reserved %d, want %d and the prompt: %.200s", tt.body, reserved, tt.least, body)
		}
	}
}

func TestWhoLeavesBeforeTheAnswerPaysTheLimitForThePrompt(t *testing.T) {
	o := simulator.Options{Deployments: map[string]simulator.Deployment{"gpt-4o": {Fault: "hang"}}}
	k := newKeepingSim(t, o, newSQLite(t), limited(`{"id":"tpd","allow":{"tokensPerDay":100000,"concurrent":9}}`, embedApp, chatApp("bot", "", "gpt-4o")), withLedger)
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, k.url+"/lb/bot", strings.NewReader(ask("", strings.Repeat("word ", 1000))))
	if err != nil {
		t.Fatal(err)
	}
	left := make(chan struct{})
	go func() {
		defer close(left)
		if resp, err := k.client.Do(req); err == nil {
			resp.Body.Close()
		}
	}()
	k.eventually("the model is asked", func() bool { return k.sim.Open() == 1 })
	cancel()
	<-left
	k.idle()
	_, _, page := k.get("/limits/bot")
	if used := gjson.Get(page, `limits.#(amount=="tokensPerDay").used`).Int(); used < 1000 || used > 1100 {
		t.Errorf("%d tokens are used: %s", used, page)
	}
	if n := gjson.Get(page, `limits.#(amount=="concurrent").used`).Int(); n != 0 {
		t.Errorf("%d requests are under way", n)
	}
	for _, a := range k.booked() {
		t.Errorf("booked %+v", a)
	}
}
