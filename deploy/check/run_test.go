// Package check holds the dashboard of deploy/grafana and the alert rules of
// deploy/prometheus against the metrics of a gateway that runs: Prometheus's
// own parser reads them, its store keeps them, and its engine runs every query.
package check

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	source = "../.." // of the gateway

	// startsWithin, showsWithin and stopsWithin are far above what a gateway
	// needs; they end the wait for one that hangs.
	startsWithin = 30 * time.Second
	showsWithin  = 30 * time.Second
	stopsWithin  = 30 * time.Second
)

// scrape is what a gateway answered at /metrics.
type scrape struct {
	contentType string
	body        []byte
}

// recording is what a gateway showed at two moments with the same traffic
// before each.
type recording struct {
	first, second scrape
	unexpected    []string // answers that were not those wanted
}

// recorded runs a gateway once for all tests.
var recorded = sync.OnceValues(record)

func recordingOf(t *testing.T) *recording {
	t.Helper()
	r, err := recorded()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestTrafficIsWhatTheQueriesAreAbout tells a fault of the run, which the other
// tests would show as queries that match nothing.
func TestTrafficIsWhatTheQueriesAreAbout(t *testing.T) {
	for _, fault := range recordingOf(t).unexpected {
		t.Error(fault)
	}
}

func record() (_ *recording, err error) {
	dir, err := os.MkdirTemp("", "gateway-check-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "gateway")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", program, "./cmd/gateway")
	build.Dir = source
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the gateway: %w\n%s", err, out)
	}

	models, err := start(dir, nil, program, "simulate", "--listen=127.0.0.1:0", "--cadence=2ms")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, models.stop()) }()
	_, simulator, err := models.line("http://")
	if err != nil {
		return nil, err
	}

	configuration, err := os.ReadFile(filepath.Join("testdata", "config.json"))
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "config.json")
	if err := os.WriteFile(file, bytes.ReplaceAll(configuration, []byte("SIMULATOR"), []byte(simulator)), 0o600); err != nil {
		return nil, err
	}
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/x-protobuf") // an empty message: all was taken
	}))
	defer collector.Close()
	const everySecond = "* * * * * *"
	gateway, err := start(dir, []string{
		"API_GATEWAY_CONFIG_FILE=" + file,
		"API_GATEWAY_LISTEN=127.0.0.1",
		"API_GATEWAY_PORT=0",
		"API_GATEWAY_DATA_DIR=" + filepath.Join(dir, "data"),
		"API_GATEWAY_USE_CACHE=true",
		"API_GATEWAY_STATE_MGMT=true",
		"API_GATEWAY_PERSIST_PROMPTS=true",
		"API_GATEWAY_LEDGER=true",
		"API_GATEWAY_VECTOR_AIAPP=embeddings",
		"API_GATEWAY_CACHE_INVAL_SCHEDULE=" + everySecond,
		"API_GATEWAY_MEMORY_INVAL_SCHEDULE=" + everySecond,
		"API_GATEWAY_PROMPT_INVAL_SCHEDULE=" + everySecond,
		"API_GATEWAY_LEDGER_INVAL_SCHEDULE=" + everySecond,
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + collector.URL,
		"REDIS_URL=redis://127.0.0.1:1", // nobody listens there
	}, program, "serve")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, gateway.stop()) }()
	if _, gateway.url, err = gateway.line(`"gateway listening","address":"`); err != nil {
		return nil, err
	}
	gateway.url = "http://" + gateway.url

	r := &recording{}
	for _, into := range []*scrape{&r.first, &r.second} {
		r.unexpected = append(r.unexpected, traffic(gateway.url, "http://"+simulator)...)
		if *into, err = gateway.scrapeWith(
			`gateway_invalidator_last_success_timestamp_seconds{of="cache"}`,
			`gateway_invalidator_last_success_timestamp_seconds{of="memory"}`,
			`gateway_invalidator_last_success_timestamp_seconds{of="prompts"}`,
		); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// traffic asks for everything that has metrics, and returns what was not
// answered as it should be.
func traffic(gateway, simulator string) (unexpected []string) {
	const whatever = 0 // status
	chat := func(user, question, more string) string {
		return fmt.Sprintf(`{"messages":[{"role":"user","content":%q}],"user":%q,"max_tokens":30%s}`, question, user, more)
	}
	ask := func(name string, want int, url, body string, header ...string) http.Header {
		req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
		if err != nil {
			unexpected = append(unexpected, fmt.Sprintf("%s: %v", name, err))
			return nil
		}
		req.Header.Set("Content-Type", "application/json")
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			unexpected = append(unexpected, fmt.Sprintf("%s: %v", name, err))
			return nil
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err != nil || want != whatever && resp.StatusCode != want {
			unexpected = append(unexpected, fmt.Sprintf("%s: got %d (%v), want %d: %.300s", name, resp.StatusCode, err, want, answer))
		}
		return resp.Header
	}
	app, past := gateway+"/lb/chat", gateway+"/lb/chat?use_cache=false"
	first := ask("a question", 200, app, chat("ada", "What is a gateway?", ""))
	ask("a question again", 200, app, chat("ada", "What is a gateway?", ""))
	ask("a question in other words", 200, app, chat("ada", "Please tell me, what is a gateway?", ""))
	ask("the next turn", 200, app, chat("ada", "And what is a proxy?", ""), "X-Thread-Id", first.Get("X-Thread-Id"))
	for _, tenant := range []string{"contoso", "fabrikam", "adatum"} { // the last is beyond maxTenants
		ask("a tenant's question", 200, past, chat("ada", "Who am I?", ""), "X-Tenant", tenant)
		ask("a tenant's stream", 200, past, chat("ada", "Who am I?", `,"stream":true`), "X-Tenant", tenant)
	}
	ask("an endpoint that throttles", 204, simulator+"/sim/script", `{"deployment":"gpt-4o-first","faults":["status=429;retry-after=1"]}`)
	ask("a question that fails over", 200, past, chat("ada", "Who is next?", ""))
	ask("text", 200, gateway+"/lb/completions", `{"prompt":"Once upon a time","max_tokens":20}`)
	ask("embeddings", 200, gateway+"/lb/embeddings", `{"input":"a gateway"}`)
	ask("a search", 200, gateway+"/lb/search", `{"search":"gateway","top":1}`)
	ask("a quota", 403, past, chat("frugal", strings.Repeat("How much is left of what I may use today? ", 10), ""))
	ask("a request a minute", whatever, past, chat("hasty", "May I?", ""))
	ask("another in that minute", 429, past, chat("hasty", "May I again?", ""))
	ask("an endpoint that is away", whatever, gateway+"/lb/broken", `{"prompt":"Is anybody there?"}`)
	return unexpected
}

// process is a program that runs.
type process struct {
	url     string
	command *exec.Cmd
	lines   chan string // of its output; closed when it is over
	said    []string    // of lines, by line
}

// start runs a program in a folder, with the variables beside those of the
// Go toolchain's own environment that are not the gateway's.
func start(dir string, variables []string, program string, args ...string) (*process, error) {
	p := &process{command: exec.Command(program, args...), lines: make(chan string, 1000)}
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, "API_GATEWAY_") && !strings.HasPrefix(name, "OTEL_") && !strings.HasPrefix(name, "VECTOR_DB_") &&
			name != "DATABASE_URL" && name != "REDIS_URL" && name != "APPLICATIONINSIGHTS_CONNECTION_STRING" {
			p.command.Env = append(p.command.Env, kv)
		}
	}
	p.command.Env = append(p.command.Env, variables...)
	p.command.Dir = dir
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.command.Stdout, p.command.Stderr = write, write
	err = p.command.Start()
	write.Close()
	if err != nil {
		return nil, err
	}
	go func() {
		defer close(p.lines)
		defer read.Close()
		for s := bufio.NewScanner(read); s.Scan(); {
			select {
			case p.lines <- s.Text():
			default: // enough has been said
			}
		}
	}()
	return p, nil
}

// line waits for a line with text in it, and returns it and the word after the
// text.
func (p *process) line(text string) (whole, word string, err error) {
	late := time.After(startsWithin)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				return "", "", fmt.Errorf("%s ended without saying %q:\n%s", p.command, text, strings.Join(p.said, "\n"))
			}
			p.said = append(p.said, line)
			if _, after, ok := strings.Cut(line, text); ok {
				word, _, _ := strings.Cut(after, `"`)
				return line, strings.TrimSpace(word), nil
			}
		case <-late:
			return "", "", fmt.Errorf("%s did not say %q within %v:\n%s", p.command, text, startsWithin, strings.Join(p.said, "\n"))
		}
	}
}

// stop ends the process as an operator would.
func (p *process) stop() error {
	http.DefaultClient.CloseIdleConnections()
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stopping %s: %w", p.command, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- p.command.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			return fmt.Errorf("%s ended with: %w", p.command, err)
		}
		return nil
	case <-time.After(stopsWithin):
		_ = p.command.Process.Kill()
		<-ended
		return fmt.Errorf("%s did not stop within %v", p.command, stopsWithin)
	}
}

// accept is what Prometheus 3 sends.
const accept = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4," +
	"text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"

// scrapeWith scrapes until there is a sample of each of the series.
func (p *process) scrapeWith(series ...string) (scrape, error) {
	ctx, cancel := context.WithTimeout(context.Background(), showsWithin)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		s, err := p.scrape(ctx)
		if err != nil {
			return scrape{}, err
		}
		missing := ""
		for _, one := range series {
			if !bytes.Contains(s.body, []byte("\n"+one+" ")) {
				missing = one
			}
		}
		if missing == "" {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return scrape{}, fmt.Errorf("no %s within %v", missing, showsWithin)
		case <-again.C:
		}
	}
}

func (p *process) scrape(ctx context.Context) (scrape, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+metricsPath, nil)
	if err != nil {
		return scrape{}, err
	}
	req.Header.Set("Accept", accept)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return scrape{}, fmt.Errorf("scraping: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return scrape{}, fmt.Errorf("scraping: %d, %w: %.300s", resp.StatusCode, err, body)
	}
	return scrape{resp.Header.Get("Content-Type"), body}, nil
}
