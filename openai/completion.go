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
	Choices           []Choice // of the Responses API one, with index 0
	Usage             Usage

	FinishReason string // of the choice with index 0
	// Whole: the answer ended by itself. False when it broke off and when
	// the endpoint reported an error.
	Whole bool
	// Truncated: more text came than was to be kept, or some of it could not
	// be read, so that Choices does not hold all of it.
	Truncated bool
	// Unread is how many bytes came in events that were too long to be read.
	Unread int64

	// Marks tell when the text of choice 0 came, of a stream whose Options had
	// a clock. They count what was kept; where that was not UTF-8, and was
	// mended, Text has another length.
	Marks []Mark

	Events int   // events with data, of a stream
	Bytes  int64 // written to the client by Relay; length of the body given to ParseCompletion
}

// Choice is one of the answers that a completion holds. That of a response is
// all of its output: texts, refusals and calls.
type Choice struct {
	Index     int
	Role      string
	Text      string // content of a chat message, text of a completion, or all output_text of a response
	Refusal   string
	ToolCalls []ToolCall
	// FinishReason is empty when it did not end. A response that is completed
	// has stop, with calls too; one that is incomplete has length for
	// max_output_tokens, else the reason given, or incomplete.
	FinishReason string
	// Other: it had a part that is not kept here, such as audio, a legacy
	// function call, content in parts, citations, logprobs, reasoning or a call
	// of a tool of the endpoint's own. Input of a custom tool is kept of a
	// response, and is Other all the same.
	Other bool
	// Annotated: Other stands only for what came beside the message: citations
	// (context, annotations), logprobs and the reasoning of a response. A model
	// does well without them when the message is sent back.
	Annotated bool
}

// ContentFiltered reports that a content filter ended the choice.
func (c Choice) ContentFiltered() bool { return c.FinishReason == "content_filter" }

// ToolCall is one call that a model asks for.
type ToolCall struct {
	Index     int    // among the calls of a message, or in the output of a response
	ID        string // by which its result is sent; of a response the call_id
	Type      string // function or custom
	Name      string
	Arguments string // JSON in text, as the model wrote it; not checked. Of a custom tool, any text
}

// ParseCompletion reads an answer that was not streamed: of chat completions,
// completions, embeddings or responses. It walks body once. At most keep
// bytes of text and of tool-call arguments are kept; with 0, Choices tells
// how each ended and nothing else, and of a response there are none. The error
// says that body is not a JSON object.
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
