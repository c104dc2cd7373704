package simulator

import "strconv"

// usage is what an answer costs, in tokens. Cached ones are among prompt, those of reasoning among completion.
type usage struct{ prompt, completion, cached, reasoning int }

// used is what an answer costs whose text has so many tokens, with what the plan adds.
func (p *plan) used(prompt, text int) usage {
	reasoning := max(0, p.reasoning)
	return usage{prompt: prompt, completion: text + reasoning, cached: min(prompt, max(0, p.cachedPrompt)), reasoning: reasoning}
}

// appendUsage appends the member usage with the comma before it, as the plan lets it be reported.
func (p *plan) appendUsage(b []byte, u usage) []byte {
	if p.noUsage {
		return b
	}
	b = p.appendCount(append(b, `,"usage":{"completion_tokens":`...), u.completion)
	if p.reasoning >= 0 {
		b = p.appendCount(append(b, `,"completion_tokens_details":{"reasoning_tokens":`...), u.reasoning)
		b = append(b, '}')
	}
	b = p.appendCount(append(b, `,"prompt_tokens":`...), u.prompt)
	if p.cachedPrompt >= 0 {
		b = p.appendCount(append(b, `,"prompt_tokens_details":{"cached_tokens":`...), u.cached)
		b = append(b, '}')
	}
	b = p.appendCount(append(b, `,"total_tokens":`...), u.prompt+u.completion)
	return append(b, '}')
}

// appendCount appends one count of a usage object, or what badusage= puts in its place.
func (p *plan) appendCount(b []byte, n int) []byte {
	switch p.badUsage {
	case "strings":
		b = strconv.AppendInt(append(b, '"'), int64(n), 10)
		return append(b, '"')
	case "negative":
		return strconv.AppendInt(b, int64(-n-1), 10)
	case "huge":
		return append(b, "9223372036854775808"...) // 2⁶³, one more than an int64 holds
	}
	return strconv.AppendInt(b, int64(n), 10)
}
