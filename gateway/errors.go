package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"aigateway/auth"
	"aigateway/backend"
	"aigateway/memory"
	"aigateway/openai"
)

// The codes of the error body: contract section 5.
const (
	codeNotFound         = "notFound"
	codeInvalidPayload   = "invalidPayload"
	codeUnauthorized     = "unauthorized"
	codeForbidden        = "forbidden"
	codeMethodNotAllowed = "methodNotAllowed"
	codeTooManyRequests  = "tooManyRequests"
	codeBackendFailure   = "backendFailure"
	codeInternalFailure  = "internalFailure"
	codeStoreUnavailable = "storeUnavailable"
	codeQuotaExceeded    = "quotaExceeded"
)

// refusal is an answer that the gateway itself gives instead of an endpoint's.
type refusal struct {
	status  int
	code    string
	message string
	param   string // member of the body that is wrong; empty when none is
}

func (r *refusal) Error() string { return r.message }

// errInternal says nothing of the fault; the log does, under the request id.
var errInternal = &refusal{
	http.StatusInternalServerError, codeInternalFailure,
	"The gateway failed to answer this request. Its operator finds the reason by the request id in the x-request-id header.", "",
}

// busyError: every endpoint rests or is at its limit.
type busyError struct{ wait time.Duration }

func (e *busyError) Error() string {
	return fmt.Sprintf("All backend Azure OAI endpoints are too busy! Retry after [%d] seconds ...", wholeSeconds(e.wait))
}

// wholeSeconds rounds a wait up, to at least 1.
func wholeSeconds(d time.Duration) int64 { return max(1, int64(math.Ceil(d.Seconds()))) }

// storeError: the database did not do what a page of the gateway needs.
type storeError struct{ err error }

func (e *storeError) Error() string { return "store: " + e.err.Error() }
func (e *storeError) Unwrap() error { return e.err }

// storeRetry is when a client may try again after a fault of the store, which
// is asked every second whether it is back.
const storeRetry = 2 * time.Second

// errClientGone: the client left; nobody reads an answer.
var errClientGone = errors.New("client left")

// statusClientGone is nginx's status for it; it appears in logs only.
const statusClientGone = 499

// brokenAnswer is a fault after the first byte: the answer can only be cut off.
type brokenAnswer struct {
	told bool // the endpoint's own error event has reached the client
	err  error
}

func (e *brokenAnswer) Error() string { return "answer broke off: " + e.err.Error() }
func (e *brokenAnswer) Unwrap() error { return e.err }

// outcome is an error made ready to be sent.
type outcome struct {
	status int
	code   string
	wait   time.Duration // for retry-after; 0 sends none
	body   []byte        // an endpoint's own, sent unchanged; nil sends ours
	header http.Header   // the endpoint's, when body is
	extra  http.Header   // of ours, sent with it
	refusal
}

// judge is the only place where an error becomes a status and a body.
func judge(err error) outcome {
	var (
		refused *refusal
		busy    *busyError
		bad     *openai.RequestError
		failed  *backend.Error
		thread  *memory.InvalidThread
		nothing *memory.NothingNew
		down    *memory.UnavailableError
		long    *memory.TooLong
		store   *storeError
		limited *limitError
		tenant  *auth.TenantError
	)
	switch {
	case errors.Is(err, errClientGone), errors.As(err, &failed) && failed.Fault == backend.Canceled:
		return ours(statusClientGone, "", "The client closed the request.", 0)
	case errors.As(err, &refused):
		return outcome{status: refused.status, code: refused.code, refusal: *refused}
	case errors.As(err, &limited):
		return judgeLimit(limited)
	case errors.As(err, &tenant):
		return judgeTenant(tenant)
	case errors.As(err, &busy):
		return ours(http.StatusTooManyRequests, codeTooManyRequests, busy.Error(), max(busy.wait, time.Millisecond))
	case errors.As(err, &thread):
		return ours(http.StatusBadRequest, codeInvalidPayload, "The user session associated with Thread ID=["+shown(thread.ID, 64)+
			"] has either expired or is invalid! Start a new user session.", 0)
	case errors.As(err, &nothing):
		o := ours(http.StatusBadRequest, codeInvalidPayload, "The request holds no message that this conversation does not have already.", 0)
		o.param = "messages"
		return o
	case errors.As(err, &long):
		return ours(http.StatusRequestEntityTooLarge, codeInvalidPayload, fmt.Sprintf(
			"The conversation has %d bytes with this request; at most %d are sent. Start a new one, or keep fewer interactions (memorySettings.msgCount).", long.Bytes, long.Limit), 0)
	case errors.As(err, &down), errors.As(err, &store):
		return ours(http.StatusServiceUnavailable, codeStoreUnavailable,
			"What the gateway keeps cannot be reached at the moment; send the request again later.", storeRetry)
	case errors.As(err, &bad):
		o := ours(http.StatusBadRequest, codeInvalidPayload, bad.Message, 0)
		o.param = bad.Param
		return o
	case errors.As(err, &failed):
		return judgeEndpoint(failed)
	}
	return outcome{status: errInternal.status, code: errInternal.code, refusal: *errInternal}
}

func ours(status int, code, message string, wait time.Duration) outcome {
	return outcome{status: status, code: code, wait: wait, refusal: refusal{status, code, message, ""}}
}

// judgeEndpoint answers for the last endpoint that was tried.
func judgeEndpoint(e *backend.Error) outcome {
	switch {
	case e.Fault == backend.Timeout:
		return ours(http.StatusGatewayTimeout, codeBackendFailure, "The backend did not answer in time.", 0)
	case e.Fault == backend.Upload && timedOut(e.Err):
		return ours(http.StatusRequestTimeout, codeInvalidPayload, "The body did not come in time.", 0)
	case e.Fault == backend.Upload:
		return ours(http.StatusBadRequest, codeInvalidPayload, "The request's body ended before its time.", 0)
	case e.Status >= 400 && e.Status < 500 && openai.LooksLikeJSONObject(e.Body):
		o := ours(e.Status, "", "", 0)
		o.body, o.header = e.Body, e.Header
		return o
	case e.Status >= 400 && e.Status < 500:
		return ours(e.Status, codeBackendFailure, fmt.Sprintf("The backend answered %d without saying why.", e.Status), 0)
	}
	return ours(http.StatusBadGateway, codeBackendFailure, "The backend failed to answer this request.", 0)
}

func timedOut(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}

// errorBody is the JSON of contract section 5 with OpenAI's members.
func (o *outcome) errorBody(target string) []byte {
	type inner struct {
		Target  string  `json:"target"`
		Message string  `json:"message"`
		Code    string  `json:"code"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
	}
	e := inner{Target: shown(target, 256), Message: o.message, Code: o.code, Type: kindOf(o.status)}
	if o.param != "" {
		e.Param = &o.param
	}
	b, err := json.Marshal(map[string]inner{"error": e})
	if err != nil {
		panic("BUG: error body: " + err.Error())
	}
	return b
}

// kindOf is OpenAI's error type for a status.
func kindOf(status int) string {
	switch {
	case status == http.StatusUnauthorized:
		return "authentication_error"
	case status == http.StatusForbidden:
		return "permission_error"
	case status == http.StatusTooManyRequests:
		return "rate_limit_error"
	case status >= 500:
		return "server_error"
	}
	return "invalid_request_error"
}

// shown returns text that a client sent, made fit to be shown: bounded, valid,
// without control characters.
func shown(s string, most int) string {
	if len(s) > most {
		for most > 0 && !utf8.RuneStart(s[most]) {
			most--
		}
		s = s[:most] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return '?'
		}
		return r
	}, s)
}

// refuse sends err as the answer and returns what was sent. An answer that has
// begun gets an SSE error event, where it is a stream, and is then cut off.
func (s *Server) refuse(c *gin.Context, err error) outcome {
	var broken *brokenAnswer
	if errors.As(err, &broken) {
		err = broken.err
	}
	if stopping(c) {
		err = &refusal{http.StatusServiceUnavailable, codeBackendFailure, "The gateway is shutting down; send the request again.", ""}
	}
	o := judge(err)
	if o.code == codeStoreUnavailable {
		s.log.Warn("request needs the store", "request_id", c.Writer.Header().Get("X-Request-Id"), "error", err)
	}
	if o.code == codeInternalFailure && o.status == http.StatusInternalServerError {
		s.log.Error("request failed", "request_id", c.Writer.Header().Get("X-Request-Id"), "error", err)
	}
	if c.Writer.Written() {
		if broken == nil || !broken.told {
			s.sayInStream(c, &o)
		}
		return o
	}
	o.write(c.Writer, c.Request.URL.Path)
	return o
}

// sayInStream sends the error as the last event of a stream. The caller cuts
// the answer off.
func (s *Server) sayInStream(c *gin.Context, o *outcome) {
	if !strings.HasPrefix(c.Writer.Header().Get("Content-Type"), "text/event-stream") {
		return
	}
	said := o.body
	if said == nil || !openai.LooksLikeJSONObject(said) {
		said = o.errorBody(c.Request.URL.Path)
	}
	fmt.Fprintf(c.Writer, "event: error\ndata: %s\n\n", strings.NewReplacer("\r", " ", "\n", " ").Replace(string(said)))
	c.Writer.Flush()
}

// write sends the outcome as a whole answer.
func (o *outcome) write(w http.ResponseWriter, target string) {
	h := w.Header()
	body := o.body
	if body == nil {
		body = o.errorBody(target)
	}
	copyUseful(h, o.header)
	maps.Copy(h, o.extra)
	if o.wait > 0 {
		h.Set("Retry-After", strconv.FormatInt(wholeSeconds(o.wait), 10))
		h.Set("Retry-After-Ms", strconv.FormatInt((o.wait+time.Millisecond-1).Milliseconds(), 10))
	}
	if o.status == http.StatusUnauthorized && o.body == nil {
		h.Set("WWW-Authenticate", "Bearer")
	}
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(o.status)
	w.Write(body)
}

// refusePage sends a refusal from outside gin.
func (s *Server) refusePage(w http.ResponseWriter, r *http.Request, err error) {
	o := judge(err)
	o.write(w, r.URL.Path)
	s.logPage(r, "", w.Header().Get("X-Request-Id"), o.status, s.now())
}
