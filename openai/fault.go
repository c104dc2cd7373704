package openai

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
)

// StreamError is an error event that an endpoint sent instead of an answer.
type StreamError struct {
	// Body is the event's data, mostly JSON {"error":{…}}. Of response.failed it
	// is just that, without the answer around it.
	Body   []byte
	Status int // the HTTP status that Body names or implies; 0 when it does neither
}

func (e *StreamError) Error() string {
	if e.Status != 0 {
		return fmt.Sprintf("the endpoint sent an error event, status %d", e.Status)
	}
	return "the endpoint sent an error event"
}

// streamError reads the data of an event that reports an error.
func streamError(data []byte) *StreamError {
	e := &StreamError{Body: bytes.Clone(data)}
	c := cursor{b: data}
	if !c.enter('{') {
		return e
	}
	fault := data // some put the error itself at the top
	named := false
	var inner []byte
	for c.member() {
		switch string(c.key) {
		case "error":
			fault, named = c.raw(), true
		case "response":
			inner = errorOf(c.raw())
		default:
			c.skip()
		}
	}
	if inner != nil && !named {
		fault = inner
		e.Body = slices.Concat([]byte(`{"error":`), inner, []byte(`}`))
	}
	c = cursor{b: fault}
	if !c.enter('{') {
		return e
	}
	for c.member() {
		switch string(c.key) {
		case "status", "status_code", "code", "type":
			if n := statusOf(c.raw()); n != 0 && (e.Status == 0 || e.Status == 500) {
				e.Status = n
			}
		default:
			c.skip()
		}
	}
	return e
}

// errorOf returns the error of the answer that response.failed carries, nil
// when it has none.
func errorOf(answer []byte) (fault []byte) {
	c := cursor{b: answer}
	if !c.enter('{') {
		return nil
	}
	for c.member() {
		name, value := c.key, c.raw()
		if string(name) == "error" && len(value) > 0 && value[0] == '{' {
			fault = value
		}
	}
	return fault
}

// statusOf returns the HTTP status that a number, or one of the words that
// OpenAI and Azure use in error.code and error.type, stands for; 0 if none.
func statusOf(raw []byte) int {
	word := bytes.Trim(raw, `"`)
	if n, err := strconv.Atoi(string(word)); err == nil && 400 <= n && n <= 599 {
		return n
	}
	switch string(word) {
	case "rate_limit_exceeded", "rate_limit_error", "insufficient_quota", "too_many_requests", "tokens", "requests":
		return 429
	case "content_filter", "invalid_request_error", "context_length_exceeded":
		return 400
	case "server_error", "internal_error", "internal_server_error":
		return 500
	case "service_unavailable", "overloaded_error":
		return 503
	}
	return 0
}
