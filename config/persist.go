package config

import "regexp"

// Persist says how long requests are kept (API_GATEWAY_PERSIST_PROMPTS), and
// what is hidden in them.
type Persist struct {
	// Retention is the age at which a stored request is deleted; without it
	// requests stay.
	Retention Interval `json:"retention" example:"\"90 days\""`
	// Redact are regular expressions (RE2); what they match in the texts of
	// prompts and answers is stored as [redacted].
	Redact []string `json:"redact" example:"[\"[0-9]{13,16}\"]"`
}

func (s *Persist) validate(p *place) {
	validateExpiry(s.Retention, p.member("retention"))
	redact := p.member("redact")
	for i, pattern := range s.Redact {
		if _, err := regexp.Compile(pattern); err != nil || pattern == "" {
			redact.item(i).fault("a regular expression in RE2's syntax")
		}
	}
}
