package backend

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"aigateway/config"
)

// target is an endpoint at uri, with budgets long enough never to matter.
func target(t *testing.T, uri string, edit func(*config.Application, *config.Endpoint)) *Target {
	t.Helper()
	app := &config.Application{AppID: "app", AppType: config.AzureOpenAI, Timeouts: config.Timeouts{
		Connect: seconds(10), FirstByte: seconds(10), Idle: seconds(10), Total: seconds(20),
	}}
	ep := &config.Endpoint{ID: "0", URI: uri, APIKey: "backend-key"}
	if edit != nil {
		edit(app, ep)
	}
	made, err := NewTarget(app, ep)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func seconds(n float64) config.Interval {
	return config.Interval{Time: time.Duration(n * float64(time.Second))}
}

// script answers each connection with the next of the given functions.
func script(t *testing.T, conns ...func(net.Conn, *bufio.Reader)) (uri string, accepted *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted = new(atomic.Int32)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, answer := range conns {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			answer(c, bufio.NewReader(c))
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return "http://" + l.Addr().String() + "/openai/deployments/d/chat/completions?api-version=2024-10-21", accepted
}

// request reads one request off a connection.
func request(t *testing.T, r *bufio.Reader) (*http.Request, string) {
	t.Helper()
	req, err := http.ReadRequest(r)
	if err != nil {
		t.Errorf("reading the request: %v", err)
		return nil, ""
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		t.Errorf("reading the request's body: %v", err)
	}
	return req, string(body)
}

func post(body string) *Call {
	return &Call{Body: []byte(body), ContentType: "application/json", Header: http.Header{}}
}

func ok(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

func TestCallReachesTheURIAsWrittenWithItsKeyAndNoneOfTheClients(t *testing.T) {
	var got *http.Request
	var body string
	uri, _ := script(t, func(c net.Conn, r *bufio.Reader) {
		got, body = request(t, r)
		io.WriteString(c, ok(`{"a":1}`))
	})
	call := post(`{"messages":[]}`)
	call.Path = "embeddings" // the URI names its own operation
	call.Header = http.Header{
		"Authorization": {"Bearer callers-own"}, "Api-Key": {"callers-own"}, "Cookie": {"c=1"},
		"X-Forwarded-For": {"10.0.0.1"}, "Openai-Beta": {"assistants=v2"}, "Accept": {"application/json"},
	}
	resp, err := NewClient(time.Now).Do(t.Context(), target(t, uri, nil), call)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || string(answer) != `{"a":1}` {
		t.Errorf("answer %q, %v", answer, err)
	}
	if body != `{"messages":[]}` {
		t.Errorf("body sent: %q", body)
	}
	if want := "/openai/deployments/d/chat/completions?api-version=2024-10-21"; got.RequestURI != want {
		t.Errorf("asked for %s, want %s", got.RequestURI, want)
	}
	for name, want := range map[string]string{
		"Api-Key": "backend-key", "Authorization": "", "Cookie": "", "X-Forwarded-For": "", "Openai-Beta": "assistants=v2", "Content-Type": "application/json",
	} {
		if v := got.Header.Get(name); v != want {
			t.Errorf("header %s is %q, want %q", name, v, want)
		}
	}
}

func TestCredentialsByKindOfService(t *testing.T) {
	tests := []struct {
		kind config.AppType
		uri  string
		want string
	}{
		{config.AzureOpenAI, "https://x.openai.azure.com/openai/deployments/d/chat/completions", "api-key: k"},
		{config.AzureOpenAI, "https://api.openai.com/v1/chat/completions", "Authorization: Bearer k"},
		{config.OpenAI, "https://api.openai.com/v1", "Authorization: Bearer k"},
		{config.OpenAI, "http://127.0.0.1:11434/v1", "Authorization: Bearer k"},
		{config.OpenAI, "https://x.openai.azure.com/openai/v1", "api-key: k"},
		{config.AzureSearch, "https://s.search.windows.net/indexes/i/docs/search", "api-key: k"},
		{config.AzureLanguage, "https://l.cognitiveservices.azure.com/language/:analyze-text", "Ocp-Apim-Subscription-Key: k"},
		{config.AzureTranslator, "https://api.cognitive.microsofttranslator.com/", "Ocp-Apim-Subscription-Key: k"},
		{config.AzureContentSafety, "https://c.cognitiveservices.azure.com/contentsafety/text:analyze", "Ocp-Apim-Subscription-Key: k"},
	}
	for _, tt := range tests {
		made := target(t, tt.uri, func(app *config.Application, ep *config.Endpoint) { app.AppType, ep.APIKey = tt.kind, "k" })
		if !bytes.Contains(made.fixed, []byte(tt.want+"\r\n")) {
			t.Errorf("%s %s sends %q, want %s", tt.kind, tt.uri, made.fixed, tt.want)
		}
	}
	made := target(t, "http://127.0.0.1:11434/v1", func(app *config.Application, ep *config.Endpoint) { app.AppType, ep.APIKey = config.OpenAI, "" })
	if bytes.Contains(made.fixed, []byte("Authorization")) {
		t.Error("an endpoint without a key is sent one")
	}
}

func TestBaseURIsTakeTheClientsOperation(t *testing.T) {
	tests := []struct {
		kind            config.AppType
		uri, path, want string
	}{
		{config.OpenAI, "https://api.openai.com/v1", "chat/completions", "/v1/chat/completions"},
		{config.OpenAI, "https://x.openai.azure.com/openai/v1/?api-version=preview", "responses", "/openai/v1/responses?api-version=preview"},
		{config.AzureOpenAI, "https://x.openai.azure.com/openai/deployments/d?api-version=2024-10-21", "audio/speech", "/openai/deployments/d/audio/speech?api-version=2024-10-21"},
		{config.AzureOpenAI, "https://x.openai.azure.com/openai/deployments/d/extensions/chat/completions?api-version=1", "chat/completions", "/openai/deployments/d/extensions/chat/completions?api-version=1"},
		{config.AzureOpenAI, "https://x.openai.azure.com/openai/deployments/d/completions", "chat/completions", "/openai/deployments/d/completions"},
		{config.AzureSearch, "https://s.search.windows.net/indexes/i/docs/search?api-version=1", "anything", "/indexes/i/docs/search?api-version=1"},
		{config.AzureTranslator, "https://api.cognitive.microsofttranslator.com/", "dictionary/lookup", "/dictionary/lookup"},
	}
	for _, tt := range tests {
		made := target(t, tt.uri, func(app *config.Application, _ *config.Endpoint) { app.AppType = tt.kind })
		if got := made.uri(&Call{Path: tt.path}); got != tt.want {
			t.Errorf("%s + %s: got %s, want %s", tt.uri, tt.path, got, tt.want)
		}
	}
}

func TestConnectionIsUsedAgainAfterAWholeAnswer(t *testing.T) {
	uri, accepted := script(t, func(c net.Conn, r *bufio.Reader) {
		for range 3 {
			request(t, r)
			io.WriteString(c, ok(`{}`))
		}
		for range 2 {
			request(t, r)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
		}
		request(t, r)
		io.WriteString(c, "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\n{}")
		request(t, r)
		io.WriteString(c, ok(`{"last":1}`))
	})
	client, to := NewClient(time.Now), target(t, uri, nil)
	for i := range 7 {
		resp, err := client.Do(t.Context(), to, post(`{}`))
		if i == 5 {
			var failed *Error
			if !errors.As(err, &failed) || failed.Status != 429 || failed.RetryAfter != 7*time.Second {
				t.Fatalf("call %d: %v", i, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("call %d: %v", i, err)
		}
		if _, err := io.ReadAll(resp.Body); err != nil {
			t.Fatalf("call %d: %v", i, err)
		}
		resp.Body.Close()
	}
	if n := accepted.Load(); n != 1 {
		t.Errorf("%d connections for 7 calls", n)
	}
}

func TestIdleConnectionThatTheEndpointClosedCostsNoCall(t *testing.T) {
	closed := make(chan struct{})
	uri, accepted := script(t, func(c net.Conn, r *bufio.Reader) {
		request(t, r)
		io.WriteString(c, ok(`{}`))
		c.Close()
		close(closed)
	}, func(c net.Conn, r *bufio.Reader) {
		request(t, r)
		io.WriteString(c, ok(`{"second":1}`))
	})
	client, to := NewClient(time.Now), target(t, uri, nil)
	for i := range 2 {
		resp, err := client.Do(t.Context(), to, post(`{}`))
		if err != nil {
			t.Fatalf("call %d: %v", i, err)
		}
		io.ReadAll(resp.Body)
		resp.Body.Close()
		<-closed
	}
	if n := accepted.Load(); n != 2 {
		t.Errorf("%d connections", n)
	}
}

func TestConnectionClosedUnderARequestIsTriedOnceMoreOnANewOne(t *testing.T) {
	uri, accepted := script(t, func(c net.Conn, r *bufio.Reader) {
		request(t, r)
		io.WriteString(c, ok(`{}`))
		request(t, r) // the second request is read, and not answered
	}, func(c net.Conn, r *bufio.Reader) {
		request(t, r)
		io.WriteString(c, ok(`{}`))
	})
	client, to := NewClient(time.Now), target(t, uri, nil)
	for i := range 2 {
		resp, err := client.Do(t.Context(), to, post(`{}`))
		if err != nil {
			t.Fatalf("call %d: %v", i, err)
		}
		io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	if n := accepted.Load(); n != 2 {
		t.Errorf("%d connections", n)
	}
}

func TestFaultsAreClassed(t *testing.T) {
	answering := func(text string) func(net.Conn, *bufio.Reader) {
		return func(c net.Conn, r *bufio.Reader) {
			request(t, r)
			io.WriteString(c, text)
		}
	}
	hang := func(c net.Conn, r *bufio.Reader) {
		request(t, r)
		r.ReadByte() // until the client gives up
	}
	tests := []struct {
		name   string
		answer func(net.Conn, *bufio.Reader)
		edit   func(*config.Application, *config.Endpoint)
		want   Fault
	}{
		{"closes without a word", answering(""), nil, Reset},
		{"closes in the header", answering("HTTP/1.1 200 OK\r\n"), nil, Reset},
		{"is no HTTP", answering("SSH-2.0-OpenSSH_9.2\r\n\r\n"), nil, Protocol},
		{"switches protocols", answering("HTTP/1.1 101 Switching Protocols\r\n\r\n"), nil, Protocol},
		{"has two lengths", answering("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}"), nil, Protocol},
		{"has an endless header", func(c net.Conn, r *bufio.Reader) {
			request(t, r)
			io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			for i := 0; ; i++ {
				if _, err := fmt.Fprintf(c, "X-%d: %s\r\n", i, strings.Repeat("x", 1000)); err != nil {
					return
				}
			}
		}, nil, Protocol},
		{"is silent", hang, func(app *config.Application, _ *config.Endpoint) { app.Timeouts.FirstByte = seconds(0.03) }, Timeout},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			uri, _ := script(t, tt.answer)
			_, err := NewClient(time.Now).Do(t.Context(), target(t, uri, tt.edit), post(`{}`))
			var failed *Error
			if !errors.As(err, &failed) || failed.Fault != tt.want {
				t.Fatalf("got %v, want %s", err, tt.want)
			}
			if strings.Contains(err.Error(), "127.0.0.1") || strings.Contains(err.Error(), "backend-key") {
				t.Errorf("the error names an address or a key: %v", err)
			}
		})
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	_, err = NewClient(time.Now).Do(t.Context(), target(t, "http://"+l.Addr().String(), nil), post(`{}`))
	var failed *Error
	if !errors.As(err, &failed) || failed.Fault != Dial || strings.Contains(err.Error(), "127.0.0.1") {
		t.Errorf("refused: %v", err)
	}
}

func TestAnswerThatStopsIsAFaultOfItsBody(t *testing.T) {
	tests := []struct {
		name, answer string
		edit         func(*config.Application, *config.Endpoint)
		hang         bool
		want         Fault
	}{
		{"short of its length", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}", nil, false, Reset},
		{"between chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", nil, false, Reset},
		{"silent", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}", func(app *config.Application, _ *config.Endpoint) { app.Timeouts.Idle = seconds(0.03) }, true, Timeout},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			uri, _ := script(t, func(c net.Conn, r *bufio.Reader) {
				request(t, r)
				io.WriteString(c, tt.answer)
				if tt.hang {
					r.ReadByte()
				}
			})
			resp, err := NewClient(time.Now).Do(t.Context(), target(t, uri, tt.edit), post(`{}`))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			got, err := io.ReadAll(resp.Body)
			var failed *Error
			if string(got) != "{}" || !errors.As(err, &failed) || failed.Fault != tt.want {
				t.Errorf("read %q, %v; want %s", got, err, tt.want)
			}
		})
	}
}

func TestClientThatLeavesEndsTheCall(t *testing.T) {
	for _, when := range []string{"before the answer", "in the answer"} {
		t.Run(when, func(t *testing.T) {
			left := make(chan error, 1)
			arrived := make(chan struct{})
			uri, _ := script(t, func(c net.Conn, r *bufio.Reader) {
				request(t, r)
				if when == "in the answer" {
					io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n")
				}
				close(arrived)
				_, err := r.ReadByte()
				left <- err
			})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if when == "before the answer" {
				go func() { <-arrived; cancel() }()
			}
			resp, err := NewClient(time.Now).Do(ctx, target(t, uri, nil), post(`{}`))
			if when == "in the answer" {
				if err != nil {
					t.Fatal(err)
				}
				cancel()
				_, err = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
			var failed *Error
			if !errors.As(err, &failed) || failed.Fault != Canceled {
				t.Errorf("got %v, want canceled", err)
			}
			if err := <-left; err == nil {
				t.Error("the endpoint still had its connection")
			}
		})
	}
}

func TestEarlyAnswerToALongBodyCounts(t *testing.T) {
	uri, _ := script(t, func(c net.Conn, r *bufio.Reader) {
		if _, err := http.ReadRequest(r); err != nil {
			t.Error(err)
		}
		io.WriteString(c, "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
		c.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, r)
	})
	_, err := NewClient(time.Now).Do(t.Context(), target(t, uri, nil), post(strings.Repeat("x", 8<<20)))
	var failed *Error
	if !errors.As(err, &failed) || failed.Status != 413 || string(failed.Body) != "{}" {
		t.Errorf("got %v", err)
	}
}

func TestUploadIsStreamedAndItsFaultIsTheClients(t *testing.T) {
	for _, length := range []int64{11, -1} {
		var body string
		uri, _ := script(t, func(c net.Conn, r *bufio.Reader) {
			_, body = request(t, r)
			io.WriteString(c, ok(`{}`))
		})
		call := &Call{Stream: strings.NewReader("hello world"), Length: length, ContentType: "audio/wav"}
		resp, err := NewClient(time.Now).Do(t.Context(), target(t, uri, nil), call)
		if err != nil {
			t.Fatal(err)
		}
		io.ReadAll(resp.Body)
		resp.Body.Close()
		if body != "hello world" {
			t.Errorf("length %d: endpoint read %q", length, body)
		}
	}
	uri, _ := script(t, func(_ net.Conn, r *bufio.Reader) { io.Copy(io.Discard, r) })
	_, err := NewClient(time.Now).Do(t.Context(), target(t, uri, nil), &Call{Stream: strings.NewReader("short"), Length: 100})
	var failed *Error
	if !errors.As(err, &failed) || failed.Fault != Upload {
		t.Errorf("got %v, want upload", err)
	}
}

func TestIdleConnectionsAreClosedWhenNobodyUsesThem(t *testing.T) {
	gone := make(chan struct{})
	uri, _ := script(t, func(c net.Conn, r *bufio.Reader) {
		request(t, r)
		io.WriteString(c, ok(`{}`))
		r.ReadByte()
		close(gone)
	})
	now := time.Now()
	client := NewClient(func() time.Time { return now })
	resp, err := client.Do(t.Context(), target(t, uri, nil), post(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	io.ReadAll(resp.Body)
	client.CloseIdle(time.Minute)
	if n := len(client.transport.idle); n != 1 {
		t.Fatalf("%d origins have idle connections, want 1", n)
	}
	now = now.Add(time.Minute)
	client.CloseIdle(time.Minute)
	<-gone
	if n := len(client.transport.idle); n != 0 {
		t.Errorf("%d origins have idle connections, want 0", n)
	}
}

func TestTLSChecksTheCertificateAndReusesTheConnection(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, `{"n":%d,"from":%q}`, n, r.RemoteAddr)
	}))
	defer server.Close()
	client := NewClient(time.Now)
	_, err := client.Do(t.Context(), target(t, server.URL, nil), post(`{}`))
	var failed *Error
	if !errors.As(err, &failed) || failed.Fault != Dial {
		t.Fatalf("a certificate that nobody vouches for: %v", err)
	}
	client.transport.roots = server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	var first string
	for _, size := range []int{10, smallBody + 1, 1 << 20} {
		resp, err := client.Do(t.Context(), target(t, server.URL, nil), post(strings.Repeat("x", size)))
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(resp.Body)
		if !strings.HasPrefix(string(got), fmt.Sprintf(`{"n":%d,`, size)) {
			t.Errorf("sent %d bytes, endpoint says %s", size, got)
		}
		_, from, _ := strings.Cut(string(got), "from")
		if first == "" {
			first = from
		}
		if from != first {
			t.Errorf("a new connection for the next call")
		}
	}
}

func TestAnswerThatNobodyAskedForIsNobodys(t *testing.T) {
	for _, tls := range []bool{false, true} {
		unasked := make(chan struct{})
		calls := 0
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			calls++
			if calls > 1 {
				io.WriteString(w, `{"second":1}`)
				return
			}
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			rw.WriteString(ok(`{"first":1}`))
			rw.Flush()
			<-unasked // the first answer is read, its connection idle
			rw.WriteString(ok(`{"stray":1}`))
			rw.Flush()
			unasked <- struct{}{}
			rw.ReadByte() // until the gateway hangs up
		}))
		client := NewClient(time.Now)
		if tls {
			server.StartTLS()
			client.transport.roots = server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		} else {
			server.Start()
		}
		for _, want := range []string{`{"first":1}`, `{"second":1}`} {
			resp, err := client.Do(t.Context(), target(t, server.URL, nil), post(`{}`))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(resp.Body); err != nil || string(got) != want {
				t.Errorf("tls %v: got %s, %v; want %s", tls, got, err, want)
			}
			if want == `{"first":1}` {
				unasked <- struct{}{}
				<-unasked
			}
		}
		client.CloseIdle(0)
		server.Close()
	}
}
