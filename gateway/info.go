package gateway

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"aigateway/auth"
	"aigateway/config"
	"aigateway/metrics"
)

// clock is the form of dates in info pages: JavaScript's en-US.
const clock = "1/2/2006, 3:04:05 PM"

// guarded asks for the admin key where server.protectInfo says so.
func (s *Server) guarded(handle func(*gin.Context) error) func(*gin.Context) error {
	return func(c *gin.Context) error {
		if s.live.Load().Config.Server.ProtectInfo && !auth.Admin(s.settings.Key, auth.Key(c.Request.Header)) {
			return &refusal{
				http.StatusUnauthorized, codeUnauthorized,
				"This page needs the gateway's key: send it as Authorization: Bearer.", "",
			}
		}
		return handle(c)
	}
}

// base is the path that info pages say they are below.
func (s *Server) base() string { return "/api/v1/" + s.settings.Env + "/apirouter" }

// healthz: the process is alive.
func (s *Server) healthz(c *gin.Context) error {
	c.JSON(http.StatusOK, gin.H{"status": "OK"})
	return nil
}

// readyz: the gateway can answer, with what it depends on by name.
func (s *Server) readyz(c *gin.Context) error {
	state, status := "OK", http.StatusOK
	if s.draining.Load() {
		state, status = "draining", http.StatusServiceUnavailable
	}
	needs := gin.H{"configuration": "OK"}
	if s.store != nil {
		// Without its store the gateway still routes: it stays ready, and says so.
		st := s.store()
		needs["store"], needs["spool"] = "OK", cmp.Or(st.Spool, "OK")
		if !st.Up {
			needs["store"] = cmp.Or(st.Fault, "down")
		}
		if state == "OK" && (!st.Up || st.Spool != "") {
			state = "degraded"
		}
	}
	if s.shared != nil {
		needs["sharedLimits"] = "OK"
		if !s.shared() {
			needs["sharedLimits"] = "down: this replica goes on with its part of each limit"
			if state == "OK" {
				state = "degraded"
			}
		}
	}
	c.JSON(status, gin.H{"status": state, "dependencies": needs})
	return nil
}

// reconfig reloads the configuration: contract section 12.
func (s *Server) reconfig(c *gin.Context) error {
	type reply struct {
		EndpointURI string   `json:"endpointUri"`
		CurrentDate string   `json:"currentDate"`
		Status      string   `json:"status"`
		Faults      []string `json:"faults,omitempty"`
		Generation  uint64   `json:"configGeneration,omitempty"`
		Hash        string   `json:"configHash,omitempty"`
	}
	r := reply{EndpointURI: s.base() + "/reconfig", CurrentDate: s.now().Format(clock)}
	presented := c.Param("key")
	if presented == "" {
		presented = auth.Key(c.Request.Header)
	}
	if !auth.Admin(s.settings.Key, presented) {
		r.Status = "Incorrect AI Services API Gateway Key"
		c.JSON(http.StatusBadRequest, r)
		return nil
	}
	snap, err := s.Reload(c.Request.Context())
	if err != nil {
		r.Status, r.Faults = "The configuration was not changed: it has faults", faults(err)
		c.JSON(http.StatusUnprocessableEntity, r)
		return nil
	}
	c.Header("X-Gateway-Config", snap.label)
	r.Status, r.Generation, r.Hash = "Reloaded router config ...", snap.Generation, snap.Config.Hash
	c.JSON(http.StatusOK, r)
	return nil
}

// showMetrics answers in one of the two forms of contract section 14.
func (s *Server) showMetrics(c *gin.Context) error {
	c.Header("Vary", "Accept")
	if metrics.WantsPrometheus(c.GetHeader("Accept"), c.Query("format")) {
		s.metrics.ServePrometheus(c.Writer, c.Request)
		return nil
	}
	c.Data(http.StatusOK, "application/json; charset=utf-8", s.metrics.JSON(metrics.Header{
		ListenPort: strconv.Itoa(s.settings.Port), InstanceName: s.settings.Name, EndpointURI: s.base() + "/metrics",
	}))
	return nil
}

// endpointStates is what the routers know of their endpoints right now.
func (s *Server) endpointStates() []metrics.EndpointState {
	var states []metrics.EndpointState
	for _, app := range s.live.Load().apps {
		for _, st := range app.Router.Status() {
			states = append(states, metrics.EndpointState{
				App: app.AppID, Endpoint: st.Endpoint.ID, Resting: !st.RestsUntil.IsZero(), InFlight: st.InFlight, RPMUsed: st.Admitted,
			})
		}
	}
	return states
}

// models lists the applications the caller may use, in the form of OpenAI's
// list of models.
func (s *Server) models(c *gin.Context) error {
	snap := s.live.Load()
	caller, ok := snap.callers.Identify(c.Request.Header)
	if !ok {
		return &refusal{http.StatusUnauthorized, codeUnauthorized, "This gateway needs a key.", ""}
	}
	type model struct {
		ID      string `json:"id"`
		Object  string `json:"object"`
		Created int64  `json:"created"`
		OwnedBy string `json:"owned_by"`
	}
	list := []model{}
	for _, app := range snap.apps {
		if app.AppType.Inference() && caller.May(app.AppID) {
			list = append(list, model{app.AppID, "model", snap.Loaded.Unix(), "aigateway"})
		}
	}
	c.JSON(http.StatusOK, gin.H{"object": "list", "data": list})
	return nil
}

// instanceInfo is the page of contract section 13.
func (s *Server) instanceInfo(c *gin.Context) error {
	snap := s.live.Load()
	set := s.settings
	type serverConfig struct {
		Host                string  `json:"host"`
		ListenPort          int     `json:"listenPort"`
		Environment         string  `json:"environment"`
		PersistPrompts      string  `json:"persistPrompts"`
		CollectInterval     float64 `json:"collectInterval"`
		CollectHistoryCount int     `json:"collectHistoryCount"`
		ConfigFile          string  `json:"configFile"`
	}
	type cacheSettings struct {
		CacheEnabled              bool   `json:"cacheEnabled"`
		EmbeddAiApp               string `json:"embeddAiApp,omitempty"`
		SearchEngine              string `json:"searchEngine"`
		CacheInvalidationSchedule string `json:"cacheInvalidationSchedule"`
	}
	type memorySettings struct {
		MemoryEnabled              string `json:"memoryEnabled"`
		MemoryInvalidationSchedule string `json:"memoryInvalidationSchedule"`
	}
	type persistSettings struct {
		PersistEnabled             bool             `json:"persistEnabled"`
		Retention                  *config.Interval `json:"retention,omitempty"`
		RedactPatterns             int              `json:"redactPatterns"`
		PromptInvalidationSchedule string           `json:"promptInvalidationSchedule"`
	}
	page := struct {
		ServerName       string            `json:"serverName"`
		ServerVersion    string            `json:"serverVersion"`
		ServerConfig     serverConfig      `json:"serverConfig"`
		CacheSettings    cacheSettings     `json:"cacheSettings"`
		MemorySettings   memorySettings    `json:"memorySettings"`
		PersistSettings  persistSettings   `json:"persistSettings"`
		AIApplications   []appInfo         `json:"aiApplications"`
		ContainerInfo    map[string]string `json:"containerInfo"`
		Store            *StoreState       `json:"store,omitempty"`
		GoVersion        string            `json:"goVersion"`
		ConfigGeneration uint64            `json:"configGeneration"`
		ConfigHash       string            `json:"configHash"`
		ConfigLoaded     time.Time         `json:"configLoaded"`
		APIGatewayURI    string            `json:"apiGatewayUri"`
		EndpointURI      string            `json:"endpointUri"`
		ServerStartDate  string            `json:"serverStartDate"`
		Status           string            `json:"status"`
	}{
		ServerName: set.Name, ServerVersion: s.version,
		ServerConfig: serverConfig{
			Host: set.Host, ListenPort: set.Port, Environment: set.Env,
			PersistPrompts:  strconv.FormatBool(set.PersistPrompts),
			CollectInterval: set.MetricsInterval.Minutes(), CollectHistoryCount: set.MetricsHistory,
			ConfigFile: set.ConfigFile,
		},
		CacheSettings:    cacheSettings{set.UseCache, set.VectorApp, set.SearchEngine, set.CacheSchedule},
		MemorySettings:   memorySettings{strconv.FormatBool(set.StateMgmt), set.MemorySchedule},
		PersistSettings:  persistSettings{set.PersistPrompts, nil, len(snap.Config.Persist.Redact), set.PromptSchedule},
		AIApplications:   make([]appInfo, 0, len(snap.apps)),
		ContainerInfo:    containerInfo(set),
		GoVersion:        runtime.Version(),
		ConfigGeneration: snap.Generation, ConfigHash: snap.Config.Hash, ConfigLoaded: snap.Loaded.UTC(),
		APIGatewayURI: s.base(), EndpointURI: s.base() + "/instanceinfo",
		ServerStartDate: s.started.Format(clock), Status: "OK",
	}
	if retention := snap.Config.Persist.Retention; !retention.IsZero() {
		page.PersistSettings.Retention = &retention
	}
	if s.store != nil {
		state := s.store()
		page.Store = &state
	}
	for _, app := range snap.apps {
		page.AIApplications = append(page.AIApplications, describe(app, s.now()))
	}
	c.JSON(http.StatusOK, page)
	return nil
}

func containerInfo(set *config.Settings) map[string]string {
	info := map[string]string{}
	for name, value := range map[string]string{
		"imageID": set.Container.ImageID, "nodeName": set.Container.NodeName, "podName": set.Container.PodName,
		"podNamespace": set.Container.PodNamespace, "podServiceAccount": set.Container.PodServiceAccount,
	} {
		if value != "" {
			info[name] = value
		}
	}
	return info
}

// appInfo describes an application: effective values, never a key.
type appInfo struct {
	ApplicationID  string               `json:"applicationId"`
	Description    string               `json:"description,omitempty"`
	Type           config.AppType       `json:"type"`
	SearchAiApp    string               `json:"searchAiApp,omitempty"`
	CacheSettings  json.RawMessage      `json:"cacheSettings"`
	MemorySettings json.RawMessage      `json:"memorySettings,omitempty"`
	PersistContent bool                 `json:"persistContent"`
	Strategy       string               `json:"strategy"`
	Timeouts       config.Timeouts      `json:"timeouts"`
	AllowedModels  []string             `json:"allowedModels,omitempty"`
	MaxBodyBytes   int64                `json:"maxBodyBytes"`
	Endpoints      map[int]endpointInfo `json:"endpoints"` // encoding/json sorts the keys
}

type endpointInfo struct {
	RPM      int     `json:"rpm,omitempty"`
	URI      string  `json:"uri"`
	ID       string  `json:"id"`
	Priority int     `json:"priority"`
	Weight   float64 `json:"weight,omitempty"`
	Model    string  `json:"model,omitempty"`
	State    string  `json:"state"`
	// RestingSeconds is how long the endpoint still rests.
	RestingSeconds float64 `json:"restingSeconds,omitempty"`
}

func describe(app *App, now time.Time) appInfo {
	info := appInfo{
		ApplicationID: app.AppID, Description: app.Description, Type: app.AppType, SearchAiApp: app.SearchAIApp,
		CacheSettings: json.RawMessage(`{"useCache":false}`), PersistContent: app.Persist.Content,
		Strategy: app.Strategy, Timeouts: app.Timeouts, AllowedModels: app.AllowedModels, MaxBodyBytes: app.MaxBodyBytes,
		Endpoints: make(map[int]endpointInfo, len(app.Endpoints)),
	}
	if app.CacheSettings.UseCache {
		info.CacheSettings = must(json.Marshal(app.CacheSettings))
	}
	switch {
	case app.MemorySettings.UseMemory:
		info.MemorySettings = must(json.Marshal(app.MemorySettings))
	case app.AppType.Inference():
		info.MemorySettings = json.RawMessage(`{"useMemory":false}`)
	}
	for i, st := range app.Router.Status() {
		ep, state, rest := &app.Endpoints[i], "available", 0.0
		if st.Reason != "" {
			state = string(st.Reason)
		}
		if !st.RestsUntil.IsZero() {
			rest = st.RestsUntil.Sub(now).Seconds()
		}
		info.Endpoints[i] = endpointInfo{
			RPM: ep.RPM, URI: showURI(ep.URI), ID: ep.ID, Priority: ep.Priority, Weight: ep.Weight, Model: ep.Model,
			State: state, RestingSeconds: rest,
		}
	}
	return info
}

func must(b []byte, err error) json.RawMessage {
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return b
}

// showURI returns an endpoint's URI with what may be a key in its query
// covered.
func showURI(uri string) string {
	u, err := url.Parse(uri)
	if err != nil || u.RawQuery == "" {
		return uri
	}
	query, covered := u.Query(), false
	for name := range query {
		switch strings.ToLower(name) {
		case "key", "api-key", "apikey", "code", "sig", "token", "subscription-key", "access_token":
			query.Set(name, "***")
			covered = true
		}
	}
	if !covered {
		return uri
	}
	u.RawQuery = query.Encode()
	return u.String()
}
