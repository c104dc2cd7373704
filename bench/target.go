package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"time"
)

const (
	callerKey   = "bench-caller-key"
	backendPath = "/openai/deployments/bench/chat/completions?api-version=2024-10-21"
	gatewayPath = "/api/v1/dev/apirouter/lb/bench"
	// ampleRPM is the endpoint's limit: counted at every request, never
	// reached by two cores.
	ampleRPM = 900_000

	eventsPerStream = 200
	// wordsPerStream leaves room for the three events that are no words: the
	// prompt's filter, the role, the end.
	wordsPerStream = eventsPerStream - 3
	largePrompt    = 200_000 // bytes
)

// target is a server under test.
type target struct {
	name     string
	server   *process
	requests requests
	at       *place // where it keeps state; nil when it keeps none
	sink     *sink  // where its telemetry goes; nil when it has none
}

// requests are what the load generator sends, header and body.
type requests struct {
	small, large, stream []byte
	slow                 []byte // a stream that stays open while memory is measured
	uncached             []byte // small, asked of the endpoint whatever is kept
}

func newRequests(addr, path string, s sizes) requests {
	question := `{"model":"bench","temperature":0.2,"max_tokens":800,"messages":[` +
		`{"role":"system","content":"You are a helpful assistant."},{"role":"user","content":%s}]`
	whole := func(path, prompt string) []byte {
		quoted, _ := json.Marshal(prompt)
		return post(addr, path, fmt.Sprintf(question, quoted)+"}")
	}
	bypass := "?use_cache=false"
	if strings.Contains(path, "?") {
		bypass = "" // the simulator's own, where there is no cache
	}
	const small = "What is the capital of France, and how many people live there?"
	stream := func(cadence time.Duration) []byte {
		return post(addr, path, fmt.Sprintf(question, `"Tell me a long story."`)+
			fmt.Sprintf(`,"stream":true,"user":"sim:words=%d;cadence=%s"}`, wordsPerStream, cadence))
	}
	return requests{
		small:    whole(path, small),
		large:    whole(path, prose(largePrompt)),
		stream:   stream(s.cadence),
		slow:     stream(s.slowCadence),
		uncached: whole(path+bypass, small),
	}
}

// prose is text with what JSON has to escape now and then, as documents have.
func prose(length int) string {
	const paragraph = "The gateway stands between chatbots and the models they use. It chooses an endpoint, passes the answer on " +
		"event by event, and remembers what was said; a reader of the log finds \"who asked what\" by the id of the request.\n"
	return strings.Repeat(paragraph, length/len(paragraph)+1)[:length]
}

func post(addr, path, body string, headers ...string) []byte {
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\nAccept: application/json\r\n"+
		"Content-Type: application/json\r\napi-key: %s\r\n%sContent-Length: %d\r\n\r\n%s", path, addr, callerKey, lines(headers), len(body), body)
}

func get(addr, path string) []byte {
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\napi-key: %s\r\n\r\n", path, addr, callerKey)
}

// lines are headers as they are sent.
func lines(headers []string) string {
	var b strings.Builder
	for _, h := range headers {
		b.WriteString(h)
		b.WriteString("\r\n")
	}
	return b.String()
}

// startBackend starts the simulated models.
func (b *bench) startBackend(ctx context.Context) (*target, error) {
	return b.start(ctx, names[theBackend], backendPath, nil, func(addr string) []string {
		return []string{b.gateway, "simulate", "--listen", addr}
	})
}

// startProxy starts a reverse proxy before the backend.
func (b *bench) startProxy(ctx context.Context) (*target, error) {
	return b.start(ctx, names[theProxy], backendPath, nil, func(addr string) []string {
		return []string{
			b.self, "proxy", "-listen", addr, "-target", "http://" + b.backend.server.addr,
			fmt.Sprintf("-bufferpool=%t", b.bufferPool),
		}
	})
}

// startGateway starts a gateway before the backend with all of the core on.
func (b *bench) startGateway(ctx context.Context, command ...string) (*target, error) {
	return b.startKeeping(ctx, keeping{name: names[theGateway]}, command...)
}

// start starts a server on a free port; that it answers a small chat shows
// that it is ready.
func (b *bench) start(ctx context.Context, name, path string, env []string, command func(addr string) []string) (*target, error) {
	addr, err := freeAddr(ctx)
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(addr)
	t := &target{name: name, requests: newRequests(addr, path, b.sizes)}
	t.server, err = start(ctx, t.name, addr, b.dir, t.requests.small, append(env, "API_GATEWAY_PORT="+port), command(addr)...)
	return t, err
}
