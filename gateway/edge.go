package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
)

// edge is what is true of every HTTP request: a request id, CORS, a header
// that is not too long, one form of its path, and an answer even when a
// handler panics.
type edge struct {
	*Server
	bases [2]string // lower case
	next  http.Handler
}

// ServeHTTP makes the request presentable and hands it on.
func (e *edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h["X-Request-Id"] = []string{requestID(r.Header)}
	snap := e.live.Load()
	h["X-Gateway-Config"] = []string{snap.label}
	if e.draining.Load() {
		h["Connection"] = []string{"close"}
	}
	if _, browser := r.Header["Origin"]; browser {
		snap.cors.HandlerFunc(w, r)
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			w.WriteHeader(http.StatusNoContent)
			e.logPage(r, "", h.Get("X-Request-Id"), http.StatusNoContent, e.now())
			return
		}
	}
	r.URL.Path = e.canonical(r.URL.Path)
	if headerBytes(r) > snap.Config.Server.MaxHeaderBytes {
		e.refusePage(w, r, &refusal{
			http.StatusRequestHeaderFieldsTooLarge, codeInvalidPayload,
			fmt.Sprintf("The request's header is longer than %d bytes.", snap.Config.Server.MaxHeaderBytes), "",
		})
		return
	}
	if budget := snap.Config.Server.BodyTimeout.Duration(); budget > 0 && r.ContentLength != 0 {
		// It stays in force until the body has been read whole: a refusal must
		// not wait for a body that never comes either.
		_ = http.NewResponseController(w).SetReadDeadline(e.now().Add(budget)) // a recorder has no deadlines
	}
	if r.Method == http.MethodHead { // answered like GET; net/http leaves the body out
		get := *r
		get.Method = http.MethodGet
		r = &get
	}
	e.next.ServeHTTP(w, r)
}

// recovered turns a panic of a handler into an answer. An answer that has
// begun can only be cut off: returning would make it look whole.
func (s *Server) recovered(c *gin.Context) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(http.ErrAbortHandler)
		}
		s.log.Error("handler panicked", "request_id", c.Writer.Header().Get("X-Request-Id"), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		if c.Writer.Written() {
			panic(http.ErrAbortHandler)
		}
		s.refusePage(c.Writer, c.Request, errInternal)
	}()
	c.Next()
}

// requestID returns the client's request id when it is at most 128 printable
// characters, else a new one.
func requestID(h http.Header) string {
	if v := h["X-Request-Id"]; len(v) > 0 && printableASCII(v[0], 128) {
		return v[0]
	}
	return uuid.NewString()
}

// printableASCII reports whether s is 1 to most printable ASCII characters.
func printableASCII(s string, most int) bool {
	if s == "" || len(s) > most {
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// headerBytes is about the length of the request's header on the wire.
func headerBytes(r *http.Request) int {
	n := len(r.RequestURI)
	for name, values := range r.Header {
		for _, v := range values {
			n += len(name) + len(v) + 4
		}
	}
	return n
}

// pages and words are the fixed parts of paths, written in any case: the first
// segment, and those that may follow /lb. Values, such as application ids and
// keys, stay as they are.
var (
	pages = [...]string{"lb", "instanceinfo", "metrics", "healthz", "readyz", "reconfig", "sessions", "cache", "requests", "usage", "limits", "capacity"}
	words = [...]string{"openai", "deployments", "v1", "models"}
)

// canonical returns the one form of a path that the routes are written in:
// without base and trailing slash, its fixed words in lower case.
func (e *edge) canonical(path string) string {
	for _, base := range e.bases {
		if n := len(base); len(path) >= n && strings.EqualFold(path[:n], base) && (len(path) == n || path[n] == '/') {
			path = path[n:]
			break
		}
	}
	for len(path) > 1 && path[len(path)-1] == '/' {
		path = path[:len(path)-1]
	}
	if path == "" {
		return "/"
	}
	known := pages[:]
	for at := 0; at < len(path) && path[at] == '/'; {
		end := at + 1
		for end < len(path) && path[end] != '/' {
			end++
		}
		i := slices.IndexFunc(known, func(w string) bool { return strings.EqualFold(path[at+1:end], w) })
		if i < 0 {
			break
		}
		word := known[i]
		if word != path[at+1:end] {
			path = path[:at+1] + word + path[end:]
		}
		if word == "deployments" || at == 0 && word != "lb" { // values follow
			break
		}
		at, known = end, words[:]
	}
	return path
}

// newGin returns gin with nothing of its own switched on.
func newGin() *gin.Engine {
	gin.SetMode(gin.ReleaseMode)
	g := gin.New()
	g.HandleMethodNotAllowed = true
	g.RedirectTrailingSlash = false
	g.ForwardedByClientIP = false
	return g
}
