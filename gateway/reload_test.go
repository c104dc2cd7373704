package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"aigateway/config"
	"aigateway/gateway"
	"aigateway/simulator"
)

// spoken joins the content of a stream's events.
func spoken(t *testing.T, stream string) string {
	t.Helper()
	var text strings.Builder
	for line := range strings.Lines(stream) {
		data, isData := strings.CutPrefix(strings.TrimSpace(line), "data: ")
		if !isData || data == "[DONE]" {
			continue
		}
		var event struct {
			Choices []struct{ Delta struct{ Content string } }
		}
		if err := json.Unmarshal([]byte(data), &event); err != nil {
			t.Errorf("event %s: %v", data, err)
			continue
		}
		for _, c := range event.Choices {
			text.WriteString(c.Delta.Content)
		}
	}
	return text.String()
}

func TestStreamsOutliveReloads(t *testing.T) {
	const streams, reloads, atOnce = 300, 200, 15
	variant := func(i int) string {
		members := fmt.Sprintf(`"description":"variant %d","maxBodyBytes":%d,`, i, 1_000_000+i)
		first, second := "one", "two"
		if i%2 == 1 {
			first, second = second, first
		}
		apps := []string{chatApp("chat", members, first, second)}
		for n := range i % 3 {
			apps = append(apps, chatApp(fmt.Sprintf("other-%d", n), "", "one"))
		}
		return applications(apps...)
	}
	s := newSetup(t, variant(0))
	body := func(i int) string {
		return fmt.Sprintf(`{"stream":true,"user":"sim:cadence=200us","messages":[{"role":"user","content":"Question number %d of many, äöü"}]}`, i)
	}
	var next atomic.Int64
	var asking sync.WaitGroup
	for range atOnce {
		asking.Go(func() {
			for i := int(next.Add(1)); i <= streams; i = int(next.Add(1)) {
				want := spoken(t, direct(t, simulator.Options{}, strings.TrimPrefix(chatURI("one"), "{{sim}}"), "application/json", body(i)).Body.String())
				resp, text, err := s.stream("/lb/chat", body(i))
				if err != nil || resp.StatusCode != http.StatusOK || !strings.HasSuffix(text, "data: [DONE]\n\n") {
					t.Errorf("stream %d: %d %v: %s", i, resp.StatusCode, err, text)
					return
				}
				if got := spoken(t, text); got != want || !strings.Contains(got, fmt.Sprintf("number %d of", i)) {
					t.Errorf("stream %d: got %q, want %q", i, got, want)
				}
			}
		})
	}
	asked := make(chan struct{})
	go func() { asking.Wait(); close(asked) }()
	for i := 1; i <= reloads; i++ {
		s.source.set(variant(i))
		snap, err := s.server.Reload(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("variant %d", i); snap.Config.App("chat").Description != want || snap.Generation != uint64(i+1) {
			t.Errorf("reload %d: generation %d of %q", i, snap.Generation, snap.Config.App("chat").Description)
		}
		// Reloads are spread over the streams.
		within(t, "streams go on", func() bool { return next.Load() >= int64(i*streams/reloads) })
	}
	<-asked
	if failed := s.counts("chat"); failed[0].FailedAPICalls+failed[1].FailedAPICalls != 0 || failed[0].APICalls+failed[1].APICalls != streams {
		t.Errorf("counted %+v", failed)
	}
}

func TestRestsAndCountersSurviveAReload(t *testing.T) {
	s := newSetup(t, applications(chatApp("chat", "", "one", "two")))
	s.sim.Script("one", "status=429;retry-after=60")
	for i, change := range []string{"", `"description":"changed",`, `"maxBodyBytes":5000,`} {
		s.source.set(applications(chatApp("chat", change, "one", "two")))
		if _, err := s.server.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		if status, header, _ := s.post("/lb/chat", goodChat); status != http.StatusOK || header.Get("X-Gateway-Endpoint") != "two" {
			t.Errorf("%d by %q", status, header.Get("X-Gateway-Endpoint"))
		}
		s.settled(i + 1)
	}
	if calls := s.sim.Calls("one"); calls != 1 {
		t.Errorf("a resting endpoint was called %d times", calls)
	}
	if got := s.counts("chat"); got[0].ThrottledAPICalls != 1 || got[1].APICalls != 3 {
		t.Errorf("counted %+v", got)
	}
	// Its place in the list does not matter to what is known of it.
	s.source.set(applications(chatApp("chat", "", "two", "one")))
	if _, err := s.server.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.states("chat"); got[0] != "available" || got[1] == "available" {
		t.Errorf("states after the order changed: %v", got)
	}
}

// fromFile is a server whose configuration is a file.
func fromFile(t *testing.T, path string) (*gateway.Server, *logBuffer) {
	t.Helper()
	settings, err := config.FromEnv(func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	log := &logBuffer{}
	server, err := gateway.New(t.Context(), gateway.Options{
		Settings: settings, Source: config.File{Path: path}, Log: slog.New(slog.NewJSONHandler(log, nil)), Version: "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	return server, log
}

// described is a configuration that differs in a description.
func described(description string) string {
	return strings.ReplaceAll(applications(chatApp("chat", `"description":"`+description+`",`, "one")), "{{sim}}", "http://127.0.0.1:1")
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func refusals(log *logBuffer) int {
	return strings.Count(log.String(), "changed configuration refused")
}

func TestRefreshFollowsTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json")
	writeFile(t, path, described("first"))
	server, log := fromFile(t, path)
	now := func() string { return server.Config().App("chat").Description }
	steps := []struct {
		name     string
		change   func()
		want     string
		refusals int // so far
	}{
		{"nothing changed", func() {}, "first", 0},
		{"changed", func() { writeFile(t, path, described("second")) }, "second", 0},
		{"half written", func() { writeFile(t, path, described("third")[:60]) }, "second", 1},
		{"still half written", func() {}, "second", 1},
		{"written to its end", func() { writeFile(t, path, described("third")) }, "third", 1},
		{"half written again", func() { writeFile(t, path, described("third")[:60]) }, "third", 2},
		{"emptied", func() { writeFile(t, path, "") }, "third", 3},
		{"gone", func() { os.Remove(path) }, "third", 4},
		{"still gone", func() {}, "third", 4},
		{"there again as it was", func() { writeFile(t, path, described("third")) }, "third", 4},
		{"invalid", func() { writeFile(t, path, strings.Replace(described("fourth"), "azure_oai", "azure_oia", 1)) }, "third", 5},
		{"good", func() { writeFile(t, path, described("fourth")) }, "fourth", 5},
	}
	generations := 0
	for _, step := range steps {
		step.change()
		before := now()
		server.Refresh(t.Context())
		server.Refresh(t.Context())
		if got := now(); got != step.want {
			t.Errorf("%s: %q is in force, want %q", step.name, got, step.want)
		}
		if got := refusals(log); got != step.refusals {
			t.Errorf("%s: refused %d times, want %d", step.name, got, step.refusals)
		}
		if now() != before {
			generations++
		}
	}
	if got := strings.Count(log.String(), "configuration in force"); got != generations+1 {
		t.Errorf("%d configurations came into force, want %d", got, generations+1)
	}
}

func TestRefreshFollowsAConfigMap(t *testing.T) {
	// As the kubelet does it: config.json → ..data/config.json, ..data → a
	// folder per version, swapped by one rename.
	dir := t.TempDir()
	publish := func(version, text string) {
		t.Helper()
		folder := filepath.Join(dir, "..version-"+version)
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(folder, "config.json"), text)
		temporary := filepath.Join(dir, "..data_tmp")
		if err := os.Symlink(filepath.Base(folder), temporary); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(temporary, filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	publish("1", described("first"))
	path := filepath.Join(dir, "config.json")
	if err := os.Symlink(filepath.Join("..data", "config.json"), path); err != nil {
		t.Fatal(err)
	}
	server, log := fromFile(t, path)
	for _, version := range []string{"2", "3"} {
		publish(version, described("version "+version))
		server.Refresh(t.Context())
		if got := server.Config().App("chat").Description; got != "version "+version {
			t.Errorf("%q is in force after version %s", got, version)
		}
	}
	if n := refusals(log); n != 0 {
		t.Errorf("%d refused", n)
	}
}

func TestRotatedSecretIsTakenUp(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "key")
	writeFile(t, secret, "the-first-secret\n")
	s := newSetupSim(t, simulator.Options{Keys: []string{"the-second-secret"}},
		applications(strings.Replace(chatApp("chat", "", "one"), "key-of-one", "file:"+secret, 1)))
	s.source.mu.Lock()
	s.source.keys = nil // where the key is may be logged, the key may not
	s.source.mu.Unlock()
	if status, _, _ := s.post("/lb/chat", goodChat); status != http.StatusUnauthorized {
		t.Errorf("with the old secret: %d", status)
	}
	writeFile(t, secret, "the-second-secret\n")
	s.server.Refresh(t.Context())
	if status, _, body := s.post("/lb/chat", goodChat); status != http.StatusOK {
		t.Errorf("with the new secret: %d %s", status, body)
	}
	if err := os.Remove(secret); err != nil {
		t.Fatal(err)
	}
	s.server.Refresh(t.Context())
	s.server.Refresh(t.Context())
	if status, _, _ := s.post("/lb/chat", goodChat); status != http.StatusOK {
		t.Errorf("with the secret gone: %d", status)
	}
	if n := refusals(s.log); n != 1 {
		t.Errorf("the missing secret was logged %d times", n)
	}
	for _, shown := range []string{"the-first-secret", "the-second-secret"} {
		if strings.Contains(s.log.String(), shown) {
			t.Errorf("the log shows %s", shown)
		}
	}
}

func TestDrainingServerIsNotReadyAndEndsConnections(t *testing.T) {
	s := newSetup(t, applications(chatApp("chat", "", "one")))
	if status, header, _ := s.get("/readyz"); status != http.StatusOK || header.Get("Connection") != "" {
		t.Errorf("before: %d, connection %q", status, header.Get("Connection"))
	}
	s.server.Drain()
	for _, path := range []string{"/readyz", "/api/v1/dev/apirouter/readyz"} {
		resp := s.send(http.MethodGet, path, nil)
		resp.Body.Close()
		if resp.StatusCode != http.StatusServiceUnavailable || !resp.Close {
			t.Errorf("%s: %d, connection closes: %v", path, resp.StatusCode, resp.Close)
		}
	}
	if status, _, _ := s.get("/healthz"); status != http.StatusOK {
		t.Errorf("alive: %d", status)
	}
	if status, _, _ := s.post("/lb/chat", goodChat); status != http.StatusOK {
		t.Errorf("a request that still comes: %d", status)
	}
}

func TestRefusedReloadChangesNothing(t *testing.T) {
	s := newSetup(t, applications(chatApp("chat", "", "one")))
	before := s.server.Config()
	for _, bad := range []string{"", "{", applications(), strings.Replace(applications(chatApp("chat", `"sercheAiApp":"x",`, "one")), "{{sim}}", "ftp://x", 1)} {
		s.source.set(bad)
		if _, err := s.server.Reload(t.Context()); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
	s.source.fail(context.DeadlineExceeded)
	if _, err := s.server.Reload(t.Context()); err == nil {
		t.Error("a source that cannot be read was accepted")
	}
	if s.server.Config() != before {
		t.Error("the configuration changed")
	}
	if status, header, _ := s.post("/lb/chat", goodChat); status != http.StatusOK || !strings.HasPrefix(header.Get("X-Gateway-Config"), "1-") {
		t.Errorf("%d under configuration %s", status, header.Get("X-Gateway-Config"))
	}
}
