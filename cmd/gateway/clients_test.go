package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"aigateway/simulator"
)

const (
	// clientRounds is how often the clients' tests run on one gateway that has a
	// cache: the second time it knows the answers.
	clientRounds = 2

	callerKey   = "key-of-a-caller-of-all"
	narrowKey   = "key-of-a-caller-of-one"
	endpointKey = "key-of-every-endpoint"
)

// clientsSetup is a gateway as a process of its own, with simulated models in
// this one.
type clientsSetup struct {
	*gatewayProcess
	sim    *simulator.Simulator
	simURL string
	keyed  bool // the gateway asks for callers' keys
	kept   bool // with cache and conversations
	round  int  // of the clients on this gateway, from 1 on
}

// replays reports whether what the clients ask has been answered before.
func (s *clientsSetup) replays() bool { return s.kept && s.round > 1 }

// clientsMode is how the gateway of the clients' tests is set up.
type clientsMode struct {
	keyed    bool   // it asks for callers' keys
	kept     bool   // it has a cache and conversations, and stores prompts
	database string // of what is kept; empty is the embedded one
}

// startClientsSetup starts a gateway with the applications that the clients'
// tests use.
func startClientsSetup(t *testing.T, mode clientsMode) *clientsSetup {
	t.Helper()
	sim := simulator.New(simulator.Options{
		Keys:        []string{endpointKey},
		Deployments: map[string]simulator.Deployment{"broken": {Fault: "status=500"}},
	})
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)

	type object = map[string]any
	endpoint := func(id, path string) object {
		return object{"id": id, "uri": server.URL + path, "apikey": endpointKey}
	}
	azureEndpoint := func(deployment, operation string) object {
		return endpoint(deployment, "/openai/deployments/"+deployment+"/"+operation+"?api-version=2024-10-21")
	}
	app := func(id, kind string, endpoints ...object) object {
		return object{"appId": id, "appType": kind, "endpoints": endpoints}
	}
	applications := []object{
		app("aichatbotapp", "azure_oai", azureEndpoint("chat-first", "chat/completions"), azureEndpoint("chat-second", "chat/completions")),
		app("aidocusearchapp", "azure_oai", azureEndpoint("instruct", "completions")),
		app("vectorizedata", "azure_oai", azureEndpoint("ada", "embeddings")),
		app("openai-app", "openai", endpoint("openai", "/v1")),
		app("busyapp", "azure_oai", azureEndpoint("busy", "chat/completions")),
	}
	// Their endpoints remember what they were asked: one application for each form of client and round.
	for _, form := range []string{"OpenAI", "AzureOpenAI"} {
		for round := 1; round <= clientRounds; round++ {
			limited := azureEndpoint("limited", "chat/completions")
			limited["rpm"] = 1
			applications = append(applications,
				app(fmt.Sprintf("oneaminute-%s-%d", form, round), "azure_oai", limited),
				app(fmt.Sprintf("brokenapp-%s-%d", form, round), "azure_oai", azureEndpoint("broken", "chat/completions")))
		}
	}
	var env []string
	if mode.kept {
		env = keepingEnv("DATABASE_URL="+mode.database, "API_GATEWAY_DATA_DIR="+t.TempDir())
		for _, app := range applications {
			switch app["appId"] {
			case "vectorizedata":
				continue
			case "aidocusearchapp":
				app["cacheSettings"] = object{"useCache": true, "searchDistance": 0.95, "searchContent": object{"term": "prompt"}}
				continue
			}
			app["cacheSettings"] = object{"useCache": true, "searchDistance": 0.95, "entryExpiry": "1 day"}
			app["memorySettings"] = object{"useMemory": true, "msgCount": 5, "entryExpiry": "1 hour"}
		}
	}
	configuration := object{"applications": applications}
	if mode.keyed {
		configuration["callers"] = []object{
			{"id": "all", "key": callerKey, "apps": []string{"*"}},
			{"id": "one", "key": narrowKey, "apps": []string{"vectorizedata"}},
		}
	}
	text, err := json.Marshal(configuration)
	if err != nil {
		t.Fatal(err)
	}
	s := &clientsSetup{
		gatewayProcess: startGateway(t, string(text), env...), sim: sim, simURL: server.URL,
		keyed: mode.keyed, kept: mode.kept, round: 1,
	}
	s.secrets = append(s.secrets, callerKey, narrowKey)
	return s
}

// forEachSetup runs a test with a gateway that takes anyone, and with one that
// asks for callers' keys.
func forEachSetup(t *testing.T, test func(*testing.T, *clientsSetup)) {
	t.Run("anyone may call", func(t *testing.T) { test(t, startClientsSetup(t, clientsMode{})) })
	t.Run("callers have keys", func(t *testing.T) { test(t, startClientsSetup(t, clientsMode{keyed: true})) })
}

// TestJavaScriptClients runs testdata/clients: the npm packages openai,
// @azure/openai and @langchain/openai, and plain fetch.
func TestJavaScriptClients(t *testing.T) {
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err == nil {
			continue
		}
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not installed; in CI the JavaScript clients must run", program)
		}
		t.Skipf("%s is not installed: the JavaScript clients are not tested", program)
	}
	dir := installClients(t)
	forEachSetup(t, func(t *testing.T, s *clientsSetup) { runClients(t, dir, s) })
	t.Run("with all that is kept", func(t *testing.T) {
		s := startClientsSetup(t, clientsMode{keyed: true, kept: true})
		eachRound(t, s, func(t *testing.T) { runClients(t, dir, s) })
	})
}

// installClients returns a folder with the scripts and the packages of the
// lock file. The packages stay for the next run.
func installClients(t *testing.T) string {
	t.Helper()
	const source = "testdata/clients"
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(source)); err != nil {
		t.Fatal(err)
	}
	// A checkout in which somebody has worked has packages of its own.
	if err := os.RemoveAll(filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	lock, err := os.ReadFile(filepath.Join(source, "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	cache, err := testCache()
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(lock)
	installed := filepath.Join(cache, "npm-"+hex.EncodeToString(sum[:8]))
	if _, err := os.Stat(installed); err != nil {
		npmInstall(t, dir, cache, installed)
	}
	if err := os.Symlink(filepath.Join(installed, "node_modules"), filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// npmInstall installs the packages of dir's lock file into a new folder, which
// gets its name when it is complete.
func npmInstall(t *testing.T, dir, cache, installed string) {
	t.Helper()
	fresh, err := os.MkdirTemp(cache, "npm-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(fresh)
	for _, name := range []string{"package.json", "package-lock.json", ".npmrc"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(fresh, name), b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // a slow registry, not a stuck one
	defer cancel()
	npm := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--loglevel=error")
	npm.Dir = fresh
	npm.WaitDelay = time.Second
	if out, err := npm.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	if err := os.Rename(fresh, installed); err != nil {
		if _, missing := os.Stat(installed); missing != nil { // no other run was first
			t.Fatal(err)
		}
	}
}

// runClients runs every test file of dir against a gateway.
func runClients(t *testing.T, dir string, s *clientsSetup) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.test.mjs"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no test files in %s: %v", dir, err)
	}
	onOff := map[bool]string{true: "on", false: "off"}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	// One file after the other: they count the simulator's calls.
	args := []string{"--test", "--test-concurrency=1", "--test-timeout=60000", "--test-reporter=tap"}
	node := exec.CommandContext(ctx, "node", append(args, files...)...)
	node.Dir = dir
	node.WaitDelay = time.Second
	// Nothing of the developer's own OPENAI_, AZURE_ and LANGCHAIN_ variables.
	node.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir,
		"GATEWAY_URL=" + s.URL, "SIMULATOR_URL=" + s.simURL, "CALLER_KEY=" + callerKey, "CALLERS=" + onOff[s.keyed],
		"KEPT=" + onOff[s.kept], "ROUND=" + strconv.Itoa(s.round),
	}
	var out bytes.Buffer
	node.Stdout, node.Stderr = &out, &out
	err = node.Run()
	counts := tapCounts(out.String())
	complete := counts["pass"] > 0 && counts["pass"] == counts["tests"]
	if err != nil || !complete {
		t.Errorf("node --test: %v; counts %v, want every test passed\n%s", err, counts, out.String())
		return
	}
	t.Logf("%d tests of %d files passed", counts["pass"], len(files))
}

var tapCount = regexp.MustCompile(`(?m)^# (tests|pass|fail|cancelled|skipped|todo) (\d+)$`)

// tapCounts reads the counts at the end of node's TAP output; -1 for one that
// is missing.
func tapCounts(out string) map[string]int {
	counts := map[string]int{"tests": -1, "pass": -1}
	for _, m := range tapCount.FindAllStringSubmatch(out, -1) {
		counts[m[1]], _ = strconv.Atoi(m[2])
	}
	return counts
}
