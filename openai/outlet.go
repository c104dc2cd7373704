package openai

import (
	"errors"
	"net/http"
)

// outlet is the way to the client. Its errors are *ClientError.
type outlet struct {
	w       http.ResponseWriter
	control *http.ResponseController
	before  func() // each write; may be nil
	written int64
	dirty   bool // written to, not flushed
}

func outletTo(w http.ResponseWriter, before func()) outlet {
	return outlet{w: w, control: http.NewResponseController(w), before: before}
}

// write writes b to the client.
func (o *outlet) write(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if o.before != nil {
		o.before()
	}
	n, err := o.w.Write(b)
	o.written += int64(n)
	if err != nil {
		return &ClientError{Err: err}
	}
	o.dirty = true
	return nil
}

// flush sends what was written on its way.
func (o *outlet) flush() error {
	if !o.dirty {
		return nil
	}
	o.dirty = false
	if err := o.control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return &ClientError{Err: err}
	}
	return nil
}
