package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strconv"

	"aigateway"
	"aigateway/config"
	"aigateway/simulator"
)

const (
	// simulatorAddress is where the sample configuration expects the models.
	simulatorAddress = "127.0.0.1:8900"
	demoKey          = "demo-admin-key"
)

// demoLimits are what the two endpoints of the sample's chat take in a minute:
// few enough that the first is seen to throttle, and then both, even when the
// welcome's other commands have had five of them.
var demoLimits = map[string]simulator.Deployment{
	"gpt-4o-first":  {Model: "gpt-4o", RPM: 8},
	"gpt-4o-second": {Model: "gpt-4o", RPM: 6},
}

type demoCommand struct {
	Port int `default:"8000" help:"Port of the gateway; another is taken when it is in use."`
}

// Run serves the sample configuration with simulated models behind it, all on
// loopback and in this process, until it is told to stop.
func (cmd *demoCommand) Run(p *process) error {
	models, moved, err := listenNear(p.ctx, simulatorAddress)
	if err != nil {
		return err
	}
	if moved {
		fmt.Fprintf(p.stdout, "%s is in use: the simulated models are at %s\n", simulatorAddress, models.Addr())
	}
	wanted := net.JoinHostPort("127.0.0.1", strconv.Itoa(cmd.Port))
	listener, moved, err := listenNear(p.ctx, wanted)
	if err != nil {
		models.Close()
		return err
	}
	if moved {
		fmt.Fprintf(p.stdout, "%s is in use: the gateway is at %s\n", wanted, listener.Addr())
	}

	web := &http.Server{Handler: simulator.New(simulator.Options{Deployments: demoLimits}), ReadHeaderTimeout: headerWithin}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		if err := web.Serve(models); !errors.Is(err, http.ErrServerClosed) {
			fmt.Fprintln(p.stderr, "simulated models stopped:", err)
		}
	}()
	defer func() {
		_ = web.Close() // the process ends
		<-stopped
	}()

	data, err := os.MkdirTemp("", "gateway-demo-")
	if err != nil {
		return fmt.Errorf("making a folder for the demo's store: %w", err)
	}
	defer func() { _ = os.RemoveAll(data) }() // a folder for temporary files
	port := listener.Addr().(*net.TCPAddr).Port
	settings, err := config.FromEnv(demoEnvironment(port, data))
	if err != nil {
		return startFault(p, err)
	}
	log, closeLog, err := newLog(settings.LogFile, settings.LogLevel, p.stderr)
	if err != nil {
		return err
	}
	defer closeLog() //nolint:errcheck // nothing is left to be told
	source := demoSource{file: settings.ConfigFile, models: models.Addr().String()}
	err = serve(p, settings, source, log, func() (net.Listener, error) { return listener, nil }, func() {
		fmt.Fprintf(p.stdout, welcome, "http://"+listener.Addr().String(), demoKey)
	})
	if err == nil {
		fmt.Fprintln(p.stdout, "stopped")
	}
	return err
}

// demoEnvironment is the process's environment where the demo does not have
// its own mind.
func demoEnvironment(port int, data string) func(string) (string, bool) {
	own := map[string]string{
		"API_GATEWAY_LISTEN": "127.0.0.1",
		"API_GATEWAY_PORT":   strconv.Itoa(port),
		"API_GATEWAY_KEY":    demoKey,
		"API_GATEWAY_NAME":   "demo",
	}
	unless := map[string]string{ // the environment says otherwise
		"API_GATEWAY_LOG_LEVEL":       "warn", // the terminal is for the demo's answers
		"API_GATEWAY_USE_CACHE":       "true",
		"API_GATEWAY_STATE_MGMT":      "true",
		"API_GATEWAY_PERSIST_PROMPTS": "true",
		"API_GATEWAY_LEDGER":          "true",
		"API_GATEWAY_VECTOR_AIAPP":    "vectorizedata",
		"API_GATEWAY_DATA_DIR":        data,
	}
	return func(name string) (string, bool) {
		if v, ok := own[name]; ok {
			return v, true
		}
		if v, ok := os.LookupEnv(name); ok {
			return v, true
		}
		v, ok := unless[name]
		return v, ok
	}
}

// listenNear listens on an address, or on another port of its host when that
// one is in use.
func listenNear(ctx context.Context, address string) (l net.Listener, moved bool, err error) {
	var listen net.ListenConfig
	if l, err = listen.Listen(ctx, "tcp", address); err == nil {
		return l, false, nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, false, fmt.Errorf("listening on %s: %w", address, err)
	}
	if l, err = listen.Listen(ctx, "tcp", net.JoinHostPort(host, "0")); err != nil {
		return nil, false, fmt.Errorf("listening on %s: %w", host, err)
	}
	return l, true, nil
}

// demoSource is the configuration file of the working directory, or the sample
// where there is none, with the address of the simulated models put in.
type demoSource struct{ file, models string }

// Read reads the file anew.
func (s demoSource) Read(ctx context.Context) ([]byte, string, error) {
	data, _, err := config.File{Path: s.file}.Read(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		data, err = aigateway.Sample(), nil
	}
	if err != nil {
		return nil, "", err
	}
	data = bytes.ReplaceAll(data, []byte(simulatorAddress), []byte(s.models))
	sum := sha256.Sum256(data)
	return data, hex.EncodeToString(sum[:]), nil
}

var _ config.Source = demoSource{}

// welcome says what to try; its arguments are the gateway's URL and its key.
const welcome = `The gateway is at %[1]s, with simulated models behind it. Ctrl-C stops it. Try, in another terminal:

  # a chat answer; the same question again is answered by the cache (x-cache: hit, layer exact)
  curl -si %[1]s/lb/aichatbotapp -H 'content-type: application/json' -d '{"messages":[{"role":"user","content":"What is a gateway?"}]}'
  curl -si %[1]s/lb/aichatbotapp -H 'content-type: application/json' -d '{"messages":[{"role":"user","content":"What is a gateway?"}]}'

  # in other words (layer semantic); as a stream; and past the cache
  curl -si %[1]s/lb/aichatbotapp -H 'content-type: application/json' -d '{"messages":[{"role":"user","content":"Please tell me, what is a gateway?"}]}'
  curl -sN %[1]s/lb/aichatbotapp -H 'content-type: application/json' -d '{"stream":true,"messages":[{"role":"user","content":"What is a gateway?"}]}'
  curl -si '%[1]s/lb/aichatbotapp?use_cache=false' -H 'content-type: application/json' -d '{"messages":[{"role":"user","content":"What is a gateway?"}]}'

  # a conversation of three turns: the client keeps nothing but x-thread-id
  thread=$(curl -s -o /dev/null -D - %[1]s/lb/aichatbotapp -H 'content-type: application/json' -d '{"messages":[{"role":"user","content":"I am Ada. Who are you?"}]}' | tr -d '\r' | awk 'tolower($1)=="x-thread-id:"{print $2}')
  curl -s %[1]s/lb/aichatbotapp -H 'content-type: application/json' -H "x-thread-id: $thread" -d '{"messages":[{"role":"user","content":"What can you do?"}]}'
  curl -s %[1]s/lb/aichatbotapp -H 'content-type: application/json' -H "x-thread-id: $thread" -H 'x-request-id: third-turn' -d '{"messages":[{"role":"user","content":"And who am I?"}]}'
  curl -s %[1]s/sessions/aichatbotapp/$thread

  # what was stored of the third turn, a moment after its answer, and of the cache
  sleep 1; curl -s %[1]s/requests/aichatbotapp/third-turn -H 'authorization: Bearer %[2]s'
  curl -s %[1]s/cache/aichatbotapp -H 'authorization: Bearer %[2]s'

  # the first endpoint takes 8 requests a minute, the second 6: watch the one take over from the other, then both refuse
  for i in $(seq 16); do curl -s -o /dev/null -D - '%[1]s/lb/aichatbotapp?use_cache=false' -H 'content-type: application/json' -d '{"messages":[{"role":"user","content":"hi"}]}' | tr -d '\r' | awk '/^HTTP/{s=$2} /^X-Gateway-Endpoint/{e=$2} /^Retry-After:/{r=$2} END{print s, "endpoint:", e, "retry-after:", r}'; done

  # what was used, and what it cost; which limits apply; what throughput the traffic takes
  sleep 1; curl -s '%[1]s/usage?by=app,model&format=csv' -H 'authorization: Bearer %[2]s'
  curl -s %[1]s/limits/aichatbotapp
  curl -s '%[1]s/capacity/aichatbotapp?format=text' -H 'authorization: Bearer %[2]s'

  # what the gateway counts, what it is, and how it is told to read its configuration again
  curl -s %[1]s/metrics
  curl -s '%[1]s/metrics?format=prometheus'
  curl -s %[1]s/instanceinfo
  curl -s -X POST %[1]s/reconfig -H 'authorization: Bearer %[2]s'

`
