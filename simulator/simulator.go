// Package simulator is an honest fake of Azure OpenAI, of its OpenAI form, and of Azure AI Search, Language,
// Translator and Content Safety. In a request it stands where the endpoint stands: the demo, the tests and the
// benchmarks all call it over HTTP. It answers with the shapes, headers, limits and errors that the services
// document, deterministically, and fails in the ways they fail when a [Fault] asks for it. It knows nothing of the
// gateway. docs/simulator.md is the operator's page.
package simulator

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxBody is the largest request body, in bytes; the real services refuse earlier.
	maxBody = 64 << 20
	// maxSeen and maxSeenBytes bound what Requests remembers: enough for any test, and small beside a benchmark.
	maxSeen      = 256
	maxSeenBytes = 32 << 20
	// maxName is the longest deployment or model name, in bytes; Azure allows 64.
	maxName = 256
	// maxDeployments bounds the deployments made on first use, since their names come from callers.
	maxDeployments = 1000
)

// Options shape a Simulator. The zero value is a service without limits, delays or faults that takes any key.
type Options struct {
	// Now is the clock of rate windows and of the created members; time.Now when nil.
	Now func() time.Time
	// Keys are the accepted keys, of every service. Empty accepts any key that is not empty.
	Keys []string
	// Deployments by name. Others are made on first use, without limits.
	Deployments map[string]Deployment
	// Latency is the wait before the first byte, Cadence the wait between two events of a stream.
	Latency, Cadence time.Duration
	// Region is the value of x-ms-region; "Sim Central" when empty.
	Region string
	// Fault applies to every call; a deployment's, a scripted and a caller's fault are laid over it.
	Fault Fault
	// Count counts the tokens of text for a model as answers name it, as many calls as are open at once. When it is set,
	// the prompts of chats count by the published rule; Tokens and a simpler rule when nil. docs/simulator.md has both.
	Count func(model, text string) int
	// Log gets one debug line per call; nothing is logged when nil.
	Log *slog.Logger
}

// Deployment is one named model. The services that have none count under "search", "language", "translator" and
// "contentsafety".
type Deployment struct {
	// Model is what answers call themselves; a model that suits the route when empty.
	Model string
	// RPM and TPM are the requests and tokens allowed in a minute; 0 is no limit.
	RPM, TPM int
	// Fault applies to every call to this deployment.
	Fault Fault
}

// Seen is one request as it arrived.
type Seen struct {
	Method string
	Path   string
	Query  url.Values
	Header http.Header
	Body   []byte
}

// Simulator is an http.Handler, safe for concurrent use.
type Simulator struct {
	now     func() time.Time
	count   func(model, text string) int
	keys    []string
	base    plan
	log     *slog.Logger
	region  []string
	session []string
	seed    uint64
	initial map[string]Deployment

	serial   atomic.Uint64 // numbers calls
	canceled atomic.Int64
	open     atomic.Int64

	mu          sync.Mutex
	deployments map[string]*deployment // guarded by mu, and so are the fields of each
	seen        []Seen                 // guarded by mu, oldest first
	seenBytes   int                    // guarded by mu
	invoice     [][]Line               // guarded by mu, oldest first, all but the last of the same length
	billed      int                    // guarded by mu: calls billed, those the invoice has no room for too
}

// deployment is what a Simulator knows about one Deployment while it runs.
type deployment struct {
	Deployment
	name   string
	plan   plan    // the simulator's faults with the deployment's own laid over them
	calls  int     // since the last Reset
	script []Fault // for the next calls
	window window
}

// New returns a Simulator. A fault in o that cannot be read is answered to every call it concerns; [Fault.Check]
// tells beforehand.
func New(o Options) *Simulator {
	s := &Simulator{
		now:     o.Now,
		count:   o.Count,
		keys:    o.Keys,
		log:     o.Log,
		region:  []string{cmp.Or(o.Region, "Sim Central")},
		session: []string{"d3f1-simulated"},
		initial: o.Deployments,
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.seed = uint64(s.now().UnixNano())
	s.base = newPlan()
	s.base.latency, s.base.cadence = o.Latency, o.Cadence
	s.base.lay(o.Fault)
	s.Reset()
	return s
}

// Script sets the faults of the next calls to a deployment, one each, in order, behind those already scripted. An
// empty Fault is a call without one.
func (s *Simulator) Script(deployment string, faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.deployment(deployment); d != nil {
		d.script = append(d.script, faults...)
	}
}

// Calls is the number of requests that named the deployment, refused and failed ones too.
func (s *Simulator) Calls(deployment string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.deployments[deployment]; d != nil {
		return d.calls
	}
	return 0
}

// Requests returns the latest requests, oldest first: at most 256 of them and about 32 MiB of bodies.
func (s *Simulator) Requests() []Seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Seen(nil), s.seen...)
}

// Canceled is the number of calls whose client went away before the answer's end.
func (s *Simulator) Canceled() int { return int(s.canceled.Load()) }

// Open is the number of calls being answered.
func (s *Simulator) Open() int { return int(s.open.Load()) }

// Reset forgets requests, counts, scripts, rate windows, the invoice and the deployments made on first use. Calls that
// are being answered go on the new invoice.
func (s *Simulator) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deployments = make(map[string]*deployment, len(s.initial))
	for name, d := range s.initial {
		s.deployments[name] = s.newDeployment(name, d)
	}
	s.seen, s.seenBytes = nil, 0
	s.invoice, s.billed = nil, 0
	s.canceled.Store(0)
}

func (s *Simulator) newDeployment(name string, d Deployment) *deployment {
	made := &deployment{Deployment: d, name: name, plan: s.base}
	made.plan.lay(d.Fault)
	return made
}

// deployment finds or makes a deployment; nil when there are too many or the name is too long. The caller holds mu.
func (s *Simulator) deployment(name string) *deployment {
	d := s.deployments[name]
	if d == nil && len(name) <= maxName && len(s.deployments) < maxDeployments+len(s.initial) {
		d = s.newDeployment(strings.Clone(name), Deployment{})
		s.deployments[d.name] = d
	}
	return d
}

// ServeHTTP answers one call. As net/http wants it, it panics with http.ErrAbortHandler, and with nothing else, when
// a fault breaks the connection.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{s: s, w: w, r: r, serial: s.serial.Add(1), target: resolve(r), start: s.now()}
	if c.target.service == serviceAdmin {
		c.admin()
		return
	}
	s.open.Add(1)
	defer s.finish(c)

	body, err := readBody(w, r)
	if err != nil {
		c.plan = s.base
		c.deliver(unreadable(err))
		return
	}
	c.body = body
	c.target.fromBody(body)

	authorized := c.authorized()
	s.enter(c, authorized)
	switch {
	case c.target.answer == nil:
		c.deliver(c.notFound())
	case !authorized:
		c.deliver(c.unauthorized())
	case c.d == nil:
		c.deliver(azureError(http.StatusNotFound, "DeploymentNotFound", "The API deployment for this resource does not exist. "+
			"If you created the deployment within the last 5 minutes, please wait a moment and try again."))
	default:
		c.overlay()
		if c.before() {
			c.deliver(c.answer())
		}
	}
}

// enter records the request, finds its deployment and takes the fault scripted for it.
func (s *Simulator) enter(c *call, authorized bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remember(c)
	c.plan = s.base
	if c.target.answer == nil {
		return
	}
	c.d = s.deployment(c.target.deployment)
	if c.d == nil {
		return
	}
	c.target.deployment = c.d.name // the invoice keeps it
	c.d.calls++
	if !authorized {
		return
	}
	c.plan = c.d.plan
	if len(c.d.script) > 0 {
		c.plan.lay(c.d.script[0])
		c.d.script = c.d.script[1:]
	}
}

// remember keeps the request for Requests. The caller holds mu.
func (s *Simulator) remember(c *call) {
	for len(s.seen) > 0 && (len(s.seen) >= maxSeen || s.seenBytes+len(c.body) > maxSeenBytes) {
		s.seenBytes -= len(s.seen[0].Body)
		s.seen[0] = Seen{}
		s.seen = s.seen[1:]
	}
	s.seenBytes += len(c.body)
	s.seen = append(s.seen, Seen{Method: c.r.Method, Path: c.r.URL.Path, Query: c.query(), Header: c.r.Header.Clone(), Body: c.body})
}

// finish counts and bills a call at its end, however it ended.
func (s *Simulator) finish(c *call) {
	s.charge(c)
	if c.gone || c.r.Context().Err() != nil {
		s.canceled.Add(1)
	}
	s.open.Add(-1)
	s.log.Debug("call", "method", c.r.Method, "path", c.r.URL.Path, "deployment", c.target.deployment, "status", c.status)
}

// readBody reads the whole body, at most maxBody bytes.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	limited := http.MaxBytesReader(w, r.Body, maxBody)
	if n := r.ContentLength; n > 0 && n <= 1<<20 { // a length is a promise, so a large one is not believed
		body := make([]byte, n)
		_, err := io.ReadFull(limited, body)
		return body, err
	}
	var b bytes.Buffer
	_, err := b.ReadFrom(limited)
	return b.Bytes(), err
}

func unreadable(err error) reply {
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return azureError(http.StatusRequestEntityTooLarge, "413", "The request body is larger than 64 MiB.")
	}
	return azureError(http.StatusBadRequest, "BadRequest", "The request body ended early.")
}
