package tokens

import "strings"

// What a chat request adds to its texts. The rule is that of the cookbook,
// github.com/openai/openai-cookbook/blob/main/examples/How_to_count_tokens_with_tiktoken.ipynb,
// which calls it an estimate; it is exact for messages of text.
const (
	reply     = 3 // the beginning of the answer
	toolCall  = 4 // a call of a tool in a message, " to=functions." before its name: an estimate of ours
	maxSchema = 8 // levels of a schema that the rule for functions is applied to
)

// Prompt returns how many tokens the prompt of a request has. Operation is
// what follows the deployment in its path: chat/completions, completions,
// embeddings or responses; others have none. Body is valid JSON; it is neither
// changed nor kept, and the work is bounded by its length.
//
// Exact are the texts of completions and embeddings, and chat messages of
// text. Images follow the published rules, where the size of one that is only
// linked to is that of the guide's example. Functions follow the cookbook.
// Estimates of ours are the schemas of response formats, deeper schemas of
// functions, calls of tools in messages, and what responses adds to its
// texts. Audio, files and what the service itself puts in front of a prompt
// count nothing.
func (m *Model) Prompt(operation string, body []byte) int {
	p := prompt{Model: m, vocabulary: m.vocabulary()}
	raw := view(body)
	raw = raw[skipSpace(raw, 0):]
	switch operation {
	case "chat/completions":
		return p.chat(raw)
	case "completions":
		return p.texts(member(raw, "prompt")) + p.string(member(raw, "suffix"))
	case "embeddings":
		return p.texts(member(raw, "input"))
	case "responses":
		return p.responses(raw)
	}
	return 0
}

// Message returns how many tokens one chat message has, a JSON object: what
// Prompt counts for it.
func (m *Model) Message(message []byte) int {
	p := prompt{Model: m, vocabulary: m.vocabulary()}
	raw := view(message)
	return p.message(raw[skipSpace(raw, 0):])
}

// prompt counts one prompt.
type prompt struct {
	*Model
	vocabulary *vocabulary
	line       []byte // what is counted at once but stands apart
}

// string returns the tokens of a string, 0 for another value.
func (p *prompt) string(raw string) int {
	if kindOf(raw) != '"' {
		return 0
	}
	return p.vocabulary.countJSON(raw)
}

func (p *prompt) chat(body string) int {
	n := reply
	for name, value := range members(body) {
		switch name {
		case "messages":
			for e := range elements(value) {
				n += p.message(e)
			}
		case "tools", "functions":
			n += p.functions(value)
		case "response_format":
			n += p.format(member(value, "json_schema"))
		}
	}
	return n
}

// message counts a chat message, or an item of a responses request.
func (p *prompt) message(raw string) int {
	n := p.Model.message
	for name, value := range members(raw) {
		switch name {
		case "type", "id", "status", "call_id", "encrypted_content":
			// Of items, and not for the model to read.
		case "content", "output", "summary":
			n += p.content(value)
		case "tool_calls":
			for call := range elements(value) {
				for _, called := range members(call) { // function or custom
					n += p.call(called)
				}
			}
		case "function_call":
			n += p.call(value)
		case "name":
			n += p.string(value) + p.named
		default:
			n += p.string(value)
		}
	}
	return n
}

// call counts what a message says of a call, 0 if raw is no object.
func (p *prompt) call(raw string) int {
	if kindOf(raw) != '{' {
		return 0
	}
	n := toolCall
	for _, value := range members(raw) { // name, arguments or input
		n += p.string(value)
	}
	return n
}

// content counts a text, or a list of parts that are texts and images.
func (p *prompt) content(raw string) int {
	n := p.string(raw)
	for part := range elements(raw) {
		n += p.string(part)
		var url, detail string
		for name, value := range members(part) {
			switch name {
			case "text", "refusal":
				n += p.string(value)
			case "detail":
				detail = value
			case "image_url":
				url = value
				if kindOf(value) == '{' {
					url, detail = member(value, "url"), member(value, "detail")
				}
			}
		}
		if kindOf(url) == '"' {
			n += p.picture(url, detail)
		}
	}
	return n
}

// picture counts an image by its URL and detail.
func (p *prompt) picture(url, detail string) int {
	width, height, ok := imageSize(p.decoded(url))
	if !ok {
		width, height = unknownSide, unknownSide
	}
	return p.image.tokens(width, height, unquoted(detail))
}

// decoded returns what a string says, until the next use of line.
func (p *prompt) decoded(raw string) string {
	if s := unquoted(raw); strings.IndexByte(s, '\\') < 0 {
		return s
	}
	p.line = appendText(p.line[:0], raw)
	return view(p.line)
}

// texts counts a text, a list of texts, a list of tokens or a list of those.
func (p *prompt) texts(raw string) int {
	n := p.string(raw)
	for e := range elements(raw) {
		switch kindOf(e) {
		case '"':
			n += p.string(e)
		case '[':
			for range elements(e) {
				n++
			}
		default:
			n++
		}
	}
	return n
}

// responses counts as if the request were one for chat.
func (p *prompt) responses(body string) int {
	const role = 1
	n := reply
	for name, value := range members(body) {
		switch name {
		case "instructions", "input":
			if kindOf(value) == '"' {
				n += p.Model.message + role + p.string(value)
			}
			for item := range elements(value) {
				n += p.message(item)
			}
		case "tools":
			n += p.functions(value)
		case "text":
			n += p.format(member(value, "format"))
		}
	}
	return n
}
