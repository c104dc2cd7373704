package simulator

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// pieceLetters is how many letters or digits of a word make one token, about what English text comes to.
const pieceLetters = 6

// Tokens is the simulator's count of tokens in text: one for each six letters or digits of a word or part of six, one for
// every other character but spaces. It is near what the real vocabularies count, not equal to it.
func Tokens(text string) int {
	n, _ := scanTokens(text, -1)
	return n
}

// scanTokens counts tokens and stops before the one over limit; end is where it stopped. A negative limit is none.
func scanTokens(text string, limit int) (n, end int) {
	run := 0 // letters so far of the word we are in
	for i, r := range text {
		costs := false
		switch {
		case r == ' ' || r == '\n' || r >= utf8.RuneSelf && unicode.IsSpace(r) || r == '\t' || r == '\r':
			run = 0
		case r < utf8.RuneSelf && isAlnum(byte(r)), r >= utf8.RuneSelf && r < 0x2e80 && unicode.IsLetter(r): // above: CJK, a token each
			costs = run%pieceLetters == 0
			run++
		default:
			costs, run = true, 0
		}
		if costs {
			if n == limit {
				return n, i
			}
			n++
		}
	}
	return n, len(text)
}

func isAlnum(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9'
}

// ChatTokens is the prompt_tokens that the simulator reports for a chat request's body: Tokens of all contents, four for
// each message, 85 for each image, three for the answer's beginning. 0 when body is no chat request.
func ChatTokens(body []byte) int {
	if !valid(body) {
		return 0
	}
	messages, bad := counter{}.readMessages(gjson.GetBytes(body, "messages"))
	if bad != nil {
		return 0
	}
	return messages.tokens
}

// answerText is the canned answer to question: it quotes the question's beginning, so that a reader sees what was
// answered and by what, and says how many messages came.
func (c *call) answerText(model, question string, messages int) string {
	const quotedWords, quotedBytes = 12, 160
	quoted := firstWords(question, quotedWords, quotedBytes)
	b := make([]byte, 0, 160+len(quoted))
	b = append(b, "Simulated answer of "...)
	b = append(b, model...)
	b = append(b, " to “"...)
	b = append(b, quoted...)
	if len(quoted) < len(strings.TrimSpace(question)) {
		b = append(b, " …"...)
	}
	b = append(b, "”. It has read "...)
	b = strconv.AppendInt(b, int64(messages), 10)
	b = append(b, plural(messages, " message.", " messages.")...)
	return c.plan.resize(string(b))
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// resize gives an answer the length that big= or words= ask for.
func (p *plan) resize(text string) string {
	switch {
	case p.big >= 0:
		// Without spaces, so that a stream carries it in one event.
		return strings.Repeat("x", p.big)
	case p.words >= 0:
		return manyWords(text, p.words)
	}
	return text
}

// manyWords is text cut to n words, or lengthened with the words of a fixed sentence.
func manyWords(text string, n int) string {
	words := strings.Fields(text)
	if len(words) >= n {
		return strings.Join(words[:n], " ")
	}
	filler := [...]string{"And", "so", "the", "simulated", "answer", "goes", "on,", "word", "by", "word,", "as", "long", "as", "it", "was", "told", "to."}
	b := make([]byte, 0, len(text)+8*n)
	b = append(b, text...)
	for i := len(words); i < n; i++ {
		b = append(b, ' ')
		b = append(b, filler[(i-len(words))%len(filler)]...)
	}
	return string(b)
}

// firstWords is the beginning of text: at most so many words and bytes, whole characters, spaces folded.
func firstWords(text string, words, bytes int) string {
	// Fields would read all of a long text.
	if len(text) > 4*bytes {
		text = text[:4*bytes]
	}
	var b strings.Builder
	n := 0
	for w := range strings.FieldsSeq(strings.ToValidUTF8(text, "")) {
		if n == words || b.Len() >= bytes {
			break
		}
		if n > 0 {
			b.WriteByte(' ')
		}
		if room := bytes - b.Len(); len(w) > room {
			w = strings.ToValidUTF8(w[:room], "")
		}
		b.WriteString(w)
		n++
	}
	return b.String()
}

// nextPiece is the length of the next piece of text to stream: one word with the space before it.
func nextPiece(text string) int {
	i := 0
	for i < len(text) && text[i] == ' ' {
		i++
	}
	if sp := strings.IndexByte(text[i:], ' '); sp >= 0 {
		return i + sp
	}
	return len(text)
}

// filterCategory is the content filter's category that a text sets off by containing its marker, "" when none.
// "violence-test", "hate-test", "sexual-test" and "self-harm-test" are the markers.
func filterCategory(text string) string {
	if !strings.Contains(text, "-test") {
		return ""
	}
	switch {
	case strings.Contains(text, "violence-test"):
		return "violence"
	case strings.Contains(text, "hate-test"):
		return "hate"
	case strings.Contains(text, "sexual-test"):
		return "sexual"
	case strings.Contains(text, "self-harm-test"):
		return "self_harm"
	}
	return ""
}
