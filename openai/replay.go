package openai

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// ReplayOptions say how a stored answer is replayed. The zero value writes it
// as it is stored.
type ReplayOptions struct {
	Stream       bool // as events, not as one object
	IncludeUsage bool // the client asked for stream_options.include_usage

	// Speed is the factor by which a stream is quicker than Marks: 1 is their
	// pace, 2 half the time. At 0 or below all is written at once.
	Speed float64
	// Marks are the pace of choice 0's text, and where it is split. Without
	// any it comes in pieces of Chunk bytes, 25 in a second, or in larger ones
	// where it would take more than 10 seconds.
	Marks []Mark
	Chunk int // 0 stands for 16: 400 bytes, about 100 tokens, in a second
	// MaxPause bounds each pause, at Speed; 0 stands for 2 seconds.
	MaxPause time.Duration

	// Wait waits, and fails when ctx is done; nil stands for a timer.
	Wait func(ctx context.Context, pause time.Duration) error
	// BeforeWrite, if not nil, is called before each write.
	BeforeWrite func()
	// BeforeDone, if not nil, is called once, before the client can know that
	// the answer is complete.
	BeforeDone func()
}

// maxPiece is the most text, in bytes, that one event brings. Escaped it is
// six times as long at most, and so fits in MaxEvent and in the 64 KiB lines
// of which some clients read no longer ones.
const maxPiece = 8 << 10

var (
	errNoChoices = errors.New("it has no choices")
	errNotText   = errors.New("it has parts that are not text")
)

// Replay writes a stored answer to the client: a chat.completion or
// text_completion object, from Completion.JSON or as an endpoint sent it.
// Content-Type (application/json, or text/event-stream with Stream) and what
// keeps proxies from holding events back are the caller's to set.
//
// As events it has the shape that OpenAI documents and its clients read: the
// role of each choice, the text and finish reason of one choice after the
// other, usage when it is asked for and known, [DONE]. At a Speed, choice 0's text is paced and flushed piece by
// piece, and the other choices follow it; else all is one write, which the
// handler's end sends on its way.
//
// An error that is no *ClientError says that answer cannot be replayed, such
// as one with tool calls as a stream; then nothing has been written.
func Replay(ctx context.Context, w http.ResponseWriter, answer []byte, o ReplayOptions) error {
	out := outletTo(w, o.BeforeWrite)
	if !o.Stream {
		if o.BeforeDone != nil {
			o.BeforeDone()
		}
		w.Header()["Content-Length"] = []string{strconv.Itoa(len(answer))}
		return out.write(answer)
	}
	r := replay{ReplayOptions: o, outlet: out}
	if err := r.open(answer); err != nil {
		return fmt.Errorf("replaying a stored answer: %w", err)
	}
	return r.run(ctx)
}

// replay is one stored answer on its way as a stream.
type replay struct {
	ReplayOptions
	outlet

	said  *Completion
	chat  bool
	usage []byte // the object to be sent; nil for none
	head  []byte // of each event, up to its choices
	tail  string // of each event, behind its choices
	buf   []byte // what is to be written next
	owed  time.Duration
}

// open reads the answer.
func (r *replay) open(answer []byte) (err error) {
	if r.said, err = ParseCompletion(answer, len(answer)); err != nil {
		return err
	}
	if len(r.said.Choices) == 0 {
		return errNoChoices
	}
	for i := range r.said.Choices {
		if ch := &r.said.Choices[i]; ch.Other || len(ch.ToolCalls) > 0 {
			return errNotText
		}
	}
	object, ok := stringOf(memberOf(answer, "object"))
	r.chat = !ok || string(object) != objectText
	r.tail = "]}\n\n"
	if r.IncludeUsage {
		r.tail = `],"usage":null}` + "\n\n"
		if err := r.readUsage(memberOf(answer, "usage")); err != nil {
			return err
		}
	}
	name := objectText
	if r.chat {
		name = objectChatChunk
	}
	head := append(make([]byte, 0, 256), "data: {"...)
	r.head = append(r.said.appendHead(head, name), `,"choices":[`...)
	return nil
}

// readUsage takes the usage object with all that the endpoint reported, on one
// line: a line end would end the event.
func (r *replay) readUsage(raw []byte) error {
	if len(raw) == 0 || raw[0] != '{' {
		return nil
	}
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return fmt.Errorf("reading its usage: %w", err)
	}
	r.usage = b.Bytes()
	return nil
}

func (r *replay) run(ctx context.Context) error {
	paced := r.Speed > 0
	r.buf = make([]byte, 0, r.room(paced))
	choices := r.said.Choices
	if r.chat {
		for i := range choices {
			r.role(&choices[i])
		}
	}
	for i := range choices {
		ch := &choices[i]
		if paced && ch.Index == 0 {
			if err := r.pace(ctx, ch); err != nil {
				return err
			}
		} else {
			r.text(ch, "content", ch.Text)
		}
		if r.chat {
			r.text(ch, "refusal", ch.Refusal)
		}
		if i == len(choices)-1 { // many clients need no more than the last finish reason
			if err := r.whole(paced); err != nil {
				return err
			}
		}
		r.finish(ch)
	}
	if r.usage != nil {
		r.buf = append(r.buf, r.head...)
		r.buf = append(append(r.buf, `],"usage":`...), r.usage...)
		r.buf = append(r.buf, "}\n\n"...)
	}
	r.buf = append(r.buf, "data: [DONE]\n\n"...)
	if paced {
		return r.send()
	}
	return r.write(r.buf)
}

// whole lets BeforeDone know, when all that comes before is on its way.
func (r *replay) whole(paced bool) error {
	if paced {
		if err := r.send(); err != nil {
			return err
		}
	}
	if r.BeforeDone != nil {
		r.BeforeDone()
	}
	return nil
}

// room is about how much is written at once.
func (r *replay) room(paced bool) int {
	each := len(r.head) + 128
	if paced {
		return 4 * each
	}
	n := (3*len(r.said.Choices) + 2) * each
	for i := range r.said.Choices {
		ch := &r.said.Choices[i]
		n += (len(ch.Text)+len(ch.Refusal))*17/16 + (len(ch.Text)+len(ch.Refusal))/maxPiece*each
	}
	return n
}

// send writes what has gathered, and flushes.
func (r *replay) send() error {
	if err := r.write(r.buf); err != nil {
		return err
	}
	r.buf = r.buf[:0]
	return r.flush()
}

// role appends the event that says who is speaking.
func (r *replay) role(ch *Choice) {
	r.begin(ch)
	r.buf = append(r.buf, `"delta":{"role":`...)
	r.buf = appendQuoted(r.buf, orAssistant(ch.Role))
	r.buf = append(r.buf, `,"content":""}`...)
	r.end("")
}

// text appends events that bring text, as the named member of a delta.
func (r *replay) text(ch *Choice, member, text string) {
	for text != "" {
		n := boundary(text, maxPiece)
		r.begin(ch)
		if r.chat {
			r.buf = append(append(r.buf, `"delta":{"`...), member...)
			r.buf = append(r.buf, `":`...)
			r.buf = append(appendQuoted(r.buf, text[:n]), '}')
		} else {
			r.buf = appendQuoted(append(r.buf, `"text":`...), text[:n])
		}
		r.end("")
		text = text[n:]
	}
}

// finish appends the event that ends a choice.
func (r *replay) finish(ch *Choice) {
	r.begin(ch)
	if r.chat {
		r.buf = append(r.buf, `"delta":{}`...)
	} else {
		r.buf = append(r.buf, `"text":""`...)
	}
	r.end(ch.FinishReason)
}

// begin appends an event up to what its choice says.
func (r *replay) begin(ch *Choice) {
	r.buf = append(append(r.buf, r.head...), `{"index":`...)
	r.buf = append(strconv.AppendInt(r.buf, int64(ch.Index), 10), ',')
}

// end appends the rest of the event.
func (r *replay) end(reason string) {
	r.buf = append(appendFinish(r.buf, reason), '}')
	r.buf = append(r.buf, r.tail...)
}
