package main

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

// answering returns a connection to a server that answers once, in pieces.
func answering(t *testing.T, pieces ...string) *conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		server, err := l.Accept()
		if err != nil {
			return
		}
		defer server.Close()
		if _, err := server.Read(make([]byte, 100)); err != nil {
			return
		}
		for _, p := range pieces {
			server.Write([]byte(p))
		}
	}()
	c, err := dial(t.Context(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.close(); l.Close(); <-served })
	return c
}

const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

func chunk(data string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(data), data) }

func TestExchangeReadsWholeAnswers(t *testing.T) {
	for name, answer := range map[string]string{
		"length": "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
		"chunks": chunked + "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
	} {
		c := answering(t, answer)
		if err := c.exchange([]byte("x")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if n := c.r.Buffered(); n != 0 {
			t.Errorf("%s: %d bytes left for the next answer", name, n)
		}
	}
}

func TestExchangeRefusesWhatIsNoWholeAnswer(t *testing.T) {
	for answer, want := range map[string]string{
		"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nlate":      "503 Busy",
		"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello":       "EOF",
		"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nhello":    "content-length",
		"HTTP/1.1 200 OK\r\n\r\nhello":                            "neither a length nor chunks",
		"":                                                        "EOF",
		chunked + "3\r\nhel\r\n":                                  "EOF",
		chunked + "3\r\nhel\r\n0\r\nTrailer: of nobody\r\n\r\n\r": "behind the last chunk",
	} {
		err := answering(t, answer).exchange([]byte("x"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error with %q", answer, err, want)
		}
	}
}

func TestStreamCountsEventsAndSeesText(t *testing.T) {
	c := answering(t, chunked,
		chunk(`data: {"choices":[],"prompt_filter_results":[]}`+"\n\n"),
		chunk(`data: {"choices":[{"delta":{"content":"","role":"assistant"}}]}`+"\n\n"),
		chunk(`data: {"choices":[{"delta":`), chunk(`{"content":"Hello"}}]}`+"\n\n"),
		chunk("data: [DONE]\n\n"), chunk(""))
	var texts []bool
	events, err := c.stream([]byte("x"), func(text bool) { texts = append(texts, text) })
	if err != nil || events != 3 {
		t.Fatalf("%d events and %v, want 3", events, err)
	}
	if texts[0] || texts[1] || !texts[2] {
		t.Errorf("text in %v, want it in the last only", texts)
	}
}

func TestStreamWithoutTerminatorIsAnError(t *testing.T) {
	c := answering(t, chunked, "a\r\ndata: {}\n\n\r\n0\r\n\r\n")
	if events, err := c.stream([]byte("x"), func(bool) {}); err == nil {
		t.Errorf("%d events without an error", events)
	}
}

func TestExchangeReadsWhatTheCacheAndTheThreadSay(t *testing.T) {
	f := func(header, cache, thread string) {
		t.Helper()
		c := answering(t, "HTTP/1.1 200 OK\r\n"+header+"Content-Length: 2\r\n\r\n{}")
		if err := c.exchange([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if string(c.cache) != cache || string(c.thread) != thread {
			t.Errorf("%q: cache %q and thread %q, want %q and %q", header, c.cache, c.thread, cache, thread)
		}
	}
	f("x-cache: hit\r\nX-Cache-Layer: exact\r\nx-cache-score: 1\r\n", "hit exact", "")
	f("X-Cache-Layer: semantic\r\nX-Cache: hit\r\n", "hit semantic", "")
	f("x-cache: miss; reason=guard:numbers\r\nx-thread-id: 7b1f\r\n", "miss; reason=guard:numbers", "7b1f")
	f("", "", "")
}
