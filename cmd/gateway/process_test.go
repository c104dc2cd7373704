package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// startsWithin and stopsWithin are far above what a gateway needs; they end
	// the wait for one that hangs.
	startsWithin = 30 * time.Second
	stopsWithin  = 30 * time.Second
	adminKey     = "admin-key-of-the-tests"
)

// binary builds the program once for all tests, with the race detector when
// they run under it.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := testCache()
	if err != nil {
		return "", err
	}
	name, args := "gateway", []string{"build", "-buildvcs=false"}
	if underRace() {
		name, args = "gateway-race", append(args, "-race")
	}
	// A build of its own, put in place by one rename: another test run may be
	// at the same, or running the last one.
	fresh, err := os.MkdirTemp(dir, "build-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(fresh)
	built := filepath.Join(fresh, name)
	if out, err := exec.Command("go", append(args, "-o", built, ".")...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the gateway: %w\n%s", err, out)
	}
	final := filepath.Join(dir, name)
	return final, os.Rename(built, final)
})

// testCache is where what tests build or fetch stays for the next run: a
// folder of its own for each checkout.
func testCache() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		base = os.TempDir()
	}
	here, err := os.Getwd()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(here))
	dir := filepath.Join(base, "aigateway-test", hex.EncodeToString(sum[:6]))
	return dir, os.MkdirAll(dir, 0o755)
}

// underRace reports whether this test runs under the race detector.
func underRace() bool {
	build, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(build.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// gatewayProcess is the built program, serving.
type gatewayProcess struct {
	URL  string // http://127.0.0.1:port
	Base string // URL and the base path, to which /lb and the pages are added

	command *exec.Cmd
	exited  chan struct{} // closed when the process is over; err is its end
	err     error
	output  bytes.Buffer // read after exited only
	killed  bool         // by kill, so that its end is no fault
	logFile string
	secrets []string
}

// startGateway runs "gateway serve" with a configuration on a free port of
// loopback, and ends it with the test. The test fails when the process does not
// stop by itself with exit code 0, when it logged an error, or when a
// configured key is in its log or output.
func startGateway(t *testing.T, configuration string, env ...string) *gatewayProcess {
	t.Helper()
	program, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	g := &gatewayProcess{
		exited:  make(chan struct{}),
		logFile: filepath.Join(dir, "gateway.log"),
		secrets: append(keysIn(t, configuration), adminKey),
	}
	configFile := filepath.Join(dir, "config.json")
	if err := os.WriteFile(configFile, []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	g.command = exec.Command(program, "serve")
	g.command.Dir = dir
	g.command.Env = append(environment(),
		"API_GATEWAY_CONFIG_FILE="+configFile,
		"API_GATEWAY_KEY="+adminKey,
		"API_GATEWAY_LISTEN=127.0.0.1",
		"API_GATEWAY_PORT=0", // any free one; the log tells which
		"API_GATEWAY_LOG_FILE="+g.logFile,
	)
	g.command.Env = append(g.command.Env, env...)
	g.command.Stdout, g.command.Stderr = &g.output, &g.output
	if err := g.command.Start(); err != nil {
		t.Fatalf("starting the gateway: %v", err)
	}
	go func() {
		g.err = g.command.Wait()
		close(g.exited)
	}()
	t.Cleanup(func() { g.stop(t) })
	g.waitReady(t)
	return g
}

// environment is this process's without the gateway's own variables.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return strings.HasPrefix(kv, "API_GATEWAY_") || strings.HasPrefix(kv, "VECTOR_DB_") || strings.HasPrefix(kv, "DATABASE_URL=")
	})
}

// waitReady waits until the gateway says that it can answer.
func (g *gatewayProcess) waitReady(t *testing.T) {
	t.Helper()
	err := eventually(startsWithin, func() (bool, error) {
		select {
		case <-g.exited:
			return false, fmt.Errorf("the gateway did not start: %w", g.err)
		default:
		}
		if g.URL == "" {
			address := g.listensAt()
			if address == "" {
				return false, nil
			}
			g.URL = "http://" + address
			g.Base = g.URL + "/api/v1/dev/apirouter"
		}
		resp, err := http.Get(g.URL + "/readyz")
		if err != nil {
			return false, nil //nolint:nilerr // it does not listen yet
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// listensAt is the address in the log, "" while it is not there.
func (g *gatewayProcess) listensAt() string {
	for line := range bytes.Lines(g.log()) {
		var entry struct{ Msg, Address string }
		if json.Unmarshal(line, &entry) == nil && entry.Msg == "gateway listening" {
			return entry.Address
		}
	}
	return ""
}

// log is what the gateway has logged so far.
func (g *gatewayProcess) log() []byte {
	b, err := os.ReadFile(g.logFile)
	if err != nil {
		return nil
	}
	return b
}

// stop ends the process as an operator would and judges it.
func (g *gatewayProcess) stop(t *testing.T) {
	t.Helper()
	http.DefaultClient.CloseIdleConnections()
	if err := g.command.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("stopping the gateway: %v", err)
	}
	select {
	case <-g.exited:
	case <-time.After(stopsWithin):
		t.Error("the gateway does not stop; it is killed")
		g.command.Process.Kill()
		<-g.exited
	}
	if g.err != nil && !g.killed {
		t.Errorf("the gateway ended with: %v", g.err)
	}
	logged := g.log()
	if g.killed { // its last line may be cut
		logged = logged[:bytes.LastIndexByte(logged, '\n')+1]
	}
	for line := range bytes.Lines(logged) {
		var entry struct{ Level string }
		if err := json.Unmarshal(line, &entry); err != nil {
			t.Errorf("a line of the log is not JSON: %s", line)
		}
		if entry.Level == "ERROR" {
			t.Errorf("the gateway logged an error: %s", line)
		}
	}
	slices.Sort(g.secrets)
	g.secrets = slices.Compact(g.secrets)
	for _, secret := range g.secrets {
		for name, text := range map[string][]byte{"log": logged, "output": g.output.Bytes()} {
			if bytes.Contains(text, []byte(secret)) {
				t.Errorf("the key %q is in the gateway's %s", secret, name)
			}
		}
	}
	if t.Failed() {
		const most = 8 << 10
		t.Logf("output:\n%s\nend of the log:\n%s", g.output.Bytes(), logged[max(0, len(logged)-most):])
	}
}

// kill ends the process as nobody should, and waits for its end.
func (g *gatewayProcess) kill(t *testing.T) {
	t.Helper()
	g.killed = true
	if err := g.command.Process.Kill(); err != nil {
		t.Fatalf("killing the gateway: %v", err)
	}
	<-g.exited
}

// keysIn are the keys in a configuration.
func keysIn(t *testing.T, configuration string) (keys []string) {
	t.Helper()
	var follows bool // the next string is a key
	tokens := json.NewDecoder(strings.NewReader(configuration))
	for {
		token, err := tokens.Token()
		if err == io.EOF {
			return keys
		}
		if err != nil {
			t.Fatalf("the test's configuration: %v", err)
		}
		value, isString := token.(string)
		if follows && isString {
			keys = append(keys, value)
		}
		follows = !follows && isString && (value == "apikey" || value == "key")
	}
}

// eventually asks until the answer is yes or an error, for as long as within.
func eventually(within time.Duration, ask func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		if yes, err := ask(); yes || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not so within %v", within)
		case <-again.C:
		}
	}
}
