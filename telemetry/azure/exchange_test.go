package azure

import (
	"fmt"
	"time"

	"aigateway/openai"
	"aigateway/persist"
)

// failedOver is an answer that the second endpoint gave, of a caller that has a
// trace.
func failedOver() *persist.Exchange {
	return &persist.Exchange{
		RequestID: "req-1", App: "support", Caller: "web", Tenant: "blue", User: "u-7", Thread: "thread-1",
		Operation: "chat", Model: "gpt-4o", Answered: "gpt-4o-2024-08-06", Stream: true,
		Start: begin, Duration: 1500 * time.Millisecond, FirstByte: 700 * time.Millisecond,
		Status: 200, Cache: "miss", CacheWhy: "nothing near",
		Attempts: []persist.Attempt{
			{
				ID: "ptu", Status: 429, Start: begin.Add(10 * time.Millisecond), Duration: 90 * time.Millisecond,
				Host: "one.openai.azure.com:443", Span: [8]byte{1},
				Told: persist.Told{Region: "Sweden Central", RequestID: "apim-1", RemainingRequests: "0", RemainingTokens: "12"},
			},
			{
				Endpoint: 1, ID: "paygo", Status: 200, Start: begin.Add(100 * time.Millisecond), Duration: 1390 * time.Millisecond,
				FirstByte: 590 * time.Millisecond, Host: "two.example:8443", Span: [8]byte{2},
				Told: persist.Told{Took: "512"},
			},
		},
		Usage:        openai.Usage{Reported: true, PromptTokens: 120, CompletionTokens: 80, TotalTokens: 200},
		FinishReason: "stop",
		Trace: &persist.Trace{
			ID: [16]byte{0xab, 15: 1}, Span: [8]byte{9}, Parent: [8]byte{8}, Sampled: true,
			Method: "POST", Route: "/lb/:app",
			Prompt: []byte(`[{"role":"user","content":"a secret question"}]`), Completion: []byte(`"a secret answer"`),
		},
	}
}

// simple is an exchange with one call.
func simple(i int) *persist.Exchange {
	x := failedOver()
	x.RequestID = fmt.Sprintf("req-%d", i)
	x.Attempts = x.Attempts[1:]
	x.Trace.Span, x.Attempts[0].Span = [8]byte{1, byte(i >> 8), byte(i)}, [8]byte{2, byte(i >> 8), byte(i)}
	return x
}
