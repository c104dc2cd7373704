package gateway

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"aigateway/config"
	"aigateway/openai"
)

// catalogue is what models cost. A model's price is that of the longest name
// in it that the model's begins with, and of the latest day.
type catalogue []config.Price

// newCatalogue orders prices so that the first that fits counts.
func newCatalogue(prices []config.Price) catalogue {
	sorted := slices.Clone(prices)
	slices.SortStableFunc(sorted, func(a, b config.Price) int {
		return cmp.Or(cmp.Compare(len(b.Model), len(a.Model)), b.Day().Compare(a.Day()))
	})
	for i := range sorted {
		sorted[i].Model = priced(sorted[i].Model)
	}
	return sorted
}

// label is a price as it is booked: it says itself what was paid.
func label(p *config.Price) string {
	rate := func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
	text := p.Model
	if p.From != "" {
		text += " from " + p.From
	}
	return text + ": " + rate(p.Input) + "/" + rate(p.CachedInput) + "/" + rate(p.Output)
}

// priced is a model's name as the catalogue has it. Azure's names without a dot,
// such as gpt-35-turbo, are the model's own.
func priced(model string) string {
	return strings.Replace(strings.ToLower(model), "gpt-35", "gpt-3.5", 1)
}

// of returns a model's price at a time, nil when there is none.
func (all catalogue) of(model string, at time.Time) *config.Price {
	if len(all) == 0 || model == "" {
		return nil
	}
	model = priced(model)
	for i := range all {
		if strings.HasPrefix(model, all[i].Model) && !at.Before(all[i].Day()) {
			return &all[i]
		}
	}
	return nil
}

// mostCost bounds what one request costs: a million of the currency, so that
// sums of many stay within 63 bits.
const mostCost = 1e15

// cost returns what usage costs, in billionths of the currency; prices are
// per million tokens.
func cost(p *config.Price, u *openai.Usage) int64 {
	if p == nil {
		return 0
	}
	cached := min(max(u.CachedTokens, 0), max(u.PromptTokens, 0))
	billionths := math.Round(1000 * (p.Input*float64(u.PromptTokens-cached) + p.CachedInput*float64(cached) + p.Output*float64(u.CompletionTokens)))
	return int64(min(max(billionths, 0), mostCost))
}
