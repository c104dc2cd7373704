package gateway

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/tidwall/gjson"

	"aigateway/backend"
	"aigateway/cache"
	"aigateway/config"
	"aigateway/memory"
	"aigateway/openai"
	"aigateway/persist"
	"aigateway/router"
)

// lookUp asks the cache whether the request has been answered before, and says
// in the header what it found.
func (s *Server) lookUp(c *gin.Context, in *inbound, req *openai.Request, x *persist.Exchange) (*cache.Hit, *cache.Miss) {
	if in.app.Cache == nil {
		return nil, nil
	}
	asker := cache.Asker{Tenant: x.Tenant, Caller: x.Caller, User: req.User}
	hit, miss := in.app.Cache.Lookup(c.Request.Context(), req, in.operation, asker, cacheControl(c, in))
	h := c.Writer.Header()
	if hit != nil {
		x.Cache, x.CacheWhy, x.Cached, x.CacheScore = "hit", hit.Layer, true, hit.Score
		h["X-Cache"] = []string{"hit"}
		h["X-Cache-Layer"] = []string{hit.Layer}
		h["X-Cache-Score"] = []string{strconv.FormatFloat(hit.Score, 'f', 4, 64)}
		if hit.Entry.ID != 0 { // it is, until it has been stored
			h["X-Cache-Entry"] = []string{strconv.FormatInt(hit.Entry.ID, 10)}
		}
		h["Age"] = []string{strconv.FormatInt(int64(max(hit.Age, 0)/time.Second), 10)}
		return hit, nil
	}
	x.Cache, x.CacheWhy = "miss", miss.Reason
	if miss.Bypass {
		x.Cache = "bypass"
	}
	said := x.Cache
	if miss.Reason != "" && miss.Reason != said {
		said += "; reason=" + miss.Reason
	}
	h["X-Cache"] = []string{said}
	return nil, miss
}

// cacheControl is what the request itself says about the cache: the query's
// use_cache=false, and of the header Cache-Control what RFC 9111, section
// 5.2.1, has for requests and a cache of answers can obey.
func cacheControl(c *gin.Context, in *inbound) cache.Control {
	control := cache.Control{MaxAge: -1}
	refuse := func(why string) {
		control.NoRead, control.NoStore, control.Why = true, true, why
	}
	switch {
	case in.thread != "":
		refuse("thread")
	case strings.Contains(c.Request.URL.RawQuery, "use_cache") && c.Query("use_cache") == "false":
		refuse("use_cache=false")
	case in.app.EndpointHeader && c.Request.Header["X-Gateway-Endpoint"] != nil:
		refuse("endpoint")
	}
	for _, line := range c.Request.Header["Cache-Control"] {
		for directive := range strings.SplitSeq(line, ",") {
			name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
			switch name {
			case "no-cache":
				control.NoRead = true
				control.Why = cmp.Or(control.Why, "no-cache")
			case "no-store":
				control.NoStore = true
			case "max-age":
				if n, err := strconv.ParseInt(strings.Trim(value, `"`), 10, 32); err == nil && n >= 0 {
					control.MaxAge = time.Duration(n) * time.Second
				}
			}
		}
	}
	return control
}

// errNotReplayed: an entry that cannot be given as an answer, and none of it
// was.
var errNotReplayed = errors.New("the cache entry cannot be replayed")

// replay answers from the cache. A conversation that begins with it is kept
// before the client can know that the answer is complete.
func (s *Server) replay(c *gin.Context, in *inbound, req *openai.Request, hit *cache.Hit, thread *memory.Thread, x *persist.Exchange) error {
	h := c.Writer.Header()
	h["Content-Type"] = []string{"application/json"}
	if req.Stream {
		h["Content-Type"] = []string{"text/event-stream; charset=utf-8"}
		h["Cache-Control"] = []string{"no-cache"}
		h["X-Accel-Buffering"] = []string{"no"}
	}
	sayThread(c, thread)
	in.sayConsumed(c, x)
	o := openai.ReplayOptions{Stream: req.Stream, IncludeUsage: req.WantsUsage, BeforeWrite: s.writeDeadline(c, in.app.writeTimeout)}
	if set := &in.app.CacheSettings.Replay; set.Mode == "paced" && req.Stream {
		o.Speed = set.Speed
		if marks, err := openai.DecodeMarks(hit.Entry.Marks); err == nil {
			o.Marks = marks
		}
	}
	if thread != nil {
		o.BeforeDone = func() {
			if said, ok := openai.MessageOf(hit.Entry.Answer); ok {
				s.remember(c, thread, said, x)
			}
		}
	}
	s.firstByte(x)
	err := openai.Replay(c.Request.Context(), c.Writer, hit.Entry.Answer, o)
	x.BytesOut = int64(max(c.Writer.Size(), 0))
	var left *openai.ClientError
	if err != nil && !errors.As(err, &left) {
		s.log.Warn("cache entry not usable; the request goes on without it", "app", x.App, "entry", hit.Entry.ID, "error", err)
		for _, name := range []string{"Content-Type", "Cache-Control", "X-Accel-Buffering", "X-Thread-Id", "X-Cache-Layer", "X-Cache-Score", "X-Cache-Entry", "Age"} {
			delete(h, name)
		}
		h["X-Cache"] = []string{"miss; reason=unusable"}
		x.Cache, x.CacheWhy, x.Cached, x.CacheScore, x.FirstByte, x.BytesOut = "miss", "unusable", false, 0, 0, 0
		return errNotReplayed
	}
	c.Writer.Flush() // the client need not wait for what follows
	x.Status, x.FinishReason = http.StatusOK, "stop"
	s.noteSaved(in, req, hit.Entry.Answer, x)
	in.keepAnswer(hit.Entry.Answer)
	switch {
	case err == nil:
		return nil
	case stopping(c):
		x.Cut = true
		return &brokenAnswer{err: errDraining}
	}
	x.Aborted = true
	return &brokenAnswer{told: true, err: errClientGone}
}

// newCache is an application's cache as its settings have it, nil where the
// cache is off.
func (s *Server) newCache(cfg *config.Config, app *App) (*cache.Cache, error) {
	set := &app.CacheSettings
	if s.cache == nil || !set.UseCache || !app.AppType.Inference() {
		return nil, nil //nolint:nilnil // nil is a cache that is off
	}
	name, from := set.EmbeddingApp, "application "+app.AppID+": cacheSettings.embeddingApp"
	if name == "" {
		name, from = s.settings.VectorApp, "API_GATEWAY_VECTOR_AIAPP"
	}
	maker := cfg.App(name)
	switch {
	case name == "":
		return nil, fmt.Errorf("API_GATEWAY_VECTOR_AIAPP is not set; the cache of application %s needs it: the appId whose endpoints make embeddings", app.AppID)
	case maker == nil || !maker.AppType.Inference():
		return nil, fmt.Errorf("%s: saw %q, want the appId of an azure_oai or openai application of the configuration", from, name)
	}
	if i := modelless(maker); i >= 0 {
		return nil, fmt.Errorf("application %s makes embeddings (%s): its endpoint %s needs a model, such as text-embedding-3-small, because it is of type openai",
			name, from, maker.Endpoints[i].ID)
	}
	return s.cache.For(cache.Settings{
		App: app.AppID, Deployments: deployments(app), Metric: cache.Metric(set.SearchType), Bound: set.SearchDistance,
		Term: set.SearchContent.Term, Roles: strings.Split(set.SearchContent.IncludeRoles, ","),
		Since: since(set.EntryExpiry), Scope: cache.Scope(set.Scope), Guards: set.Guards,
		Embed: s.embedder(name), EmbedKey: name,
		EmbedTimeout: set.EmbeddingTimeout.Duration(), LookupTimeout: set.LookupTimeout.Duration(),
		MaxEntries: set.MaxEntries, MaxBytes: set.MaxBytes,
	}), nil
}

// modelless returns the first endpoint that would be asked for an embedding
// without a model, though only the model says what it is to make; -1 for none.
func modelless(maker *config.Application) int {
	if maker.AppType != config.OpenAI {
		return -1
	}
	return slices.IndexFunc(maker.Endpoints, func(e config.Endpoint) bool { return e.Model == "" })
}

// deployments names the models behind an application, with their hosts: an
// answer of one is not given for another's. Deployments of one name need not
// be of one model.
func deployments(app *App) []string {
	var names []string
	for i, t := range app.targets {
		uri := app.Endpoints[i].URI
		name := cmp.Or(t.Model(), deployment(uri))
		if u, err := url.Parse(uri); err == nil {
			name = strings.ToLower(u.Host) + " " + name
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// deployment is the deployment's name in an Azure OpenAI URI, empty in others.
func deployment(uri string) string {
	_, rest, ok := strings.Cut(uri, "/deployments/")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	name, _, _ = strings.Cut(name, "?")
	return name
}

// since tells from when on entries of an expiry are still good; nil when they
// stay.
func since(expiry config.Interval) func(time.Time) time.Time {
	if expiry.IsZero() {
		return nil
	}
	return expiry.Before
}

// embedder makes embeddings with an application's endpoints.
func (s *Server) embedder(appID string) cache.Embedder {
	return func(ctx context.Context, text string) (cache.Embedding, error) {
		e, err := s.Embed(ctx, appID, text)
		if !errors.Is(err, context.Canceled) {
			s.noteEmbedding(appID, err)
		}
		return e, err
	}
}

// noteEmbedding logs when an application begins to fail to make embeddings,
// and when it makes them again.
func (s *Server) noteEmbedding(appID string, err error) {
	_, failing := s.noEmbeddings.Load(appID)
	switch {
	case err != nil && !failing:
		s.noEmbeddings.Store(appID, true)
		s.log.Warn("no embeddings: near questions miss the cache", "app", appID, "error", err)
	case err == nil && failing:
		s.noEmbeddings.Delete(appID)
		s.log.Info("embeddings are made again", "app", appID)
	}
}

// Embed makes the embedding of a text with an application's endpoints, under
// that application's routing, rests and limits.
func (s *Server) Embed(ctx context.Context, appID, text string) (cache.Embedding, error) {
	var none cache.Embedding
	app := s.live.Load().App(appID)
	if app == nil {
		return none, errors.New("the embedding application is not configured any more")
	}
	body, err := json.Marshal(map[string]string{"input": text, "encoding_format": "base64"})
	if err != nil {
		return none, fmt.Errorf("writing a request for an embedding: %w", err)
	}
	req, err := openai.ParseRequest(body)
	if err != nil {
		return none, fmt.Errorf("writing a request for an embedding: %w", err)
	}
	in := &inbound{app: app, operation: opEmbeddings, body: body, begun: true}
	x := &persist.Exchange{App: appID, Own: true, Operation: opEmbeddings, Model: app.modelName, Start: s.now()}
	call := &backend.Call{Path: opEmbeddings, ContentType: "application/json", Body: body, Deadline: in.deadline(x.Start)}
	if app.limits.CountsTokens() {
		in.reserved = app.reserve(in, req, x)
	}
	defer func() {
		x.Duration = s.now().Sub(x.Start)
		s.account(in, x)
		app.Metrics.Observe(x)
		s.persist(in, x)
		s.telemetry.End(x)
	}()
	answered, err := s.forward(ctx, in, call, req, x)
	if err != nil {
		x.Status = judge(err).status
		return none, err
	}
	defer s.close(in, answered, x)
	answered.result = router.Served
	x.Status = answered.resp.StatusCode
	if !answered.whole {
		answered.result = router.Failed
		return none, errors.New("the embedding is too long to be one")
	}
	if done, err := openai.ParseCompletion(answered.body, 0); err == nil {
		x.Usage, x.Answered = done.Usage, done.Model
	}
	s.estimate(in, req, nil, x)
	return readEmbedding(answered.body)
}

// readEmbedding reads the first embedding of an answer.
func readEmbedding(body []byte) (cache.Embedding, error) {
	read := gjson.GetManyBytes(body, "data.0.embedding", "model")
	e := cache.Embedding{Model: read[1].String()}
	if read[0].Type == gjson.String { // as it was asked for: float32, little-endian
		raw, err := base64.StdEncoding.DecodeString(read[0].Str)
		if err != nil || len(raw)%4 != 0 {
			return cache.Embedding{}, errors.New("the embedding is not base64 of numbers")
		}
		e.Vector = make([]float32, len(raw)/4)
		for i := range e.Vector {
			e.Vector[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
		return e, nil
	}
	if !read[0].IsArray() { // some services know no base64
		return cache.Embedding{}, errors.New("the answer holds no embedding")
	}
	ok := true
	read[0].ForEach(func(_, number gjson.Result) bool {
		ok = number.Type == gjson.Number
		e.Vector = append(e.Vector, float32(number.Num))
		return ok
	})
	if !ok {
		return cache.Embedding{}, errors.New("the embedding is not a list of numbers")
	}
	return e, nil
}
