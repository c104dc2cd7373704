package gateway

import (
	"testing"
	"time"

	"aigateway/config"
	"aigateway/openai"
)

func TestAModelCostsWhatTheLongestNameAndTheLatestDaySay(t *testing.T) {
	all := newCatalogue([]config.Price{
		{Model: "gpt-4o", Input: 5},
		{Model: "GPT-4o", From: "2025-01-01", Input: 2.5},
		{Model: "gpt-4o-mini", From: "2024-07-18", Input: 0.15},
		{Model: "gpt-35-turbo", Input: 0.5},
	})
	before, after := time.Date(2024, 6, 1, 0, 0, 0, 0, time.UTC), time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		model string
		at    time.Time
		want  float64
	}{
		{"gpt-4o", before, 5},
		{"gpt-4o-2024-08-06", after, 2.5},
		{"gpt-4o-2024-08-06", after.Add(-time.Second), 5},
		{"gpt-4o-mini-2024-07-18", after, 0.15},
		{"gpt-4o-mini", before, 5}, // its own price has not begun
		{"gpt-3.5-turbo-0125", after, 0.5},
		{"gpt-4", after, 0},
		{"", after, 0},
	} {
		got := 0.0
		if p := all.of(tt.model, tt.at); p != nil {
			got = p.Input
		}
		if got != tt.want {
			t.Errorf("%s at %s: got %v, want %v", tt.model, tt.at.Format(time.DateOnly), got, tt.want)
		}
	}
}

func TestCachedInputHasItsOwnPrice(t *testing.T) {
	p := &config.Price{Input: 2.5, CachedInput: 1.25, Output: 10}
	for _, tt := range []struct {
		usage openai.Usage
		want  int64
	}{
		{openai.Usage{PromptTokens: 1_000_000}, 2_500_000_000},
		{openai.Usage{PromptTokens: 1_000_000, CachedTokens: 400_000, CompletionTokens: 100_000, ReasoningTokens: 50_000}, 3_000_000_000},
		{openai.Usage{PromptTokens: 1, CompletionTokens: 1}, 12500},
		{openai.Usage{PromptTokens: 10, CachedTokens: 1 << 40}, 12500}, // no more than the prompt can be cached
		{openai.Usage{}, 0},
	} {
		if got := cost(p, &tt.usage); got != tt.want {
			t.Errorf("%+v: got %d, want %d", tt.usage, got, tt.want)
		}
	}
}
