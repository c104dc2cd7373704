package openai

import "bytes"

// Usage is what an answer cost, in tokens: as the endpoint reported it, or, of
// an answer whose endpoint did not say, as the gateway counted it. The zero
// value means neither.
type Usage struct {
	Reported         bool // by the endpoint
	PromptTokens     int64
	CompletionTokens int64
	TotalTokens      int64
	CachedTokens     int64 // part of PromptTokens
	ReasoningTokens  int64 // part of CompletionTokens

	Estimated bool // by the gateway; never beside Reported
}

// mostTokens is the most that one answer may be said to have used: ten times
// the longest context that any model offers. More is a fault, and would be a
// costly one to believe.
const mostTokens = 100_000_000

// parseUsage reads a usage object as chat completions, completions and
// embeddings write it (prompt_tokens, …), or as the Responses API does
// (input_tokens, …). One count that is negative, not whole, above mostTokens or
// not a number makes the whole worthless: the result is the zero Usage.
func parseUsage(raw []byte) Usage {
	var u Usage
	c := cursor{b: raw}
	if !c.enter('{') {
		return Usage{}
	}
	for c.member() {
		var into *int64
		switch string(c.key) {
		case "prompt_tokens", "input_tokens":
			into = &u.PromptTokens
		case "completion_tokens", "output_tokens":
			into = &u.CompletionTokens
		case "total_tokens":
			into = &u.TotalTokens
		case "prompt_tokens_details", "input_tokens_details":
			if !c.detail("cached_tokens", &u.CachedTokens) {
				return Usage{}
			}
			continue
		case "completion_tokens_details", "output_tokens_details":
			if !c.detail("reasoning_tokens", &u.ReasoningTokens) {
				return Usage{}
			}
			continue
		default:
			c.skip()
			continue
		}
		said, ok := c.count(into)
		if !ok {
			return Usage{}
		}
		u.Reported = u.Reported || said && into != &u.TotalTokens
	}
	if c.bad || !u.Reported || max(u.PromptTokens, u.CompletionTokens, u.TotalTokens, u.CachedTokens, u.ReasoningTokens) > mostTokens {
		return Usage{}
	}
	// What is billed are the parts; a total that says otherwise is not believed,
	// and nobody has more of the prompt cached than there is.
	u.TotalTokens = u.PromptTokens + u.CompletionTokens
	u.CachedTokens = min(u.CachedTokens, u.PromptTokens)
	return u
}

// count reads a count, and tells whether it was said: null is not.
func (c *cursor) count(into *int64) (said, ok bool) {
	raw := c.raw()
	if string(raw) == "null" {
		return false, true
	}
	*into, ok = countOf(raw)
	return true, ok
}

// detail reads one count of an object of counts.
func (c *cursor) detail(name string, into *int64) bool {
	if !c.enter('{') {
		return true
	}
	for c.member() {
		if string(c.key) != name {
			c.skip()
		} else if _, ok := c.count(into); !ok {
			return false
		}
	}
	return !c.bad
}

// TailUsage finds the usage object in the last bytes of an answer that was
// too large to hold. It reads backwards from the brace that closes the
// answer, through strings and nesting, so that only a usage member of the
// answer itself counts. The zero Usage means that there is none in tail.
func TailUsage(tail []byte) Usage {
	i := len(tail) - 1
	for i >= 0 && isSpace(tail[i]) {
		i--
	}
	if i < 0 || tail[i] != '}' {
		return Usage{}
	}
	end := 0 // of the value of the top level being read
	for open := 1; open > 0; {
		if i--; i < 0 {
			return Usage{}
		}
		switch tail[i] {
		case '"':
			if i = stringStart(tail, i); i < 0 {
				return Usage{}
			}
		case '}', ']':
			if open == 1 {
				end = i + 1
			}
			open++
		case '{', '[':
			open--
			if open == 1 && tail[i] == '{' && namedUsage(tail[:i]) {
				return parseUsage(tail[i:end])
			}
		}
	}
	return Usage{}
}

// namedUsage reports that before ends with "usage": .
func namedUsage(before []byte) bool {
	before, ok := bytes.CutSuffix(bytes.TrimRight(before, " \t\r\n"), []byte(":"))
	if !ok {
		return false
	}
	before, ok = bytes.CutSuffix(bytes.TrimRight(before, " \t\r\n"), []byte(`"usage"`))
	return ok && !bytes.HasSuffix(before, []byte(`\`))
}

// stringStart returns the position of the quote that opens the string which
// closes at i, or -1. Quotes inside have an odd number of backslashes before
// them; before the opening one stands punctuation.
func stringStart(b []byte, i int) int {
	for {
		if i = bytes.LastIndexByte(b[:i], '"'); i < 0 {
			return -1
		}
		slashes := 0
		for slashes < i && b[i-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return i
		}
	}
}
