package gateway

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"aigateway/backend"
	"aigateway/openai"
	"aigateway/persist"
)

// byPath answers a call whose application is named in the path.
func (s *Server) byPath(c *gin.Context) {
	s.infer(c, func(snap *Snapshot, in *inbound) error {
		in.app = snap.App(c.Param("app"))
		in.operation = strings.Trim(c.Param("operation"), "/")
		return nil
	})
}

// byModel answers a call whose application is named by the body's model, as
// OpenAI's SDKs do it.
func (s *Server) byModel(c *gin.Context) {
	s.infer(c, func(snap *Snapshot, in *inbound) error {
		in.operation = strings.Trim(c.Param("operation"), "/")
		if err := in.read(c, snap.maxBody, true); err != nil {
			return err
		}
		model, err := in.model()
		if err != nil {
			return err
		}
		in.app = snap.App(model)
		in.byModel = true
		return nil
	})
}

// infer answers one inference call: who asks, of what, and may they; then the
// application's kind decides who answers.
func (s *Server) infer(c *gin.Context, name func(*Snapshot, *inbound) error) {
	snap := s.live.Load() // one configuration for the whole request
	in := &inbound{}
	x := &persist.Exchange{RequestID: c.Writer.Header()["X-Request-Id"][0], Start: s.now(), Operation: "other"}
	if x.Trace = s.telemetry.Begin(c.Request.Header); x.Trace != nil {
		x.Trace.Method, x.Trace.Route = c.Request.Method, c.FullPath()
	}
	s.metrics.Begin()
	defer s.settle(c, in, x)

	err := s.identify(c, snap, in, x, name)
	if err == nil {
		switch {
		case !in.app.AppType.Inference():
			err = s.service(c, in, x)
		case in.form():
			err = s.passthrough(c, in, x)
		default:
			err = s.complete(c, in, x)
		}
	}
	if err == nil {
		return
	}
	if gone(c) && !stopping(c) {
		x.Aborted = true
	}
	if isBegun(err) { // its status has been sent
		if x.Status == 0 { // with a keep-alive comment
			x.Status, x.Cut = http.StatusOK, !x.Aborted
		}
		x.Code = s.refuse(c, err).code
		panic(http.ErrAbortHandler)
	}
	sayWho(c.Writer.Header(), x)
	o := s.refuse(c, err)
	x.Status, x.Code = o.status, o.code
	if o.body != nil {
		in.keepAnswer(o.body)
	}
}

// identify finds the caller and the application, and reads whether the one may
// use the other.
func (s *Server) identify(c *gin.Context, snap *Snapshot, in *inbound, x *persist.Exchange, name func(*Snapshot, *inbound) error) error {
	caller, ok := snap.callers.Identify(c.Request.Header)
	if !ok {
		return &refusal{
			http.StatusUnauthorized, codeUnauthorized,
			"This gateway needs a key: send it as api-key, or as Authorization: Bearer.", "",
		}
	}
	x.Caller = caller.ID
	if err := name(snap, in); err != nil {
		return err
	}
	if !plain(in.operation) {
		return noRoute(c)
	}
	if in.app == nil {
		return &refusal{
			http.StatusNotFound, codeNotFound,
			"No AI application has this id. GET /instanceinfo lists the configured applications.", "",
		}
	}
	x.App = in.app.AppID
	if x.Trace != nil {
		x.Trace.System, x.Trace.Model = string(in.app.AppType), in.app.modelName
	}
	if !caller.May(in.app.AppID) {
		return &refusal{
			http.StatusForbidden, codeForbidden,
			"This key may not use AI application " + in.app.AppID + ".", "",
		}
	}
	var err error
	if x.Tenant, err = in.app.tenancy.Tenant(c.Request.Header, oneOf(c), caller); err != nil {
		return err
	}
	in.among = in.app.tenancy.Endpoints(x.Tenant)
	if in.app.AppType.Inference() {
		if in.thread, err = threadID(c.Request.Header); err != nil {
			return err
		}
		if in.thread != "" && in.app.Memory == nil {
			return &refusal{
				http.StatusBadRequest, codeInvalidPayload,
				"Conversation memory is off for AI application " + in.app.AppID + "; send the request without x-thread-id.", "",
			}
		}
	}
	return in.read(c, in.app.MaxBodyBytes, false)
}

// complete answers chat completions, completions, embeddings, and every other
// inference call with a JSON body.
func (s *Server) complete(c *gin.Context, in *inbound, x *persist.Exchange) error {
	req, err := openai.ParseRequest(in.body)
	if err != nil {
		return err
	}
	in.operation = operation(in, req)
	x.Operation, x.Model, x.User, x.Stream = named(in.operation), req.Model, req.User, req.Stream
	if x.Model == "" || in.byModel {
		x.Model = in.app.modelName
	}
	in.keepPrompt(s)
	describeAsked(x.Trace, req, s.telemetry.Content() && in.keepsAnswer())
	in.answers = answers(req, in.operation)
	if in.operation == opChat {
		return s.chat(c, in, req, x)
	}
	if err := in.noThread(); err != nil {
		return err
	}
	if err := s.admit(c, in, req, x); err != nil {
		return err
	}
	switch in.operation {
	case opCompletions:
		return s.completions(c, in, req, x)
	case opEmbeddings:
		return s.embeddings(c, in, req, x)
	}
	return s.otherJSON(c, in, req, x)
}

// The operations that the gateway knows more of than their path.
const (
	opChat        = "chat/completions"
	opCompletions = "completions"
	opEmbeddings  = "embeddings"
	opResponses   = "responses"
)

// operation is what a request asks for: what the application's endpoints are
// configured to do, else what the client's path says, else what the body is
// made for.
func operation(in *inbound, req *openai.Request) string {
	switch {
	case in.app.operation != "":
		return in.app.operation
	case backend.IsOperation(in.operation):
		return strings.ToLower(in.operation)
	case in.operation != "":
		return in.operation
	case req.HasMessages:
		return opChat
	case req.HasPrompt:
		return opCompletions
	case req.HasInput:
		return opEmbeddings
	}
	return ""
}

// plain reports whether an operation is a path below its base: one with dots
// for segments would leave it, with the endpoint's key.
func plain(operation string) bool {
	if again, err := url.PathUnescape(operation); err == nil {
		operation = again
	}
	for segment := range strings.FieldsFuncSeq(operation, func(r rune) bool { return r == '/' || r == '\\' }) {
		if segment == "." || segment == ".." {
			return false
		}
	}
	return true
}

// named is the operation as metrics and the log call it.
func named(operation string) string {
	if operation == opChat {
		return "chat"
	}
	return operation
}

// stopping reports whether the request was ended by the gateway's own end.
func stopping(c *gin.Context) bool {
	return errors.Is(context.Cause(c.Request.Context()), errDraining)
}

// gone reports whether nobody waits for the answer any more: the client has
// left, or the gateway is stopping.
func gone(c *gin.Context) bool { return c.Request.Context().Err() != nil }

// isBegun reports whether err is a fault after the first byte.
func isBegun(err error) bool {
	var broken *brokenAnswer
	return errors.As(err, &broken)
}

// allow refuses models that the application is not for.
func (in *inbound) allow(model string) error {
	if in.app.models == nil || in.byModel || model == "" || in.app.models[model] {
		return nil
	}
	return &refusal{
		http.StatusBadRequest, codeInvalidPayload,
		"AI application " + in.app.AppID + " does not take this model; it takes " + strings.Join(in.app.AllowedModels, ", ") + ".", "model",
	}
}

// deadline is the end of the request's total budget; zero is none.
func (in *inbound) deadline(start time.Time) time.Time {
	total := in.app.Timeouts.Total.Duration()
	if total <= 0 {
		return time.Time{}
	}
	return start.Add(total)
}
