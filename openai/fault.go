package openai

import (
	"bytes"
	"fmt"
	"strconv"
)

// StreamError is an error event that an endpoint sent instead of an answer.
type StreamError struct {
	Body   []byte // the event's data, mostly JSON {"error":{…}}
	Status int    // the HTTP status that Body names or implies; 0 when it does neither
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
	for c.member() {
		if string(c.key) == "error" {
			fault = c.raw()
		} else {
			c.skip()
		}
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
