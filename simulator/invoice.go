package simulator

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// maxLines bounds the invoice: ten times what a test of thousands of calls needs.
const maxLines = 200_000

// maxClientID is how much of a client's request id a line keeps, in bytes.
const maxClientID = 128

// How a billed call ended.
const (
	EndedWhole    = "whole"    // the answer went out to its end
	EndedCanceled = "canceled" // the client left, or the server stopped
	EndedBroken   = "broken"   // a fault broke the answer off
)

// Line is what the service bills for one call, in tokens.
//
// Billed is every call with a model's answer under 2xx of which a byte was sent, also when no usage was reported or a
// wrong one. An answer in one piece is generated before its first byte: it is billed in full however little of it
// arrives, and with its prompt alone when the client leaves while it is being generated. A stream is billed with its
// prompt and what of its text was sent. Not billed: refusals and errors, under 2xx too; calls whose client left in the
// wait before the answer; what stands in an answer's place (html, garbage, empty, object).
type Line struct {
	Deployment string `json:"deployment"`
	Model      string `json:"model"`     // as answers name it
	Operation  string `json:"operation"` // chat/completions, completions, embeddings, responses
	Stream     bool   `json:"stream"`
	// RequestID is the answer's apim-request-id, on routes of the OpenAI form its x-request-id.
	RequestID string `json:"requestId"`
	// ClientRequestID is the request's x-request-id, else its x-ms-client-request-id, at most 128 bytes.
	ClientRequestID string `json:"clientRequestId,omitempty"`

	PromptTokens     int `json:"promptTokens"`
	CompletionTokens int `json:"completionTokens"`
	CachedTokens     int `json:"cachedTokens"`    // of PromptTokens
	ReasoningTokens  int `json:"reasoningTokens"` // of CompletionTokens

	Ended string    `json:"ended"` // one of the constants Ended…
	Start time.Time `json:"start"` // by Options.Now
}

// Invoice returns the lines of the calls that are over, in the order in which they ended: the first 200,000 since the
// last Reset. Stats.Billed says how many there would be. A call is over, and on the invoice, when Open counts it no more,
// which may be a moment after its client has read the answer.
func (s *Simulator) Invoice() []Line {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Concat(s.invoice...)
}

// linesAtOnce is how many lines are made room for at once: a long invoice is never copied to grow.
const linesAtOnce = 512

// charge puts the call on the invoice if it is to be billed. Lines outlive requests: they share no memory with them.
func (s *Simulator) charge(c *call) {
	if c.bill == nil || !c.begun {
		return
	}
	used := c.bill.used
	if c.ended != EndedWhole {
		used = c.bill.upTo(c.said)
	}
	line := Line{
		Deployment: c.target.deployment, Model: c.bill.model, Operation: strings.Clone(c.target.operation), Stream: c.streamed,
		RequestID: c.id, ClientRequestID: c.clientID(),
		PromptTokens: used.prompt, CompletionTokens: used.completion, CachedTokens: used.cached, ReasoningTokens: used.reasoning,
		Ended: c.ended, Start: c.start,
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.billed++
	if s.billed > maxLines {
		return
	}
	last := len(s.invoice) - 1
	if last < 0 || len(s.invoice[last]) == linesAtOnce {
		s.invoice = append(s.invoice, make([]Line, 0, linesAtOnce))
		last++
	}
	s.invoice[last] = append(s.invoice[last], line)
}

// clientID is the id that the client gave its request.
func (c *call) clientID() string {
	id := cmp.Or(c.r.Header.Get("X-Request-Id"), c.r.Header.Get("X-Ms-Client-Request-Id"))
	return strings.Clone(id[:min(len(id), maxClientID)])
}

// bill is what a call costs when its answer goes out whole, and what is needed to say what a part of it costs.
type bill struct {
	counter
	used   usage
	spoken []string // the texts that count as completion, in the order in which a stream sends them
}

// allSaid is the position behind the end of any text.
const allSaid = int(^uint(0) >> 1)

// upTo is what the answer cost when only so many bytes of its texts were sent. Each text counts by itself, as in used.
// Reasoning comes before the first word and is billed with it.
func (b *bill) upTo(said int) usage {
	part := usage{prompt: b.used.prompt, cached: b.used.cached}
	if said > 0 {
		part.completion, part.reasoning = b.used.reasoning, b.used.reasoning
	}
	for _, text := range b.spoken {
		n := min(said, len(text))
		part.completion += b.tokens(text[:n])
		said -= n
	}
	return part
}

// writeInvoice answers GET /sim/invoice: one JSON object a line.
func (c *call) writeInvoice() {
	lines := c.s.Invoice()
	c.w.Header().Set("Content-Type", "application/x-ndjson")
	encoder := json.NewEncoder(c.w)
	for i := range lines {
		if encoder.Encode(&lines[i]) != nil {
			return // the client left
		}
	}
}
