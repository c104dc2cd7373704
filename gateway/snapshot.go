package gateway

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rs/cors"

	"aigateway/auth"
	"aigateway/backend"
	"aigateway/cache"
	"aigateway/config"
	"aigateway/limit"
	"aigateway/memory"
	"aigateway/metrics"
	"aigateway/openai"
	"aigateway/persist"
	"aigateway/router"
	"aigateway/tokens"
)

// Snapshot is one configuration, compiled and ready to serve. It is immutable
// and owns nothing that must be closed.
type Snapshot struct {
	Config     *config.Config
	Generation uint64
	Loaded     time.Time

	apps    []*App
	byID    map[string]*App
	folded  map[string]*App // by lower-case id; nil where two apps share one
	callers *auth.Callers
	cors    *cors.Cors
	label   string // of x-gateway-config
	maxBody int64  // of the app that allows most
	limits  *limit.Rules
}

// App is one AI application in a snapshot.
type App struct {
	*config.Application
	Router  *router.Router
	Metrics *metrics.App
	Cache   *cache.Cache   // nil is off
	Memory  *memory.Memory // nil is off

	targets      []*backend.Target
	models       map[string]bool // allowed; nil allows any
	writeTimeout time.Duration   // server.writeTimeout
	// readsModel: the model of a form matters, so forms are read whole.
	readsModel bool
	searchKey  string // put in place of the SearchAIApp's id in on-your-data requests
	// operation is what every endpoint's URI asks for, such as
	// "chat/completions"; empty when the client's path decides.
	operation string
	redactor  *persist.Redactor

	limits       *limit.App // nil limits nothing
	limitHeaders config.LimitHeaders
	tenancy      *auth.Tenancy // nil: the tenant is the caller's
	prices       catalogue
	modelName    string        // as the configuration names the model; empty when it does not
	asked        string        // the model that limits count; empty when the request names it
	model        *tokens.Model // nil when the configuration does not tell
	usual        *average      // length of the application's answers
}

// compile makes a snapshot of cfg. Everything that can fail happens here.
func (s *Server) compile(cfg *config.Config) (*Snapshot, error) {
	snap := &Snapshot{
		Config:  cfg,
		Loaded:  s.now(),
		byID:    make(map[string]*App, len(cfg.Applications)),
		folded:  make(map[string]*App, len(cfg.Applications)),
		cors:    newCORS(cfg.Server.CORS.AllowedOrigins, canonical(cfg.LimitHeaders)),
		callers: auth.NewCallers(cfg.Callers),
	}
	redactor, err := persist.NewRedactor(cfg.Persist.Redact)
	if err != nil {
		return nil, err
	}
	snap.limits = s.limits.Compile(cfg)
	prices, headers := newCatalogue(cfg.Prices), canonical(cfg.LimitHeaders)
	for i := range cfg.Applications {
		app, err := s.compileApp(cfg, &cfg.Applications[i])
		if err != nil {
			return nil, err
		}
		app.redactor, app.prices, app.limitHeaders = redactor, prices, headers
		app.limits = snap.limits.For(app.AppID)
		if app.limits.CountsTokens() || app.MemorySettings.MaxTokens > 0 {
			app.counts(&openai.Request{}, &persist.Exchange{}).Warm()
		}
		snap.apps = append(snap.apps, app)
		snap.byID[app.AppID] = app
		snap.maxBody = max(snap.maxBody, app.MaxBodyBytes)
		low := strings.ToLower(app.AppID)
		if _, taken := snap.folded[low]; taken {
			app = nil
		}
		snap.folded[low] = app
	}
	return snap, nil
}

// newCORS answers browsers of the given origins; of none when there are none,
// which package cors would take for any.
func newCORS(origins []string, limits config.LimitHeaders) *cors.Cors {
	readable := slices.Clone(exposed)
	for _, name := range limits.Names() {
		if name != "" {
			readable = append(readable, name)
		}
	}
	o := cors.Options{
		AllowedOrigins: origins,
		AllowedMethods: []string{"GET", "HEAD", "POST", "PUT", "DELETE"},
		AllowedHeaders: []string{"*"},
		ExposedHeaders: readable,
		MaxAge:         600,
	}
	if len(origins) == 0 {
		o.AllowOriginFunc = func(string) bool { return false }
	}
	return cors.New(o)
}

func (s *Server) compileApp(cfg *config.Config, a *config.Application) (*App, error) {
	app := &App{
		Application: a, Router: router.New(a, s.fleet), writeTimeout: cfg.Server.WriteTimeout.Duration(),
		tenancy: auth.NewTenancy(&a.Tenants, &cfg.JWT), usual: s.averages.of(a.AppID),
	}
	if app.tenancy != nil {
		app.tenancy.Now = s.now
	}
	for i := range a.Endpoints {
		t, err := backend.NewTarget(a, &a.Endpoints[i])
		if err != nil {
			return nil, err
		}
		app.targets = append(app.targets, t)
		app.readsModel = app.readsModel || t.Model() != ""
		if i == 0 {
			app.operation = t.Operation()
		} else if t.Operation() != app.operation {
			app.operation = ""
		}
	}
	app.nameModel()
	if len(a.AllowedModels) > 0 {
		app.readsModel = true
		app.models = make(map[string]bool, len(a.AllowedModels))
		for _, m := range a.AllowedModels {
			app.models[m] = true
		}
	}
	var err error
	if app.Cache, err = s.newCache(cfg, app); err != nil {
		return nil, err
	}
	if s.threads != nil && a.MemorySettings.UseMemory && a.AppType.Inference() {
		app.Memory = s.threads.For(memory.Settings{App: a.AppID, Keep: a.MemorySettings.MsgCount, Since: since(a.MemorySettings.EntryExpiry)})
	}
	if a.SearchAIApp != "" {
		search := cfg.App(a.SearchAIApp)
		if search == nil || len(search.Endpoints) == 0 {
			return nil, fmt.Errorf("application %s: searchAiApp %q names no application", a.AppID, a.SearchAIApp)
		}
		app.searchKey = search.Endpoints[0].APIKey.Reveal()
	}
	return app, nil
}

// nameModel finds out which model is behind the application, as far as the
// configuration tells: by its own word, or by its endpoints'.
func (app *App) nameModel() {
	names := []string{app.Model}
	for i, t := range app.targets {
		names = append(names, t.Model(), deployment(app.Endpoints[i].URI))
	}
	for _, name := range names {
		if name == "" {
			continue
		}
		if m := tokens.For(name); app.model == nil || m.Known() && !app.model.Known() {
			app.modelName, app.model = name, m
		}
	}
	free := func(t *backend.Target) bool { return t.Model() == "" }
	if app.Model != "" || app.AppType == config.AzureOpenAI || !slices.ContainsFunc(app.targets, free) {
		app.asked = ModelFamily(app.modelName)
	}
	if app.model != nil && !app.model.Known() && app.Model == "" {
		app.model = nil // the request may name one that is
	}
}

// asks is the model that limits count a request under: what the endpoints have
// been configured to be asked for, which a client cannot change, else what the
// request asks for. Names of one model are one: see ModelFamily.
func (app *App) asks(req *openai.Request) string {
	if app.asked != "" || req == nil {
		return app.asked
	}
	return ModelFamily(req.Model)
}

// ModelFamily is what all names of a model are counted under: gpt-4o for
// gpt-4o-2024-08-06; of one that is not known, its name in lower case.
func ModelFamily(name string) string {
	if m := tokens.For(name); m.Known() {
		return m.Name()
	}
	return strings.ToLower(name)
}

// price is what the model costs that answered, or that is behind the
// application; nil when the catalogue does not have it.
func (app *App) price(x *persist.Exchange) *config.Price {
	for _, name := range [...]string{x.Answered, app.modelName, x.Model} {
		if p := app.prices.of(name, x.Start); p != nil {
			return p
		}
	}
	return nil
}

// App returns the application with an id: exactly as configured, else in any
// case when only one is meant.
func (s *Snapshot) App(id string) *App {
	if app, ok := s.byID[id]; ok {
		return app
	}
	return s.folded[strings.ToLower(id)]
}

// exposed are the answer headers that a browser's script may read, beside those
// of limits, which can be renamed.
var exposed = []string{
	"X-Request-Id", "X-Thread-Id", "X-Gateway-Endpoint", "X-Gateway-Attempts", "X-Gateway-Config",
	"X-Gateway-Limit",
	"X-Thread-Status", "X-Cache", "X-Cache-Layer", "X-Cache-Score", "X-Cache-Entry", "Age",
	"Retry-After", "Retry-After-Ms", "X-Ms-Region", "Apim-Request-Id",
	"X-Ratelimit-Limit-Requests", "X-Ratelimit-Limit-Tokens",
	"X-Ratelimit-Remaining-Requests", "X-Ratelimit-Remaining-Tokens",
	"X-Ratelimit-Reset-Requests", "X-Ratelimit-Reset-Tokens",
}
