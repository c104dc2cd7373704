package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"aigateway/config"
	"aigateway/gateway"
	"aigateway/simulator"
)

const (
	adminKey = "admin-key-of-the-tests"
	// promptMarker stands in prompts; the log must never show it.
	promptMarker = "prompt-marker-5d41402a"
	apiVersion   = "?api-version=2024-10-21"
)

// setup is a gateway between a client and a simulator, all over HTTP.
type setup struct {
	t       *testing.T
	sim     *simulator.Simulator
	simURL  string
	source  *memorySource
	server  *gateway.Server
	url     string // of the gateway, without base path
	client  *http.Client
	log     *logBuffer
	elapsed atomic.Int64 // what advance has added to the gateway's clock
}

// newSetup starts a gateway with a configuration in which {{sim}} is the
// simulator's URL. At the end of the test everything is closed, no goroutine
// may be left, and the log may hold no key and no prompt.
func newSetup(t *testing.T, configJSON string, edit ...func(*config.Settings)) *setup {
	t.Helper()
	return newSetupSim(t, simulator.Options{}, configJSON, edit...)
}

func newSetupSim(t *testing.T, o simulator.Options, configJSON string, edit ...func(*config.Settings)) *setup {
	t.Helper()
	return newSetupKeeping(t, o, nil, configJSON, edit...)
}

// newSetupKeeping starts a gateway with what keep opens for it. keep gets the
// gateway's clock; what it returns is called at the end.
func newSetupKeeping(t *testing.T, o simulator.Options, keep func(*setup, *gateway.Options) (stop func()), configJSON string, edit ...func(*config.Settings)) *setup {
	t.Helper()
	before := goleak.IgnoreCurrent()
	s := &setup{t: t, sim: simulator.New(o), log: &logBuffer{}}
	quiet := slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	sim := httptest.NewUnstartedServer(s.sim)
	sim.Config.ErrorLog = quiet
	sim.Start()
	s.simURL = sim.URL
	s.source = &memorySource{simURL: sim.URL}
	s.source.set(configJSON)

	settings, err := config.FromEnv(func(name string) (string, bool) {
		v, ok := map[string]string{"API_GATEWAY_KEY": adminKey, "API_GATEWAY_NAME": "test-instance"}[name]
		return v, ok
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range edit {
		e(settings)
	}
	log := slog.New(slog.NewJSONHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	options := gateway.Options{Settings: settings, Source: s.source, Log: log, Version: "test", Now: s.now}
	stop := func() {}
	if keep != nil {
		stop = keep(s, &options)
	}
	s.server, err = gateway.New(t.Context(), options)
	if err != nil {
		stop()
		sim.Close()
		t.Fatal(err)
	}
	web := httptest.NewUnstartedServer(s.server.Handler())
	web.Config.ErrorLog = quiet
	web.Config.Protocols = new(http.Protocols)
	web.Config.Protocols.SetHTTP1(true)
	web.Config.Protocols.SetUnencryptedHTTP2(true)
	web.Start()
	s.url = web.URL
	s.client = &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: 128, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(func() {
		s.client.CloseIdleConnections()
		web.Close()
		stop()
		s.server.CloseIdle(0)
		sim.Close()
		goleak.VerifyNone(t, before)
		s.checkLog()
	})
	return s
}

// checkLog fails the test when the log shows what it must not.
func (s *setup) checkLog() {
	s.t.Helper()
	text := s.log.String()
	for _, secret := range append(s.source.secrets(), adminKey, promptMarker) {
		if strings.Contains(text, secret) {
			s.t.Errorf("the log shows %q", secret)
		}
	}
	if strings.Contains(text, "handler panicked") || strings.Contains(text, "BUG:") {
		s.t.Errorf("a handler panicked:\n%s", text)
	}
}

// now is the gateway's clock.
func (s *setup) now() time.Time { return time.Now().Add(time.Duration(s.elapsed.Load())) }

// advance moves the gateway's clock on.
func (s *setup) advance(d time.Duration) { s.elapsed.Add(int64(d)) }

// send makes a request; headers are names and values in turn.
func (s *setup) send(method, path string, body io.Reader, headers ...string) *http.Response {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	if body != nil && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := s.client.Do(req)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp
}

// do makes a request and reads its whole answer.
func (s *setup) do(method, path, body string, headers ...string) (status int, header http.Header, answer string) {
	s.t.Helper()
	var from io.Reader
	if body != "" {
		from = strings.NewReader(body)
	}
	resp := s.send(method, path, from, headers...)
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatalf("%s %s: reading the answer: %v", method, path, err)
	}
	return resp.StatusCode, resp.Header, string(all)
}

func (s *setup) post(path, body string, headers ...string) (status int, header http.Header, answer string) {
	s.t.Helper()
	return s.do(http.MethodPost, path, body, headers...)
}

func (s *setup) get(path string, headers ...string) (status int, header http.Header, answer string) {
	s.t.Helper()
	return s.do(http.MethodGet, path, "", headers...)
}

// memorySource is a configuration that tests change.
type memorySource struct {
	simURL string

	mu   sync.Mutex
	text string   // guarded by mu
	keys []string // every key that was ever configured; guarded by mu
	err  error    // of the next reads; guarded by mu
}

func (m *memorySource) set(text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.text = strings.ReplaceAll(text, "{{sim}}", m.simURL)
	var file any
	if json.Unmarshal([]byte(m.text), &file) == nil {
		m.collect(file)
	}
}

// collect gathers the values of members that hold keys. The caller holds mu.
func (m *memorySource) collect(v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			text, isText := member.(string)
			if isText && len(text) >= 5 && (strings.EqualFold(name, "apikey") || name == "key") {
				m.keys = append(m.keys, text)
			}
			m.collect(member)
		}
	case []any:
		for _, member := range v {
			m.collect(member)
		}
	}
}

func (m *memorySource) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

func (m *memorySource) secrets() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.keys...)
}

// Read is config.Source's.
func (m *memorySource) Read(context.Context) (data []byte, version string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return []byte(m.text), m.text, m.err
}

// logBuffer is a writer for many goroutines.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// chatApp is an azure_oai application with chat endpoints by deployment name,
// in order; members are added to the application's own.
func chatApp(id, members string, deployments ...string) string {
	var b strings.Builder
	b.WriteString(`{"appId":"` + id + `","appType":"azure_oai",` + members + `"endpoints":[`)
	for i, d := range deployments {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`{"id":"` + d + `","apikey":"key-of-` + d + `","uri":"` + chatURI(d) + `"}`)
	}
	return b.String() + `]}`
}

// chatURI is a simulated deployment's chat operation, with the placeholder.
func chatURI(deployment string) string {
	return "{{sim}}/openai/deployments/" + deployment + "/chat/completions" + apiVersion
}

// applications is a configuration of the given applications.
func applications(apps ...string) string {
	return `{"applications":[` + strings.Join(apps, ",") + `]}`
}

// goodChat is a request that every chat application answers.
const goodChat = `{"messages":[{"role":"user","content":"Say hello. ` + promptMarker + `"}]}`
