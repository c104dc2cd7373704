package gateway_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

// pooled is a held model of which "ptu" belongs to a pool of two applications
// and "payg" to nobody. Each request of the tests reserves 1,008 tokens: the
// pool has room for 8, of which 6 are the share of "big" and 2 that of "small".
func pooled(t *testing.T) (*held, string) {
	t.Helper()
	h := newHeld(t)
	app := func(id string) string {
		return `{"appId":"` + id + `","appType":"azure_oai","strategy":"priority","endpoints":[
			{"id":"ptu","pool":"east","apikey":"key-of-ptu","uri":"` + h.uri("ptu") + `"},
			{"id":"payg","apikey":"key-of-payg","uri":"` + h.uri("payg") + `"}]}`
	}
	return h, strings.TrimSuffix(applications(app("big"), app("small")), "}") +
		`,"pools":[{"id":"east","tokensPerMinute":8100,"shares":[{"app":"big","weight":3},{"app":"small","weight":1}]}]}`
}

// pooledChat reserves 1,008 tokens, and uses heldUsed.
const pooledChat = `{"max_tokens":1000,"messages":[{"role":"user","content":"hi"}]}`

// asks makes n requests, one after the other, that are all under way at the end,
// and returns the deployments that they came to.
func (h *held) asks(s *setup, n int, path string) (deployments string) {
	s.t.Helper()
	for range n {
		refused := make(chan int, 1)
		go func() {
			resp, err := s.client.Post(s.url+path, "application/json", strings.NewReader(pooledChat))
			if err != nil {
				refused <- 0
				return
			}
			resp.Body.Close()
			refused <- resp.StatusCode
		}()
		select {
		case d := <-h.arrived:
			deployments += d + " "
		case status := <-refused:
			s.t.Fatalf("after %s: %d", deployments, status)
		}
	}
	return strings.TrimSpace(deployments)
}

// times is a deployment's name, n times, then another's once.
func times(n int, deployment, then string) string {
	return strings.Repeat(deployment+" ", n) + then
}

func TestAPoolLendsWhatNobodyUsesAndSpillsToTheNextEndpoint(t *testing.T) {
	h, config := pooled(t)
	defer h.letGo()
	s := newSetup(t, config)
	if got, want := h.asks(s, 9, "/lb/small"), times(8, "ptu", "payg"); got != want {
		t.Errorf("alone, small got %s; want %s", got, want)
	}
	// All of it is lent, and what has been used stays used.
	if got, want := h.asks(s, 2, "/lb/big"), "payg payg"; got != want {
		t.Errorf("big got %s of what is lent; want %s", got, want)
	}
	if pool := s.standing("small", "pool east", "tokensPerMinute"); pool.Get("remaining").Int() != 0 || pool.Get("allowed").Int() != 8100 {
		t.Errorf("the page says %s", pool)
	}
	h.letGo()
	s.quiet()
	// What was reserved and not used is there again: small has its share, less
	// what it used; the rest of big's is kept for it, which asked a moment ago.
	if pool, left := s.standing("small", "pool east", "tokensPerMinute"), int64(2025-8*heldUsed); pool.Get("remaining").Int() != left {
		t.Errorf("after the answers the page says %s; want %d left", pool, left)
	}
}

func TestAPoolKeepsEachActiveApplicationItsShare(t *testing.T) {
	h, config := pooled(t)
	defer h.letGo()
	s := newSetup(t, config)
	// Each has asked once before the other wants more.
	small, big := h.asks(s, 1, "/lb/small"), h.asks(s, 1, "/lb/big")
	big += " " + h.asks(s, 6, "/lb/big")
	small += " " + h.asks(s, 2, "/lb/small")
	if want := times(6, "ptu", "payg"); big != want {
		t.Errorf("big got %s; want %s", big, want)
	}
	if want := times(2, "ptu", "payg"); small != want {
		t.Errorf("small got %s; want %s", small, want)
	}
}

func TestWhatAnswersUseIsWhatAPoolCounts(t *testing.T) {
	h, config := pooled(t)
	h.letGo() // answers come at once
	s := newSetup(t, config)
	var used int64
	for endpoint := "ptu"; endpoint == "ptu"; {
		status, header, body := s.post("/lb/big", pooledChat)
		if status != http.StatusOK || used > 8100 {
			t.Fatalf("%d: %s; %d used of the pool", status, body, used)
		}
		if endpoint = header.Get("X-Gateway-Endpoint"); endpoint == "ptu" {
			used += gjson.Get(body, "usage.total_tokens").Int()
		}
		s.quiet() // what it did not use is there again
	}
	// The first that was sent on found less than it reserves.
	if used <= 8100-1008-heldUsed || used > 8100-1008+heldUsed {
		t.Errorf("the next endpoint was asked when %d tokens of the pool's 8100 were used", used)
	}
	if pool := s.standing("big", "pool east", "tokensPerMinute"); pool.Get("used").Int() != used {
		t.Errorf("%d used; the page says %s", used, pool)
	}
}
