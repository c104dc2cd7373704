package config

import (
	"strings"
	"time"
	"unicode/utf8"
)

// Price is what a model costs from a day on.
type Price struct {
	// Model is the model's name as answers have it, or its beginning: the
	// longest one that fits counts.
	Model string `json:"model" required:"true" example:"\"gpt-4o-mini\""`
	// From is the first day, of UTC, as year-month-day; without it, ever.
	From string `json:"from" example:"\"2025-01-01\""`
	// Input is the price of a million prompt tokens.
	Input float64 `json:"input" default:"0" min:"0" max:"1000000000" example:"0.15"`
	// CachedInput is the price of a million prompt tokens that the endpoint had
	// cached.
	CachedInput float64 `json:"cachedInput" absent:"as input" min:"0" max:"1000000000" example:"0.075"`
	// Output is the price of a million tokens of answers, reasoning among them.
	Output float64 `json:"output" default:"0" min:"0" max:"1000000000" example:"0.6"`
}

// Day is From as a time, zero when there is none.
func (p *Price) Day() time.Time {
	day, _ := time.Parse(time.DateOnly, p.From)
	return day
}

// Ledger says how usage is kept (API_GATEWAY_LEDGER).
type Ledger struct {
	// Retention is the age at which a row is deleted; without it rows stay.
	// Totals by hour stay in any case.
	Retention Interval `json:"retention" example:"\"13 months\""`
	// Currency is the currency of all prices, as it is shown, at most 16
	// characters.
	Currency string `json:"currency" default:"USD" example:"\"EUR\""`
}

func (c *Config) validatePrices(root *place) {
	type beginning struct{ model, from string }
	taken := make(map[beginning]bool)
	for i := range c.Prices {
		p, at := &c.Prices[i], root.member("prices").item(i)
		if p.Model == "" || utf8.RuneCountInString(p.Model) > maxName || !headerSafe(p.Model) {
			at.member("model").fault("a model's name of 1 to 128 characters, without control characters and spaces around it")
			continue
		}
		if _, err := time.Parse(time.DateOnly, p.From); p.From != "" && err != nil {
			at.member("from").fault("a day as year-month-day, such as 2025-01-31")
		}
		name := strings.Replace(strings.ToLower(p.Model), "gpt-35", "gpt-3.5", 1) // Azure's spelling
		if begin := (beginning{name, p.From}); taken[begin] {
			at.member("from").fault("a day from which this model has no other price")
		} else {
			taken[begin] = true
		}
	}
}

func (l *Ledger) validate(p *place) {
	validateExpiry(l.Retention, p.member("retention"))
	if utf8.RuneCountInString(l.Currency) > 16 || !headerSafe(l.Currency) {
		p.member("currency").fault("at most 16 characters, without control characters and spaces around them")
	}
}
