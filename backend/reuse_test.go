package backend

import (
	"bufio"
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

// A TLS record holds 16 KiB: the end of one answer and the whole of another.
// The second must not wait in the session for the next call.
func TestStaleAnswerWithinTLSIsNobodys(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked, _ := io.ReadAll(r.Body)
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		answer := ok(fmt.Sprintf(`{"for":%q,"pad":"%s"}`, asked, strings.Repeat("x", 12000))) + ok(fmt.Sprintf(`{"stale":%q}`, asked))
		if _, err := io.WriteString(c, answer); err != nil {
			t.Error(err)
		}
		rw.ReadByte() // until the gateway hangs up
	}))
	defer server.Close()
	client := NewClient(time.Now)
	client.transport.roots = server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	to := target(t, server.URL, nil)
	for i := range 3 {
		resp, err := client.Do(t.Context(), to, post(fmt.Sprint("request ", i)))
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 32<<10) // larger than any buffer between, so that reads go straight through
		n, err := io.ReadFull(resp.Body, got)
		if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(string(got[:n]), fmt.Sprintf(`"for":"request %d"`, i)) {
			t.Errorf("request %d got %.60s, %v", i, got[:n], err)
		}
		resp.Body.Close()
	}
	client.CloseIdle(0)
}

func TestCallIsResentOnceHoweverManyConnectionsAreIdle(t *testing.T) {
	const idle = 20
	var received atomic.Int32
	arrived, answer := make(chan struct{}), make(chan struct{})
	var crashing atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		received.Add(1)
		if crashing.Load() {
			panic(http.ErrAbortHandler)
		}
		arrived <- struct{}{}
		<-answer
		io.WriteString(w, `{}`)
	}))
	defer server.Close()
	client, to := NewClient(time.Now), target(t, server.URL, nil)
	done := make(chan error, idle)
	for range idle {
		go func() {
			resp, err := client.Do(t.Context(), to, post(`{}`))
			if err == nil {
				_, err = io.ReadAll(resp.Body)
			}
			done <- err
		}()
	}
	for range idle {
		<-arrived
	}
	close(answer)
	for range idle {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	crashing.Store(true)
	received.Store(0)
	if _, err := client.Do(t.Context(), to, post(`{}`)); err == nil {
		t.Error("an endpoint that hangs up has answered")
	}
	if n := received.Load(); n != 2 {
		t.Errorf("the endpoint received one call %d times, want 2", n)
	}
	client.CloseIdle(0)
}

func TestWithoutIdleAndTotalBudgetsTheFirstByteBudgetEndsWithTheHeader(t *testing.T) {
	release := make(chan struct{})
	uri, _ := script(t, func(c net.Conn, r *bufio.Reader) {
		request(t, r)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{")
		<-release
		io.WriteString(c, "}")
	})
	const firstByte = 50 * time.Millisecond
	to := target(t, uri, func(app *config.Application, _ *config.Endpoint) {
		app.Timeouts = config.Timeouts{FirstByte: config.Interval{Time: firstByte}}
	})
	resp, err := NewClient(time.Now).Do(t.Context(), to, post(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	time.AfterFunc(2*firstByte, func() { close(release) })
	if got, err := io.ReadAll(resp.Body); string(got) != "{}" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
}

func TestBaseURIWithoutAPathIsTheRoot(t *testing.T) {
	made := target(t, "https://api.cognitive.microsofttranslator.com", func(app *config.Application, _ *config.Endpoint) {
		app.AppType = config.AzureTranslator
	})
	if got := made.uri(&Call{Path: "translate"}); got != "/translate" {
		t.Errorf("asks for %q", got)
	}
}

func TestKeyThatAnErrorQuotesIsMasked(t *testing.T) {
	uri, _ := script(t, func(c net.Conn, r *bufio.Reader) {
		request(t, r)
		body := `{"error":{"message":"Incorrect API key provided: backend-key."}}`
		fmt.Fprintf(c, "HTTP/1.1 401 Unauthorized\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	})
	_, err := NewClient(time.Now).Do(t.Context(), target(t, uri, nil), post(`{}`))
	var failed *Error
	if !errors.As(err, &failed) || string(failed.Body) != `{"error":{"message":"Incorrect API key provided: ***."}}` {
		t.Errorf("got %v", err)
	}
}
