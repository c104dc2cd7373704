package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	embeddingPath = "/openai/deployments/embed/embeddings?api-version=2024-10-21"
	// nearEnough is the bound of the semantic cache, the configuration's
	// default.
	nearEnough = 0.95
	// turnsSent are the interactions of a conversation that go along.
	turnsSent = 5
	// settlesWithin is what a store has for what a run leaves to it.
	settlesWithin = time.Minute
	// settlesEvery is how often that is asked: an answer takes the gateway about
	// a millisecond of the CPU time that is measured.
	settlesEvery = 200 * time.Millisecond
)

// keeping says what a gateway keeps and counts, and where.
type keeping struct {
	name                           string // of the target
	cache, memory, prompts, ledger bool

	accounts bool   // requests name tenants, and have a price
	limited  bool   // by all limits that there are, none of which is reached
	sink     *sink  // of its telemetry; nil is off
	at       *place // nil when nothing is kept or shared
}

type object map[string]any

// configuration is that of a gateway before a backend.
func (k *keeping) configuration(backend string) ([]byte, error) {
	endpoint := func(path string) []object {
		return []object{{"uri": "http://" + backend + path, "apikey": "bench-endpoint-key", "rpm": ampleRPM}}
	}
	app := object{"appId": "bench", "appType": "azure_oai", "endpoints": endpoint(backendPath)}
	apps := []object{app}
	if k.cache {
		// A look-up that is slow is to be seen as such, not as a miss.
		app["cacheSettings"] = object{
			"useCache": true, "searchDistance": nearEnough, "lookupTimeout": "5 seconds", "embeddingTimeout": "5 seconds",
		}
		apps = append(apps, object{"appId": "embed", "appType": "azure_oai", "endpoints": endpoint(embeddingPath)})
	}
	if k.memory {
		app["memorySettings"] = object{"useMemory": true, "msgCount": turnsSent}
	}
	all := object{
		"applications": apps,
		"callers":      []object{{"id": "bench", "key": fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(callerKey))), "apps": []string{"bench"}}},
	}
	if k.accounts {
		app["tenants"] = object{"header": tenantHeader}
		all["prices"] = []object{{"model": pricedModel, "input": 2.5, "cachedInput": 1.25, "output": 10}}
	}
	if k.limited {
		app["endpoints"].([]object)[0]["limits"] = ample()
		all["limits"] = everyLimit()
	}
	return json.Marshal(all)
}

// startKeeping starts a gateway before the backend, with one application.
func (b *bench) startKeeping(ctx context.Context, k keeping, command ...string) (*target, error) {
	configuration, err := k.configuration(b.backend.server.addr)
	if err != nil {
		return nil, err
	}
	base := filepath.Join(b.dir, fileName(k.name))
	if err := os.WriteFile(base+".json", configuration, 0o600); err != nil {
		return nil, err
	}
	env := []string{
		"API_GATEWAY_LISTEN=127.0.0.1", "API_GATEWAY_ENV=dev", "API_GATEWAY_KEY=bench-admin-key", "API_GATEWAY_LOG_LEVEL=info",
		"API_GATEWAY_CONFIG_FILE=" + base + ".json", "API_GATEWAY_LOG_FILE=" + base + ".log",
		fmt.Sprintf("API_GATEWAY_USE_CACHE=%t", k.cache), "API_GATEWAY_VECTOR_AIAPP=embed",
		fmt.Sprintf("API_GATEWAY_STATE_MGMT=%t", k.memory), fmt.Sprintf("API_GATEWAY_PERSIST_PROMPTS=%t", k.prompts),
		fmt.Sprintf("API_GATEWAY_LEDGER=%t", k.ledger),
		"API_GATEWAY_DATA_DIR=" + base + ".data", // of the spool; the embedded store's folder comes behind it and wins
	}
	if k.at != nil {
		env = append(env, k.at.env...)
	}
	if k.sink != nil {
		env = append(env, "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+k.sink.server.addr)
	}
	t, err := b.start(ctx, k.name, gatewayPath, env, func(string) []string { return command })
	if err == nil {
		t.at, t.sink = k.at, k.sink
	}
	return t, err
}

// fileName makes a file's name of a target's.
func fileName(name string) string { return strings.NewReplacer(" ", "-", ",", "").Replace(name) }

// reading is what a target has used and done so far.
type reading struct {
	cpu, storeCPU time.Duration
	stored        int // entries of the cache
}

func (t *target) reading(ctx context.Context) (r reading, err error) {
	if t.sink != nil {
		if err := t.sink.quiet(ctx); err != nil {
			return r, err
		}
	}
	if t.at != nil { // asking costs CPU too: before it is read
		wait, err := t.waiting(ctx)
		if err != nil {
			return r, err
		}
		r.stored = wait.stored
	}
	if r.cpu, err = t.server.cpu(); err != nil {
		return r, err
	}
	r.storeCPU, err = t.at.cpu()
	return r, err
}

// settle waits until the store has what the target has for it, and so many
// entries of the cache since the target started.
func (t *target) settle(ctx context.Context, stored int) error {
	if t.at == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, settlesWithin)
	defer cancel()
	for {
		now, err := t.waiting(ctx)
		switch {
		case err != nil:
			return err
		case now.lost > 0:
			return fmt.Errorf("%d entries, prompts or traces were lost", now.lost)
		case now.waiting == 0 && now.stored >= stored:
			return nil
		}
		if wait(ctx, settlesEvery) != nil {
			return fmt.Errorf("after %s %d wait for the store, and it has %d entries of %d", settlesWithin, now.waiting, now.stored, stored)
		}
	}
}

// backlog is how far a gateway is with its store, as its own metrics tell it.
type backlog struct {
	waiting int // whatever it is
	stored  int // entries of the cache
	rows    int // of prompts and of the ledger, likewise
	lost    int
}

func (t *target) waiting(ctx context.Context) (b backlog, err error) {
	of := map[string]*int{
		"gateway_cache_waiting_entries": &b.waiting, "gateway_turns_waiting": &b.waiting, "gateway_prompts_waiting": &b.waiting,
		"gateway_limit_settlements_waiting": &b.waiting,
		"gateway_cache_stored_total":        &b.stored, "gateway_prompts_stored_total": &b.rows,
		"gateway_telemetry_dropped_total": &b.lost, "gateway_cache_dropped_total": &b.lost, "gateway_prompts_rejected_total": &b.lost, "gateway_prompts_lost_total": &b.lost,
	}
	err = t.eachMetric(ctx, func(name, value string) error {
		sum := of[name]
		if sum == nil {
			return nil
		}
		n, err := strconv.ParseFloat(value, 64)
		*sum += int(n)
		return err
	})
	return b, err
}

// eachMetric visits the gateway's metrics that have no labels.
func (t *target) eachMetric(ctx context.Context, visit func(name, value string) error) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+t.server.addr+"/metrics?format=prometheus", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("reading the gateway's metrics: status %d", resp.StatusCode)
	}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if name, value, ok := strings.Cut(lines.Text(), " "); ok {
			if err := visit(name, value); err != nil {
				return fmt.Errorf("reading the gateway's metric %s: %w", name, err)
			}
		}
	}
	return lines.Err()
}
