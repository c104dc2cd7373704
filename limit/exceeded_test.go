package limit

import (
	"testing"
	"time"
)

func TestRefusalSaysWhatToDo(t *testing.T) {
	for _, c := range []struct {
		e    Exceeded
		want string
	}{
		{
			Exceeded{Limit: "free", Amount: "requestsPerMinute", Per: "user=u", Allowed: 60, Used: 60, Asked: 1, Wait: 11_200 * time.Millisecond},
			"limit free allows 60 requests per minute for user=u, 60 are used, and the request asks for 1: try again in 12s",
		},
		{
			Exceeded{Limit: "free", Amount: "tokensPerDay", Allowed: 1000, Used: 900, Asked: 101, Wait: 90 * time.Minute, Quota: true},
			"limit free allows 1000 tokens per day, 900 are used, and the request asks for 101: try again in 1h30m0s",
		},
		{
			Exceeded{Limit: "free", Amount: "costPerMonth", Allowed: 2_500_000_000, Used: 2_499_999_999, Asked: 1_000_000, Wait: time.Hour, Quota: true},
			"limit free allows a cost of 2.5 per month, 2.499999999 are used, and the request asks for 0.001: try again in 1h0m0s",
		},
		{
			Exceeded{Limit: "free", Amount: "concurrent", Per: "app=a", Allowed: 2, Used: 2, Asked: 1, Wait: time.Second},
			"limit free allows 2 requests at a time for app=a: try again when one has ended",
		},
		{
			Exceeded{Limit: "free", Amount: "tokensPerMinute", Per: "app=a", Allowed: 100, Asked: 200, Never: true},
			"the request asks for 200 tokens, and limit free allows 100 tokens per minute for app=a: send a shorter prompt or ask for a shorter answer",
		},
	} {
		if got := c.e.Error(); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}
