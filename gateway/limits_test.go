package gateway_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"
)

// limited is a configuration with limits and applications.
func limited(limits string, apps ...string) string {
	return strings.TrimSuffix(applications(apps...), "}") + `,"limits":[` + limits + `]}`
}

func TestRatesAnswer429AndQuotas403AndBothSayWhichLimit(t *testing.T) {
	for _, tt := range []struct {
		name, limit, body string
		status            int
		code              string
		retry             bool
	}{
		{"requests", `"allow":{"requestsPerMinute":2}`, goodChat, 429, "tooManyRequests", true},
		{"tokens", `"allow":{"tokensPerMinute":300}`, `{"max_tokens":90,` + goodChat[1:], 429, "tooManyRequests", true},
		{"day", `"allow":{"tokensPerDay":100}`, `{"max_tokens":40,` + goodChat[1:], 403, "quotaExceeded", true},
		{"month", `"allow":{"tokensPerMonth":100}`, `{"max_tokens":40,` + goodChat[1:], 403, "quotaExceeded", true},
		{"never", `"allow":{"tokensPerMinute":300}`, `{"max_tokens":5000,` + goodChat[1:], 400, "invalidPayload", false},
		{"money", `"allow":{"costPerDay":0.0012}`, `{"max_tokens":40,` + goodChat[1:], 403, "quotaExceeded", true},
	} {
		config := strings.TrimSuffix(limited(`{"id":"the-`+tt.name+`","per":["app"],`+tt.limit+`}`, chatApp("bot", "", "gpt-4o"), chatApp("other", "", "gpt-4o")), "}") +
			`,"prices":[{"model":"gpt-4o","input":2.5,"output":10}]}`
		s := newSetup(t, config)
		var status int
		var header http.Header
		var body string
		for range 12 {
			if status, header, body = s.post("/lb/bot", tt.body); status != http.StatusOK {
				break
			}
		}
		if status != tt.status || gjson.Get(body, "error.code").String() != tt.code || header.Get("X-Gateway-Limit") != "the-"+tt.name ||
			!strings.Contains(body, "the-"+tt.name) || (header.Get("Retry-After") != "") != tt.retry {
			t.Errorf("%s: got %d %v: %s", tt.name, status, header, body)
		}
		if status, _, body := s.post("/lb/other", strings.Replace(tt.body, "5000", "50", 1)); status != http.StatusOK {
			t.Errorf("%s: another application got %d: %s", tt.name, status, body)
		}
	}
}

func TestLimitHeadersTellWhatRemainsAndWasConsumed(t *testing.T) {
	config := strings.TrimSuffix(limited(`{"id":"all","allow":{"requestsPerMinute":10,"tokensPerMinute":10000}}`, chatApp("bot", "", "gpt-4o")), "}") +
		`,"limitHeaders":{"consumedTokens":"x-apim-tokens-consumed","limitRequests":"-"}}`
	s := newSetup(t, config)
	_, header, body := s.post("/lb/bot", `{"max_tokens":100,`+goodChat[1:])
	used := gjson.Get(body, "usage.total_tokens").String()
	if header.Get("X-Apim-Tokens-Consumed") != used || header.Get("X-Gateway-Limit-Tokens") != "10000" || header.Get("X-Gateway-Limit-Remaining-Requests") != "9" {
		t.Errorf("used %s; got %v", used, header)
	}
	if _, there := header["X-Gateway-Limit-Requests"]; there {
		t.Error("a header that is switched off is sent")
	}
	// Settled: what was reserved and not used is there again.
	_, header, _ = s.post("/lb/bot", `{"max_tokens":100,`+goodChat[1:])
	var left, reserved int
	fmt.Sscan(header.Get("X-Gateway-Limit-Remaining-Tokens"), &left)
	fmt.Sscan(used, &reserved)
	if least := 10000 - reserved - 200; left < least {
		t.Errorf("%d tokens left, want %d or more", left, least)
	}
}

func TestLimitsAreSharedOutByWhatTheyAreFor(t *testing.T) {
	s := newSetup(t, limited(`{"id":"per-user","per":["app","user"],"apps":["bot"],"allow":{"requestsPerMinute":1}},
		{"id":"watched","per":["app"],"allow":{"requestsPerMinute":1,"mode":"observe"}}`, chatApp("bot", "", "gpt-4o")))
	as := func(user string) int {
		status, _, _ := s.post("/lb/bot", `{"user":"`+user+`",`+goodChat[1:])
		return status
	}
	if a, b, again := as("a"), as("b"), as("a"); a != 200 || b != 200 || again != 429 {
		t.Errorf("got %d, %d, %d, want 200, 200, 429", a, b, again)
	}
	_, _, page := s.get("/limits/bot?user=a")
	found := gjson.Get(page, `limits.#(limit=="per-user")`)
	if found.Get("remaining").Int() != 0 || found.Get("allowed").Int() != 1 || found.Get("amount").String() != "requestsPerMinute" {
		t.Errorf("the page says %s", page)
	}
	if watched := gjson.Get(page, `limits.#(limit=="watched")`); watched.Get("mode").String() != "observe" || watched.Get("used").Int() < 2 {
		t.Errorf("the page says %s", page)
	}
}

func TestAnEndpointOverItsLimitLetsTheNextOneAnswer(t *testing.T) {
	app := `{"appId":"bot","appType":"azure_oai","endpoints":[
		{"id":"first","apikey":"key-of-first","uri":"` + chatURI("first") + `","limits":{"requestsPerMinute":2}},
		{"id":"second","apikey":"key-of-second","uri":"` + chatURI("second") + `","limits":{"concurrent":5}}]}`
	s := newSetup(t, applications(app))
	var got []string
	for range 4 {
		_, header, _ := s.post("/lb/bot", goodChat)
		got = append(got, header.Get("X-Gateway-Endpoint")+"/"+header.Get("X-Gateway-Attempts"))
	}
	if want := "first/1 first/1 second/1 second/1"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
	s.advance(2 * time.Minute)
	if _, header, _ := s.post("/lb/bot", goodChat); header.Get("X-Gateway-Endpoint") != "first" {
		t.Errorf("after its minute: %s", header.Get("X-Gateway-Endpoint"))
	}
}

func TestAnAnswerFromTheCacheUsesNoTokens(t *testing.T) {
	k := newKeeping(t, limited(`{"id":"tpm","allow":{"tokensPerMinute":2000}}`, embedApp, chatApp("bot", cacheOn, "gpt-4o")))
	body := ask(`"max_tokens":300,`, "What is a gateway?")
	k.post("/lb/bot", body)
	k.entries("bot", 1)
	for i := range 20 { // each of which reserves more than 300
		status, header, answer := k.post("/lb/bot", body)
		if status != 200 || header.Get("X-Cache") != "hit" || header.Get("X-Gateway-Limit-Consumed-Tokens") != "0" {
			t.Fatalf("%d: %d %v %s", i, status, header, answer)
		}
	}
}

func TestAbsurdAsksAreRefusedAndLeaveNoTrace(t *testing.T) {
	s := newSetup(t, limited(`{"id":"tpm","allow":{"tokensPerMinute":100000}}`, chatApp("bot", "", "gpt-4o")))
	for _, body := range []string{
		`{"n":10000,` + goodChat[1:],
		`{"max_tokens":9007199254740993,` + goodChat[1:],
		`{"max_tokens":-1,` + goodChat[1:],
		`{"max_completion_tokens":1e308,` + goodChat[1:],
		`{"messages":[{"role":"user","content":"` + strings.Repeat("a ", 2<<20) + `"}]}`,
	} {
		if status, _, answer := s.post("/lb/bot", body); status != 400 {
			t.Errorf("%.60s: got %d: %.300s", body, status, answer)
		}
	}
	if _, _, page := s.get("/limits/bot"); gjson.Get(page, "limits.0.used").Int() != 0 {
		t.Errorf("after refusals: %s", page)
	}
}

func TestAClientCannotNameAnotherModelThanTheEndpointsAre(t *testing.T) {
	openAI := `{"appId":"any","appType":"openai","endpoints":[{"id":"any","apikey":"key-of-any","uri":"{{sim}}/openai/v1"}]}`
	s := newSetup(t, limited(`{"id":"four-o","models":["gpt-4o"],"allow":{"requestsPerMinute":1}}`, chatApp("bot", "", "gpt-4o"), openAI))
	named := func(path, model string) int {
		status, _, _ := s.post(path, strings.Replace(goodChat, "{", `{"model":"`+model+`",`, 1))
		return status
	}
	if a, b := named("/lb/bot", "x"), named("/lb/bot", "y"); a != 200 || b != 429 {
		t.Errorf("with other names: %d, %d, want 200, 429", a, b)
	}
	s.advance(2 * time.Minute)
	if a, b, c := named("/lb/any/chat/completions", "gpt-4o-2024-08-06"), named("/lb/any/chat/completions", "gpt-4o"), named("/lb/any/chat/completions", "gpt-4.1"); a != 200 || b != 429 || c != 200 {
		t.Errorf("where the request names the model: %d, %d, %d, want 200, 429, 200", a, b, c)
	}
}

func TestAStreamCostsItsEndpointWhatItCosts(t *testing.T) {
	app := `{"appId":"bot","appType":"azure_oai","endpoints":[{"id":"one","apikey":"key-of-one","uri":"` + chatURI("gpt-4o") + `","limits":{"costPerDay":5}}]}`
	k := newKeeping(t, strings.TrimSuffix(applications(embedApp, app), "}")+`,"prices":[{"model":"gpt-4o","input":2.5,"output":10}]}`, withLedger)
	for _, members := range []string{`"stream":true,`, ""} {
		k.post("/lb/bot", ask(members, "What is a gateway?"))
	}
	k.idle()
	_, _, page := k.get("/limits/bot")
	_, _, usage := k.get("/usage?app=bot", "Authorization", "Bearer "+adminKey)
	if used, cost := gjson.Get(page, "limits.0.used").Float(), gjson.Get(usage, "usage.0.cost").Float(); used != cost || cost <= 0 {
		t.Errorf("the endpoint's limit says %v, the ledger %v: %s", used, cost, page)
	}
}
