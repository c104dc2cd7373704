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
	"aigateway/openai"
	"aigateway/persist"
	"aigateway/router"
)

// relay sends an endpoint's answer to the client. chat tells answers of chat
// completions and completions, whose end can be told from their events.
func (s *Server) relay(c *gin.Context, a *answer, chat bool, x *persist.Exchange) error {
	if a.events == nil && c.Writer.Written() { // keep-alive comments have begun a stream
		a.result = router.Served
		return &brokenAnswer{err: errNotJSON}
	}
	h := c.Writer.Header()
	a.copyHeader(h, x)
	x.Status = a.resp.StatusCode
	deadline := s.writeDeadline(c, a.writeTimeout)
	if a.events != nil {
		return s.relayEvents(c, a, chat, deadline, x)
	}

	if a.whole {
		completion, err := openai.ParseCompletion(a.body, 0)
		if err == nil {
			x.Usage, x.FinishReason = completion.Usage, completion.FinishReason
		}
		h["Content-Length"] = []string{strconv.Itoa(len(a.body))}
	} else if n := a.resp.ContentLength; n >= 0 {
		h["Content-Length"] = []string{strconv.FormatInt(n, 10)}
	}
	deadline()
	c.Writer.WriteHeader(a.resp.StatusCode)
	_, err := c.Writer.Write(a.body)
	x.FirstByte = s.now().Sub(x.Start)
	if err == nil && !a.whole {
		err = s.relayRest(c, a, deadline, x)
	}
	return s.judgeRelay(c, a, err, x)
}

// relayEvents sends a stream, event by event.
func (s *Server) relayEvents(c *gin.Context, a *answer, chat bool, deadline func(), x *persist.Exchange) error {
	h := c.Writer.Header()
	h["Cache-Control"] = []string{"no-cache"}
	h["X-Accel-Buffering"] = []string{"no"} // nginx in front would hold events back
	if !c.Writer.Written() {
		c.Writer.WriteHeader(a.resp.StatusCode)
	}
	x.FirstByte = s.now().Sub(x.Start)
	said, err := openai.Relay(c.Writer, a.events, openai.Options{
		HideUsage: a.hideUsage, Chat: chat, BeforeWrite: deadline,
	})
	if said != nil {
		x.Usage, x.FinishReason, x.BytesOut = said.Usage, said.FinishReason, said.Bytes
	}
	return s.judgeRelay(c, a, err, x)
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
func (s *Server) judgeRelay(c *gin.Context, a *answer, err error, x *persist.Exchange) error {
	if x.BytesOut == 0 {
		x.BytesOut = int64(max(c.Writer.Size(), 0))
	}
	var broken *openai.BrokenError
	switch {
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
func (s *Server) close(a *answer) { a.close(s.now()) }

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
