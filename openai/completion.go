package openai

import (
	"errors"
	"fmt"
)

// Completion is what the gateway knows of an answer, streamed or not.
type Completion struct {
	Model   string // as the endpoint named it
	ID      string
	Created int64 // Unix seconds
	// SystemFingerprint names the backend's configuration, where the endpoint
	// told it.
	SystemFingerprint string
	Choices           []Choice
	Usage             Usage

	FinishReason string // of the choice with index 0
	// Whole: the answer ended by itself. False when it broke off and when
	// the endpoint reported an error.
	Whole bool
	// Truncated: more text came than was to be kept, or some of it could not
	// be read, so that Choices does not hold all of it.
	Truncated bool

	// Marks tell when the text of choice 0 came, of a stream whose Options had
	// a clock. They count what was kept; where that was not UTF-8, and was
	// mended, Text has another length.
	Marks []Mark

	Events int   // events with data, of a stream
	Bytes  int64 // written to the client by Relay; length of the body given to ParseCompletion
}

// Choice is one of the answers that a completion holds.
type Choice struct {
	Index        int
	Role         string
	Text         string // content of a chat message, or text of a completion
	Refusal      string
	ToolCalls    []ToolCall
	FinishReason string // empty when it did not end
	// Other: it had a part that is not kept here, such as audio, a legacy
	// function call, content in parts, citations or logprobs.
	Other bool
	// Annotated: Other stands only for what came beside the message: citations
	// (context, annotations) and logprobs. A model does well without them when
	// the message is sent back.
	Annotated bool
}

// ContentFiltered reports that a content filter ended the choice.
func (c Choice) ContentFiltered() bool { return c.FinishReason == "content_filter" }

// ToolCall is one call that a model asks for.
type ToolCall struct {
	Index     int
	ID        string
	Type      string
	Name      string
	Arguments string // JSON in text, as the model wrote it; not checked
}

// ParseCompletion reads an answer that was not streamed: of chat completions,
// completions, embeddings or responses. It walks body once. At most keep
// bytes of text and of tool-call arguments are kept; with 0, Choices tells
// how each ended and nothing else. The error says that body is not a JSON
// object.
func ParseCompletion(body []byte, keep int) (*Completion, error) {
	a := answer{keep: keep}
	e := a.read(body)
	if !e.valid {
		return nil, fmt.Errorf("reading a completion: %w", errNotObject)
	}
	done := a.completion()
	done.Whole = !e.failed
	done.Bytes = int64(len(body))
	return done, nil
}

var errNotObject = errors.New("not a JSON object")

// LooksLikeJSONObject reports whether the first byte that is not white space
// is an opening brace.
func LooksLikeJSONObject(b []byte) bool {
	i := skipSpace(b, 0)
	return i < len(b) && b[i] == '{'
}
