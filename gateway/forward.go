package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"aigateway/backend"
	"aigateway/limit"
	"aigateway/openai"
	"aigateway/persist"
	"aigateway/router"
	"aigateway/telemetry"
)

const (
	// holdAnswer is how much of an answer that is not a stream is read before
	// any of it is sent on: within it an answer that breaks off can still be
	// asked of another endpoint.
	holdAnswer = 1 << 20
	// holdStream is how much of a stream is read ahead in search of its first
	// content. Azure's opening events are about 1 KiB.
	holdStream = 64 << 10
)

// answer is what an endpoint answered, its first part read and found good. It
// holds the endpoint's lease until it is closed.
type answer struct {
	lease   *router.Lease
	attempt *persist.Attempt
	grant   *limit.Grant // of the endpoint's limits; nil when it has none
	resp    *http.Response

	events *openai.Events // of a stream
	// body is what has been read of another answer; whole tells that nothing
	// follows it.
	body  []byte
	whole bool
	// hideUsage: the gateway asked for the usage event, the client did not.
	hideUsage bool

	// broke: it had begun, and broke off before any of it was sent.
	broke        bool
	lost         int64         // tokens of the prompt then
	holdMost     int           // how much of an answer that is not a stream is held before any is sent on
	latency      time.Duration // until the answer's first part
	writeTimeout time.Duration // of the configuration that the request began with
	result       router.Kind
}

// forward asks endpoints, in the order of the router's plan, until one
// answers well. The answer must be closed. req is the body as edited so far,
// nil when it is not JSON of OpenAI's format.
func (s *Server) forward(ctx context.Context, in *inbound, call *backend.Call, req *openai.Request, x *persist.Exchange) (*answer, error) {
	gate := gate{ctx: ctx, in: in}
	facts := router.Facts{Prefer: in.prefer, Among: in.among}
	if in.app.limits != nil {
		gate.price = in.app.price(x)
		facts.Admit = gate.admit
	}
	if wanted := call.Header["X-Gateway-Endpoint"]; wanted != nil && in.app.EndpointHeader {
		facts.Only = wanted[0]
	}
	plan := in.app.Router.Plan(facts)
	var last error
	for s.mayAsk(in, call, last) {
		lease := plan.Next()
		if lease == nil {
			break
		}
		a, err := s.attempt(ctx, in, call, req, lease, gate.granted, x)
		if err == nil {
			return a, nil
		}
		last = err
		if !elsewhere(err) {
			return nil, err
		}
	}
	var failed *backend.Error
	if last == nil || errors.As(last, &failed) && failed.Status == http.StatusTooManyRequests {
		if plan.Unknown() {
			return nil, &refusal{
				http.StatusBadRequest, codeInvalidPayload,
				"AI application " + in.app.AppID + " has no endpoint with the id in x-gateway-endpoint.", "",
			}
		}
		if gate.refused != nil {
			x.Limit = gate.refused.Limit
		}
		return nil, gate.busy(plan.Wait())
	}
	return nil, last
}

// mayAsk reports whether an endpoint may be asked after the last one failed:
// there is time left, and the body is still there.
func (s *Server) mayAsk(in *inbound, call *backend.Call, last error) bool {
	if last == nil {
		return true
	}
	if in.stream != nil && in.stream.n > 0 {
		return false // what has been streamed cannot be sent again
	}
	return call.Deadline.IsZero() || s.now().Before(call.Deadline)
}

// attempt makes one call to one endpoint.
func (s *Server) attempt(ctx context.Context, in *inbound, call *backend.Call, req *openai.Request, lease *router.Lease, grant *limit.Grant, x *persist.Exchange) (*answer, error) {
	ep := lease.Endpoint()
	x.Attempts = append(x.Attempts, persist.Attempt{Endpoint: ep.Index, ID: ep.ID, Start: s.now()})
	a := &answer{lease: lease, grant: grant, attempt: &x.Attempts[len(x.Attempts)-1], writeTimeout: in.app.writeTimeout, holdMost: holdAnswer}
	if in.wantsWhole {
		a.holdMost = keepAnswer
	}
	target := in.app.targets[ep.Index]
	if s.telemetry != nil {
		a.attempt.Host, a.attempt.Span = target.Host(), telemetry.NewSpan()
		if x.Trace != nil { // none of the gateway's own calls
			call.Traceparent = telemetry.Parent(x.Trace, a.attempt.Span)
		}
	}
	outcome := router.Outcome{Kind: router.Canceled}
	kept := false
	defer func() { // also when something panics
		if !kept {
			a.drop()
			lease.Done(outcome)
			u := openai.Usage{PromptTokens: a.lost}
			grant.Settle(a.lost, cost(in.app.price(x), &u))
		}
	}()

	body, err := a.dress(target, req, in)
	if err != nil {
		return nil, err
	}
	if body != nil {
		call.Body = body
	}
	a.resp, err = s.backend.Do( //nolint:bodyclose // answer.close closes it
		ctx, target, call)
	if err == nil {
		a.attempt.Status = a.resp.StatusCode
		a.attempt.Told = told(a.resp.Header)
		err = a.inspect(in, req)
	}
	a.latency = s.now().Sub(a.attempt.Start)
	if err == nil {
		a.attempt.FirstByte = a.latency
		lease.Answered()
		kept = true
		return a, nil
	}
	a.attempt.Duration = a.latency
	outcome = a.blame(err)
	if a.broke && req != nil && counted(in.operation) {
		a.lost = int64(in.app.counts(req, x).Prompt(in.operation, req.Bytes())) // it had begun to answer
		in.lost += a.lost
	}
	if a.attempt.Fault == string(backend.Canceled) {
		a.lost = in.reserved.prompt // as the request's limits are told: see charged
	}
	in.app.takeBackSearchKey(err)
	if a.attempt.Fault == string(backend.Timeout) && len(x.Attempts) > 1 && !s.mayAsk(in, call, err) {
		outcome.Kind = router.Canceled // others had spent the time
	}
	return nil, err
}

// dress returns the body as this endpoint wants it, or nil to leave it.
func (a *answer) dress(target *backend.Target, req *openai.Request, in *inbound) ([]byte, error) {
	model := target.Model()
	if req == nil {
		return in.formFor(model)
	}
	if model == req.Model {
		model = ""
	}
	ask := req.Stream && !req.WantsUsage && target.AskUsage() && (in.operation == opChat || in.operation == opCompletions)
	a.hideUsage = ask
	if model == "" && !ask {
		return req.Bytes(), nil
	}
	dressed := req.Clone()
	if model != "" {
		if err := dressed.Set("model", model); err != nil {
			return nil, err
		}
	}
	if ask {
		if err := dressed.AskUsage(); err != nil {
			return nil, err
		}
	}
	return dressed.Bytes(), nil
}

// inspect reads the first part of an answer and refuses what is none.
func (a *answer) inspect(in *inbound, req *openai.Request) error {
	kind := mediaType(a.resp.Header.Get("Content-Type"))
	if kind == "text/event-stream" {
		a.events = openai.NewEvents(a.resp.Body)
		if err := a.events.Peek(holdStream); err != nil {
			var told *openai.StreamError
			a.broke = a.events.Begun() && !errors.As(err, &told)
			return streamError(err)
		}
		backend.Begun(a.resp.Body)
		return nil
	}
	if kind == "text/html" {
		return errNotJSON
	}
	known := in.operation == opChat || in.operation == opCompletions || in.operation == opEmbeddings
	if !known && kind != "" && !strings.Contains(kind, "json") {
		return nil // speech, an image, a transcript: passed on as it comes
	}
	if err := a.hold(); err != nil {
		a.broke = len(a.body) > 0
		return err
	}
	if req != nil && a.resp.StatusCode != http.StatusNoContent && !openai.LooksLikeJSONObject(a.body) {
		return errNotJSON
	}
	// An answer that only the connection's end ends may be half of one.
	if a.whole && a.resp.ContentLength < 0 && a.resp.TransferEncoding == nil && !json.Valid(a.body) {
		return errNotJSON
	}
	return nil
}

// errNotJSON: an answer that no client of the API could read, such as a
// proxy's page. It counts as the endpoint's failure.
var errNotJSON = &backend.Error{Fault: backend.Protocol, Err: errors.New("the answer is not JSON")}

// hold reads the answer, up to holdMost bytes of it.
func (a *answer) hold() error {
	size := a.resp.ContentLength
	if size < 0 {
		size = 8 << 10
	}
	a.body = make([]byte, 0, min(size, holdAnswer)+1)
	for len(a.body) < a.holdMost {
		if len(a.body) == cap(a.body) {
			a.body = append(a.body, 0)[:len(a.body)]
		}
		n, err := a.resp.Body.Read(a.body[len(a.body):min(cap(a.body), a.holdMost)])
		a.body = a.body[:len(a.body)+n]
		if err == io.EOF {
			a.whole = true
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// streamError gives a stream that failed the form of a call that failed.
func streamError(err error) error {
	var failed *backend.Error
	var said *openai.StreamError
	switch {
	case errors.As(err, &failed):
		return err
	case errors.As(err, &said):
		e := &backend.Error{Status: said.Status, Body: said.Body, Header: http.Header{"Content-Type": {"application/json"}}}
		if e.Status == http.StatusTooManyRequests {
			e.RetryAfter = backend.RetryAfter(nil, time.Time{})
		}
		return e
	}
	return &backend.Error{Fault: backend.Protocol, Err: err}
}

// blame notes an attempt that failed and says what its endpoint is charged
// with.
func (a *answer) blame(err error) router.Outcome {
	var failed *backend.Error
	if !errors.As(err, &failed) {
		return router.Outcome{Kind: router.Canceled}
	}
	a.attempt.Fault = string(failed.Fault)
	if failed.Status != 0 {
		a.attempt.Status = failed.Status
		a.attempt.Told = told(failed.Header)
	}
	switch status := failed.Status; {
	case failed.Fault == backend.Canceled, failed.Fault == backend.Upload:
		a.attempt.Fault = string(backend.Canceled) // either way the client's doing
		return router.Outcome{Kind: router.Canceled}
	case failed.Fault != "", status >= 500, status < 400,
		status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusRequestTimeout:
		return router.Outcome{Kind: router.Failed, Latency: a.latency}
	case status == http.StatusTooManyRequests:
		return router.Outcome{Kind: router.Throttled, RetryAfter: failed.RetryAfter, Latency: a.latency}
	}
	return router.Outcome{Kind: router.Neutral, Latency: a.latency}
}

// elsewhere reports whether another endpoint may be asked after err: contract
// section 6.
func elsewhere(err error) bool {
	var failed *backend.Error
	if !errors.As(err, &failed) {
		return false
	}
	switch status := failed.Status; {
	case failed.Fault == backend.Canceled, failed.Fault == backend.Upload:
		return false
	case failed.Fault != "", status >= 500, status < 400:
		return true
	default:
		return status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusNotFound ||
			status == http.StatusRequestTimeout || status == http.StatusTooManyRequests
	}
}

// close ends the answer: the endpoint learns how it went, exactly once.
func (a *answer) close(now time.Time, tokens, cost int64) {
	a.drop()
	a.grant.Settle(tokens, cost)
	a.attempt.Duration = now.Sub(a.attempt.Start)
	a.lease.Done(router.Outcome{Kind: a.result, Latency: a.latency})
}

// drop gives up what was not read of the answer.
func (a *answer) drop() {
	if a.resp != nil {
		a.resp.Body.Close()
	}
	if a.events != nil {
		a.events.Release()
	}
}

// told reads what an endpoint's header says of the service behind it.
func told(h http.Header) persist.Told {
	first := func(names ...string) string {
		for _, name := range names {
			if v := h[name]; len(v) > 0 && v[0] != "" {
				return shown(v[0], 128)
			}
		}
		return ""
	}
	return persist.Told{
		Region: first("X-Ms-Region"), RequestID: first("Apim-Request-Id", "X-Request-Id"),
		RemainingRequests: first("X-Ratelimit-Remaining-Requests"), RemainingTokens: first("X-Ratelimit-Remaining-Tokens"),
		Took: first("Openai-Processing-Ms", "X-Envoy-Upstream-Service-Time"),
	}
}
