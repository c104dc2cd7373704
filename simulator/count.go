package simulator

import (
	"sort"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// counter counts the tokens of one call.
type counter struct {
	count func(model, text string) int // nil: Tokens, and the simulator's own rule for chats
	model string
}

// counter is how the call's tokens count when model answers.
func (c *call) counter(model string) counter { return counter{c.s.count, model} }

func (n counter) tokens(text string) int {
	if n.count == nil {
		return Tokens(text)
	}
	return n.count(n.model, text)
}

// imageTokens is what an image costs at low detail. The simulator does not look at images.
const imageTokens = 85

// message is what a chat's message costs, of which text and images have been read. Where Options.Count is set it
// follows OpenAI's published rule for the gpt-3.5-turbo, gpt-4 and gpt-4o families (cookbook.openai.com, "How to count
// tokens with tiktoken"): three for each message, its role, its contents, one more for a name beside the name itself.
// Neither rule counts tools and the calls of tools.
func (n counter) message(v gjson.Result, text string, images int) int {
	if n.count == nil {
		return 4 + Tokens(text) + imageTokens*images
	}
	tokens := 3 + n.tokens(v.Get("role").Str) + imageTokens*images
	if content := v.Get("content"); content.IsArray() {
		eachText(content, func(part string) { tokens += n.tokens(part) })
	} else {
		tokens += n.tokens(text)
	}
	if name := v.Get("name"); name.Type == gjson.String {
		tokens += 1 + n.tokens(name.Str)
	}
	return tokens
}

// input is one prompt of completions or one text to embed. tokens is how many came as numbers; 0 for a text.
type input struct {
	text   string
	tokens int
}

// input is what one prompt or text costs. Where Options.Count is set, tokens that came as numbers are that many.
func (n counter) input(p input) int {
	if n.count != nil && p.tokens > 0 {
		return p.tokens
	}
	return n.tokens(p.text)
}

// limited cuts text to a number of tokens; 0 is no limit.
func (n counter) limited(text string, limit int) (kept, finish string) {
	if limit <= 0 {
		return text, "stop"
	}
	if n.count == nil {
		_, end := scanTokens(text, limit)
		if end < len(text) {
			return text[:end], "length"
		}
		return text, "stop"
	}
	// The longest beginning that does not cost more. First double it until it does, so that little of a long text is counted.
	fits := func(size int) bool { return n.tokens(text[:runeStart(text, size)]) <= limit }
	enough, tooMuch := 0, min(limit, len(text))
	for fits(tooMuch) {
		if tooMuch == len(text) {
			return text, "stop"
		}
		enough, tooMuch = tooMuch, min(2*tooMuch, len(text))
	}
	// Of sizes between them, the first that does not fit follows one that does, however counts jump.
	size := enough + sort.Search(tooMuch-enough, func(i int) bool { return !fits(enough + i + 1) })
	return text[:runeStart(text, size)], "length"
}

// runeStart is the largest index up to i at which a character of text begins or text ends.
func runeStart(text string, i int) int {
	for i < len(text) && !utf8.RuneStart(text[i]) {
		i--
	}
	return i
}
