package otlp

import (
	"time"

	"aigateway/openai"
	"aigateway/persist"
)

// begin is when the exchanges of tests begin.
var begin = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// failedOver is a streamed answer that the second endpoint gave, of a caller
// that has a trace.
func failedOver() *persist.Exchange {
	return &persist.Exchange{
		RequestID: "req-1", App: "support", Caller: "web", Tenant: "blue", User: "u-7", Thread: "thread-1",
		Operation: "chat", Model: "gpt-4o", Answered: "gpt-4o-2024-08-06", Stream: true,
		Start: begin, Duration: 1500 * time.Millisecond, FirstByte: 700 * time.Millisecond,
		Status: 200, LimitOver: "support-day", Cache: "miss", CacheWhy: "nothing near",
		Attempts: []persist.Attempt{
			{
				Endpoint: 0, ID: "ptu", Status: 429, Start: begin.Add(10 * time.Millisecond), Duration: 90 * time.Millisecond,
				Host: "one.openai.azure.com:443", Span: [8]byte{1},
				Told: persist.Told{Region: "Sweden Central", RequestID: "apim-1", RemainingRequests: "0", RemainingTokens: "12"},
			},
			{
				Endpoint: 1, ID: "paygo", Status: 200, Start: begin.Add(100 * time.Millisecond), Duration: 1390 * time.Millisecond,
				FirstByte: 590 * time.Millisecond, Host: "api.openai.com:443", Span: [8]byte{2},
				Told: persist.Told{RequestID: "req_x", RemainingRequests: "99", RemainingTokens: "70000", Took: "512"},
			},
		},
		Usage:  openai.Usage{Reported: true, PromptTokens: 120, CompletionTokens: 80, TotalTokens: 200, CachedTokens: 64, ReasoningTokens: 16},
		Priced: "gpt-4o", Cost: 1_100_000, FinishReason: "stop",
		Trace: &persist.Trace{
			ID: [16]byte{0xab, 15: 1}, Span: [8]byte{9}, Parent: [8]byte{8}, Sampled: true, State: "vendor=x",
			Method: "POST", Route: "/lb/:app",
			Asked:  [][2]string{{"temperature", "0.7"}, {"max_tokens", "500"}, {"stop", `["\n\n"]`}, {"seed", "7"}, {"n", "2"}},
			Chunks: 81, ResponseID: "chatcmpl-1", Fingerprint: "fp_1", ServiceTier: "default",
		},
	}
}
