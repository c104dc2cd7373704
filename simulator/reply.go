package simulator

import (
	"bytes"
	"net/http"
	"slices"
	"strconv"
	"unicode/utf8"
)

const (
	kindJSON   = "application/json"
	kindStream = "text/event-stream; charset=utf-8"
	kindHTML   = "text/html; charset=utf-8"
	kindText   = "text/plain; charset=utf-8"
)

// reply is one answer, built whole before the first byte leaves, so that faults can work on its events.
type reply struct {
	status int
	kind   string   // content type
	header []string // name, value, name, value…
	body   []byte   // a whole answer, or the events of a stream one after another
	events []event  // of a stream, in order; nil for a whole answer
	failed bool     // an error: the faults that spoil answers leave it alone
	bill   *bill    // what a model's answer costs; nil for what is not billed by tokens
	said   int      // of a stream being built: how many bytes of the bill's texts are in it
}

// event is the part of a reply's body that ends at end and begins where the one before ends.
type event struct {
	end  int
	said int // how many bytes of the bill's texts have been sent with it
	kind eventKind
}

type eventKind uint8

const (
	eventOther   eventKind = iota // role, filter results, usage
	eventContent                  // a piece of the answer
	eventFinish                   // carries the finish reason
	eventDone                     // data: [DONE]
)

func (a *reply) stream() bool { return a.events != nil }

// mark ends an event where the body ends now.
func (a *reply) mark(kind eventKind) { a.events = append(a.events, event{len(a.body), a.said, kind}) }

// owing is a with what it costs.
func (a reply) owing(b *bill) reply {
	a.bill = b
	return a
}

// ok is a whole JSON answer.
func ok(body []byte) reply { return reply{status: http.StatusOK, kind: kindJSON, body: body} }

// each calls f with every event and its bytes.
func (a *reply) each(f func(bytes []byte, e event)) {
	start := 0
	for _, e := range a.events {
		f(a.body[start:e.end], e)
		start = e.end
	}
}

// deliver sends the answer, spoilt as the plan says, and notes what of it is to be billed.
func (c *call) deliver(a reply) {
	p := &c.plan
	if !a.failed {
		a = p.spoil(a)
	}
	if a.status/100 == 2 {
		c.bill = a.bill
	}
	c.streamed, c.ended = a.stream(), EndedCanceled // until it ends otherwise
	if !a.failed && !a.stream() && (p.stall >= 0 || c.r.Context().Err() != nil) {
		c.begun = true // and nothing generated when the client left
		if p.stall >= 0 {
			c.hang()
		}
		return
	}
	c.status = a.status
	c.headers(&a)
	if a.stream() {
		c.deliverEvents(a)
		return
	}
	// net/http then sets no chunked encoding, and breaks the connection when fewer bytes follow.
	c.w.Header()["Content-Length"] = []string{strconv.Itoa(len(a.body))}
	c.w.WriteHeader(a.status)
	c.begun, c.said = len(a.body) > 0 && p.cut != 0, allSaid
	switch {
	case a.failed:
		c.write(a.body)
	case p.truncate:
		c.write(a.body[:len(a.body)/2])
		c.flush()
		c.abort()
	case p.cut >= 0:
		c.write(a.body[:min(p.cut, len(a.body)/2)])
		c.flush()
		c.abort()
	case p.hang >= 0:
		c.write(a.body[:len(a.body)/2])
		c.flush()
		c.hang()
	default:
		c.writeWhole(a.body)
		if !c.gone {
			c.ended = EndedWhole
		}
	}
}

// spoil applies the faults that change the answer itself.
func (p *plan) spoil(a reply) reply {
	if p.status != 0 {
		a.status = p.status
	}
	switch {
	case p.html:
		page := "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n"
		return reply{status: a.status, kind: kindHTML, body: []byte(page)}
	case p.empty:
		a.body, a.events, a.bill = nil, a.events[:0], nil
		return a
	case p.garbage:
		return a.garbled()
	case p.object && a.stream():
		b := reply{status: a.status, kind: a.kind, header: a.header}
		b.body = append(b.body, "data: {}\n\n"...)
		b.mark(eventContent)
		b.body = append(b.body, done...)
		b.mark(eventDone)
		a = b
	case p.object:
		a.body, a.bill = []byte("{}"), nil
	case p.errorEvent >= 0 && !a.stream():
		a.body, a.bill = []byte(errorObject), nil
	case p.errorEvent >= 0:
		a = a.brokenOff(p.errorEvent)
	}
	if a.stream() {
		a = p.respell(a)
	}
	return a
}

// garbled replaces the answer by bytes that are neither JSON nor UTF-8, one piece for each event.
func (a reply) garbled() reply {
	const noise = "\x00\xff\xfe{\"choices\":[{\"delta\":\x80\xc3\x28]]}} <<garbage>> \xf0\x9f"
	if !a.stream() {
		a.body, a.bill = []byte(noise), nil
		return a
	}
	b := reply{status: a.status, kind: a.kind, header: a.header}
	for range a.events {
		b.body = append(b.body, "data: "+noise+"\n\n"...)
		b.mark(eventContent)
	}
	return b
}

// brokenOff ends a stream with an error event: first of all, or after n content events.
func (a reply) brokenOff(n int) reply {
	b := reply{status: a.status, kind: a.kind, header: a.header, events: []event{}}
	if n > 0 {
		b.bill = a.bill
	}
	count := 0
	a.each(func(bytes []byte, e event) {
		if n > 0 && count < n {
			b.body, b.said = append(b.body, bytes...), e.said
			b.mark(e.kind)
		}
		if e.kind == eventContent {
			count++
		}
	})
	b.body = append(b.body, "data: "+errorObject+"\n\n"...)
	b.mark(eventOther)
	return b
}

// respell leaves out events and changes line ends and writes.
func (p *plan) respell(a reply) reply {
	if p.noDone || p.noFinish || p.crlf {
		b := reply{status: a.status, kind: a.kind, header: a.header, events: []event{}, bill: a.bill}
		a.each(func(raw []byte, e event) {
			if e.kind == eventDone && p.noDone || e.kind == eventFinish && p.noFinish {
				return
			}
			if p.crlf {
				raw = bytes.ReplaceAll(raw, []byte("\n"), []byte("\r\n"))
			}
			b.body, b.said = append(b.body, raw...), e.said
			b.mark(e.kind)
		})
		a = b
	}
	if p.oneChunk && len(a.events) > 0 {
		a.events = []event{{len(a.body), a.events[len(a.events)-1].said, eventContent}}
	}
	return a
}

// deliverEvents writes and flushes a stream event by event.
func (c *call) deliverEvents(a reply) {
	p := &c.plan
	if p.truncate {
		c.w.Header()["Content-Length"] = []string{strconv.Itoa(len(a.body))}
		a.events = slices.Clone(a.events[:len(a.events)/2])
	}
	c.w.WriteHeader(a.status)
	ctx := c.r.Context()
	start, spoken := 0, 0 // spoken counts the content events sent
	for i, e := range a.events {
		switch {
		case spoken == p.stall && e.kind != eventOther:
			c.flush()
			c.hang()
			return
		case i == p.cut:
			c.flush()
			c.abort()
		case i == p.hang:
			c.flush()
			c.hang()
			return
		case i > 0 && p.cadence > 0:
			if !c.wait(p.cadence) {
				return
			}
		case ctx.Err() != nil:
			return
		}
		c.writeWhole(a.body[start:e.end])
		c.flush()
		if c.gone {
			return
		}
		c.begun, c.said, start = true, e.said, e.end
		if e.kind == eventContent {
			spoken++
		}
	}
	switch {
	case p.cut >= 0 || p.truncate:
		c.flush()
		c.abort()
	case p.hang >= 0 || spoken == p.stall:
		c.flush()
		c.hang()
	case p.errorEvent >= 0:
		c.ended = EndedBroken
	default:
		c.ended = EndedWhole
		if len(a.events) == 0 {
			c.flush()
		}
	}
}

func (c *call) write(b []byte) {
	if _, err := c.w.Write(b); err != nil {
		c.gone = true
	}
}

func (c *call) flush() {
	if f, ok := c.w.(http.Flusher); ok {
		f.Flush()
	}
}

// writeWhole writes b, in one piece or in two.
func (c *call) writeWhole(b []byte) {
	if c.plan.split {
		c.writeSplit(b)
		return
	}
	c.write(b)
}

// writeSplit writes b in two, cut inside its first character of several bytes, else in half.
func (c *call) writeSplit(b []byte) {
	at := slices.IndexFunc(b, func(x byte) bool { return x >= utf8.RuneSelf }) + 1
	if at == 0 {
		at = len(b) / 2
	}
	c.write(b[:at])
	c.flush()
	c.write(b[at:])
}
