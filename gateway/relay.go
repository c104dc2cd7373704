package gateway

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"aigateway/backend"
	"aigateway/cache"
	"aigateway/memory"
	"aigateway/openai"
	"aigateway/persist"
	"aigateway/router"
)

// keepAnswer is the most of an answer's text that is kept to be stored, in
// bytes. A model's longest answer of today is half a megabyte.
const keepAnswer = 8 << 20

// after is what is done with an answer beside sending it.
type after struct {
	// chat tells answers of chat completions and completions, whose end can be
	// told from their events.
	chat   bool
	req    *openai.Request // as it was sent; nil when it was no JSON
	thread *memory.Thread
	miss   *cache.Miss
}

// keep is how much of the answer's text must be kept for that, and for telling
// what it used when the endpoint does not.
func (f *after) keep(in *inbound, stream bool) int {
	if stream && counted(in.operation) || f.chat && (f.thread != nil || f.miss.Storable() || in.keepsAnswer()) {
		return keepAnswer
	}
	return 0
}

// relay sends an endpoint's answer to the client.
func (s *Server) relay(c *gin.Context, in *inbound, a *answer, f *after, x *persist.Exchange) error {
	if a.events == nil && c.Writer.Written() { // keep-alive comments have begun a stream
		a.result = router.Served
		return &brokenAnswer{err: errNotJSON}
	}
	h := c.Writer.Header()
	a.copyHeader(h, x)
	x.Status = a.resp.StatusCode
	deadline := s.writeDeadline(c, a.writeTimeout)
	if a.events != nil {
		return s.relayEvents(c, in, a, f, deadline, x)
	}

	var done *openai.Completion
	if a.whole {
		var err error
		if done, err = openai.ParseCompletion(a.body, f.keep(in, false)); err == nil {
			x.Usage, x.FinishReason, x.Answered = done.Usage, done.FinishReason, done.Model
			describeAnswer(x.Trace, done)
		}
		in.sayConsumed(c, x)
		in.keepAnswer(a.body)
		h["Content-Length"] = []string{strconv.Itoa(len(a.body))}
	} else if n := a.resp.ContentLength; n >= 0 {
		h["Content-Length"] = []string{strconv.FormatInt(n, 10)}
	}
	s.rememberWhole(c, f.thread, done, a, x)
	if a.whole && x.Usage.Reported { // then it is settled when the client has it
		s.account(in, x)
	}
	in.grant.Release()
	a.grant.Release()
	deadline()
	c.Writer.WriteHeader(a.resp.StatusCode)
	_, err := c.Writer.Write(a.body)
	s.firstByte(x)
	if err == nil && !a.whole {
		err = s.relayRest(c, a, deadline, x)
	}
	left := in.departure.gone()
	if done != nil {
		in.app.Cache.Store(f.miss, x.RequestID, done, a.body, nil)
	}
	c.Writer.Flush() // the client need not wait for what follows
	if !in.accounted && !x.Usage.Reported && counted(in.operation) {
		if a.whole && in.operation != opEmbeddings {
			done, _ = openai.ParseCompletion(a.body, keepAnswer)
		}
		s.estimate(in, f.req, done, x)
	}
	return s.judgeRelay(c, left, a, err, x)
}

// relayEvents sends a stream, event by event.
func (s *Server) relayEvents(c *gin.Context, in *inbound, a *answer, f *after, deadline func(), x *persist.Exchange) error {
	h := c.Writer.Header()
	h["Cache-Control"] = []string{"no-cache"}
	h["X-Accel-Buffering"] = []string{"no"} // nginx in front would hold events back
	if !c.Writer.Written() {
		sayThread(c, f.thread)
		c.Writer.WriteHeader(a.resp.StatusCode)
	}
	s.firstByte(x)
	o := openai.Options{HideUsage: a.hideUsage, Chat: f.chat, BeforeWrite: deadline, Keep: f.keep(in, true)}
	if f.miss.Storable() {
		o.Now = s.now
	}
	o.BeforeDone = func(done *openai.Completion) {
		if f.thread != nil {
			s.rememberStream(c, f.thread, done, x)
		}
		in.departure.answered()
		in.grant.Release()
		a.grant.Release()
	}
	said, err := openai.Relay(in.departure.client(c.Writer), a.events, o)
	left := in.departure.gone()
	x.Usage, x.FinishReason, x.BytesOut, x.Answered = said.Usage, said.FinishReason, said.Bytes, said.Model
	if x.Trace != nil {
		x.Trace.Chunks = said.Events
		describeAnswer(x.Trace, said)
	}
	if !x.Usage.Reported {
		s.estimate(in, f.req, said, x)
	}
	in.keepCompletion(said)
	if err == nil && f.miss.Storable() {
		in.app.Cache.Store(f.miss, x.RequestID, said, said.JSON(in.operation), openai.EncodeMarks(said.Marks))
	}
	return s.judgeRelay(c, left, a, err, x)
}

// relayRest sends what follows the held part of a long answer, as it comes.
func (s *Server) relayRest(c *gin.Context, a *answer, deadline func(), x *persist.Exchange) error {
	tail := make([]byte, 0, 2*usageTail)
	buf := make([]byte, 32<<10)
	for {
		n, err := a.resp.Body.Read(buf)
		if n > 0 {
			deadline()
			if _, err := c.Writer.Write(buf[:n]); err != nil {
				return &openai.ClientError{Err: err}
			}
			c.Writer.Flush()
			tail = keepTail(tail, buf[:n])
		}
		if err == io.EOF {
			x.Usage = openai.TailUsage(tail)
			return nil
		}
		if err != nil {
			return &openai.BrokenError{Err: err}
		}
	}
}

// usageTail is how much of a long answer's end is searched for its usage,
// which stands behind everything else.
const usageTail = 4 << 10

// keepTail keeps the last usageTail bytes of what goes by.
func keepTail(tail, next []byte) []byte {
	if len(next) >= usageTail {
		return append(tail[:0], next[len(next)-usageTail:]...)
	}
	if over := len(tail) + len(next) - 2*usageTail; over > 0 {
		tail = append(tail[:0], tail[len(tail)-usageTail:]...)
	}
	return append(tail, next...)
}

// judgeRelay says how an answer ended: well, by the client, or by the
// endpoint.
func (s *Server) judgeRelay(c *gin.Context, left bool, a *answer, err error, x *persist.Exchange) error {
	if x.BytesOut == 0 {
		x.BytesOut = int64(max(c.Writer.Size(), 0))
	}
	var broken *openai.BrokenError
	switch {
	case err == nil && left:
		a.result = router.Served
		x.Aborted = true
		return &brokenAnswer{told: true, err: errClientGone}
	case err == nil:
		a.result = router.Served
		return nil
	case errors.As(err, &broken) && !gone(c):
		a.result = router.Failed
		a.attempt.Fault = string(backend.Reset)
		x.Cut = true
		return &brokenAnswer{told: broken.Told, err: streamError(broken.Err)}
	default:
		a.result = router.Canceled
		a.attempt.Fault = string(backend.Canceled)
		if stopping(c) {
			x.Cut = true
			return &brokenAnswer{err: errDraining}
		}
		x.Aborted = true
		return &brokenAnswer{told: true, err: errClientGone}
	}
}

// close ends an answer.
func (s *Server) close(in *inbound, a *answer, x *persist.Exchange) {
	s.account(in, x) // which knows the cost
	tokens, price := in.charged(x)
	if in.lost > 0 { // at other endpoints, which have been told
		tokens -= in.lost
		price -= cost(in.app.price(x), &openai.Usage{PromptTokens: in.lost})
	}
	a.close(s.now(), tokens, price)
}

// writeDeadline returns what must be called before each write, so that a
// client that does not read is not waited for. The deadline is moved only when
// a quarter of the budget is gone: a stalled client is given up after between
// 1 and 1.25 times the budget.
func (s *Server) writeDeadline(c *gin.Context, budget time.Duration) func() {
	if budget <= 0 {
		return func() {}
	}
	control := http.NewResponseController(c.Writer)
	var until time.Time
	return func() {
		now := s.now()
		if until.Sub(now) > budget {
			return
		}
		until = now.Add(budget + budget/4)
		control.SetWriteDeadline(until) // an error means a connection without deadlines: a test's recorder
	}
}

// passed lists the endpoint's headers that a client can use; those that begin
// with passedPrefix are passed too.
var passed = map[string]bool{
	"Content-Type": true, "Content-Disposition": true, "Content-Language": true, "Content-Encoding": true,
	"X-Ms-Region": true, "Apim-Request-Id": true, "Azureml-Model-Session": true,
	"Openai-Processing-Ms": true, "Openai-Version": true, "Openai-Model": true,
	"X-Ms-Client-Request-Id": true, "X-Ms-Deployment-Name": true, "X-Ms-Rai-Invoked": true,
	"X-Metered-Usage": true, "Request-Id": true,
}

const passedPrefix = "X-Ratelimit-"

// copyHeader copies what the client can use of the endpoint's header, and says
// which endpoint it was.
func (a *answer) copyHeader(h http.Header, x *persist.Exchange) {
	copyUseful(h, a.resp.Header)
	if h["Content-Type"] == nil {
		h["Content-Type"] = []string{"application/json"}
	}
	sayWho(h, x)
}

// copyUseful copies what a client can use of an endpoint's header.
func copyUseful(h, from http.Header) {
	for name, values := range from {
		if passed[name] || strings.HasPrefix(name, passedPrefix) {
			h[name] = values
		}
	}
}

// sayWho tells which endpoint was asked last, and how many were.
func sayWho(h http.Header, x *persist.Exchange) {
	if n := len(x.Attempts); n > 0 {
		h["X-Gateway-Endpoint"] = []string{x.Attempts[n-1].ID}
		h["X-Gateway-Attempts"] = []string{strconv.Itoa(n)}
	}
}
