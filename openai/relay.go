package openai

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Options say how an answer is relayed. The zero value passes every event and
// keeps nothing.
type Options struct {
	// Keep is how many bytes of text and of tool-call arguments are kept of an
	// answer. With 0 none are, and an answer of the Responses API has no
	// Choices.
	Keep int
	// HideUsage holds back the event that reports usage and nothing else: the
	// gateway asked for it, the client did not.
	HideUsage bool
	// Chat: the answer is of chat completions or completions, and whole only
	// with [DONE] or with a finish reason for every choice. Otherwise it is
	// whole when the stream ends without an error; response.failed is one.
	Chat bool
	// Now, if not nil and if Keep is above 0, is the clock by which the marks of
	// the answer are noted.
	Now func() time.Time
	// BeforeWrite, if not nil, is called before each write, such as to set
	// its deadline.
	BeforeWrite func()
	// BeforeDone, if not nil, is called once when an answer is whole, before
	// the client can know that: with Chat before the event that gives the last
	// finish reason is written, else before [DONE] is, or before Relay returns
	// when the endpoint sends none. Usage may yet come. An error event that
	// follows a finish reason comes too late to be told.
	BeforeDone func(*Completion)
}

// BrokenError says that the endpoint broke off its answer.
type BrokenError struct {
	Err  error // the reader's, io.ErrUnexpectedEOF, or a *StreamError
	Told bool  // the endpoint's own error event has reached the client
}

func (e *BrokenError) Error() string { return "the endpoint broke off its answer: " + e.Err.Error() }

// Unwrap returns what happened at the endpoint.
func (e *BrokenError) Unwrap() error { return e.Err }

// ClientError says that the client could not be written to.
type ClientError struct{ Err error }

func (e *ClientError) Error() string { return "writing to the client: " + e.Err.Error() }

// Unwrap returns the writer's error.
func (e *ClientError) Unwrap() error { return e.Err }

// Relay writes the events unchanged to w, all that one read completed at
// once, and flushes. An event that is not complete waits for its rest, up to
// MaxEvent bytes. [DONE] is held back until BeforeDone has returned; nothing is
// read after it. When the stream ends in the middle of an event, that part is not
// written, unless nothing can tell that it is only a part: a comment, JSON
// that is complete, or [DONE] without an empty line behind it.
//
// The Completion is never nil and holds what came, also beside an error. The
// error is nil for a whole answer, else a *BrokenError or a *ClientError.
func Relay(w http.ResponseWriter, e *Events, o Options) (*Completion, error) {
	r := relay{
		Options: o, outlet: outletTo(w, o.BeforeWrite), e: e,
		answer: answer{keep: max(o.Keep, 0)},
	}
	if o.Keep > 0 {
		r.marks.now = o.Now
	}
	err := r.run()
	return r.result(), err
}

// relay is one answer on its way.
type relay struct {
	Options
	outlet
	e *Events

	answer answer
	marks  marker
	events int
	failed *StreamError // an error event came
	done   *Completion  // once whole
	told   bool         // BeforeDone was called
	ended  bool         // the terminator has come
	// delivered: the client has the terminator. Many hang up then.
	delivered bool
}

func (r *relay) run() error {
	for {
		if err := r.pass(); err != nil {
			return err
		}
		if r.delivered { // whatever keeps the connection open is no part of the answer
			r.lastLineEnd()
			return r.finish(nil)
		}
		if err := r.e.fill(MaxEvent); err != nil {
			return r.finish(err)
		}
	}
}

// pass writes the events that have come completely.
func (r *relay) pass() error {
	r.marks.tick()
	from := r.e.start // of what is to be written
	for {
		at := r.e.start
		block, part := r.e.next()
		if part == noPart {
			break
		}
		if part == longPart {
			r.answer.partial = true // whatever it says, it is not read
			r.answer.long(block, !r.e.long)
			continue
		}
		switch r.take(block, r.e.split.single) {
		case hidden:
			if err := r.write(r.e.buf[from:at]); err != nil {
				return err
			}
			from = r.e.start
		case terminator:
			if err := r.write(r.e.buf[from:at]); err != nil {
				return err
			}
			if err := r.terminate(); err != nil {
				return err
			}
			if err := r.write(block); err != nil {
				return err
			}
			err := r.flush()
			r.delivered = err == nil
			return err
		}
		if r.ending() {
			if err := r.write(r.e.buf[from:at]); err != nil {
				return err
			}
			from = at
			if err := r.flush(); err != nil {
				return err
			}
			r.tell(r.result())
		}
	}
	if err := r.write(r.e.buf[from:r.e.start]); err != nil {
		return err
	}
	return r.flush()
}

// fate is what is done with an event.
type fate uint8

const (
	passed fate = iota
	hidden
	terminator
)

// lastLineEnd passes on the \n of a terminator whose \r\n a read has cut.
func (r *relay) lastLineEnd() {
	if !r.e.split.afterCR || r.e.fill(MaxEvent) != nil || r.e.buf[r.e.start] != '\n' {
		return
	}
	if r.write(r.e.buf[r.e.start:r.e.start+1]) == nil {
		_ = r.flush() // the client has its answer
	}
}

// take learns what an event says and decides its fate.
func (r *relay) take(block []byte, single bool) fate {
	name, data := r.e.fields(block, single)
	if len(data) == 0 {
		return passed
	}
	r.events++
	if isDone(data) {
		return terminator
	}
	ev := r.answer.read(data)
	if r.marks.now != nil {
		r.marks.note(r.answer.firstText())
	}
	switch {
	case ev.failed || string(name) == "error":
		if r.failed == nil {
			r.failed = streamError(data)
		}
	case ev.usageOnly && r.HideUsage:
		return hidden
	}
	return passed
}

// terminate is called when all before the terminator is written.
func (r *relay) terminate() error {
	if err := r.flush(); err != nil {
		return err
	}
	r.ended = true
	r.whole()
	return nil
}

// ending reports that the event just taken gives the last finish reason: many
// clients need no more to know that the answer is complete, and hang up.
func (r *relay) ending() bool {
	return r.Chat && r.BeforeDone != nil && !r.told && r.failed == nil && r.answer.finished()
}

// whole notes that the answer has ended, unless an error event came.
func (r *relay) whole() {
	if r.done != nil || r.failed != nil {
		return
	}
	r.done = r.result()
	r.tell(r.done)
}

// tell lets BeforeDone know, once.
func (r *relay) tell(done *Completion) {
	done.Whole = true
	if r.BeforeDone != nil && !r.told {
		r.told = true
		r.BeforeDone(done)
	}
}

// finish ends the answer after the reader has ended with err.
func (r *relay) finish(err error) error {
	if errors.Is(err, io.EOF) {
		if err := r.remainder(); err != nil {
			return err
		}
	}
	switch {
	case r.failed != nil:
		return &BrokenError{Err: r.failed, Told: true}
	case r.ended:
		return nil
	case errors.Is(err, io.EOF) && r.complete():
		r.whole()
		return nil
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return &BrokenError{Err: fmt.Errorf("reading the stream: %w", err)}
}

// complete reports that the stream may end here.
func (r *relay) complete() bool { return !r.Chat || r.answer.finished() }

// remainder deals with what stands behind the last empty line when the stream
// has ended without an error.
func (r *relay) remainder() error {
	block := r.e.buf[r.e.start:r.e.end]
	if len(block) == 0 {
		return nil
	}
	_, data := r.e.fields(block, false)
	half := len(data) > 0 && !isDone(data) && !json.Valid(data)
	if !half {
		switch r.take(block, false) {
		case hidden:
			return nil
		case terminator:
			if err := r.terminate(); err != nil {
				return err
			}
		}
	}
	if r.failed == nil && !r.ended && (!r.complete() || half && r.Chat) {
		return nil
	}
	if r.ending() {
		r.tell(r.result())
	}
	if err := r.write(block); err != nil {
		return err
	}
	return r.flush()
}

// result returns what is known so far.
func (r *relay) result() *Completion {
	done := r.done
	if done == nil {
		done = r.answer.completion()
	}
	done.Usage, done.Unread, done.Marks = r.answer.reported(), r.answer.unread, r.marks.list
	done.Events, done.Bytes = r.events, r.written
	return done
}
