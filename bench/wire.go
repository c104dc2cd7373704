package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"strconv"
	"time"
)

// conn is one keep-alive connection of the load generator. It writes requests
// that were made beforehand and parses answers by hand, so that the generator
// takes little of the machine and the same from every server under test.
type conn struct {
	net   net.Conn
	r     *bufio.Reader
	lines *bufio.Reader // of a stream's body
	end   func() bool   // stops watching the context

	// Of the last answer's header, empty where it has none.
	cache  []byte // x-cache, and of a hit x-cache-layer behind it
	layer  []byte // the latter
	thread []byte // x-thread-id
}

// longestRun bounds what one connection does, so that a server that hangs
// fails the benchmark.
const longestRun = 2 * time.Minute

// dial opens a connection that breaks when ctx ends.
func dial(ctx context.Context, addr string) (*conn, error) {
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	raw.SetDeadline(time.Now().Add(longestRun))
	c := &conn{net: raw, r: bufio.NewReaderSize(raw, 16<<10)}
	c.end = context.AfterFunc(ctx, func() { raw.Close() })
	return c, nil
}

func (c *conn) close() {
	c.end()
	c.net.Close()
}

// exchange sends a request and reads its whole answer, which must be a 200.
func (c *conn) exchange(request []byte) error {
	length, err := c.ask(request)
	if err != nil {
		return err
	}
	if length >= 0 {
		_, err = c.r.Discard(length)
		return err
	}
	if _, err = io.Copy(io.Discard, httputil.NewChunkedReader(c.r)); err != nil {
		return err
	}
	return c.endChunks()
}

// stream sends a request and reads its answer, which must be a 200 and a
// stream that [DONE] ends. It returns the number of events before that, and
// calls seen for each with whether it carries text.
func (c *conn) stream(request []byte, seen func(text bool)) (events int, err error) {
	length, err := c.ask(request)
	if err != nil {
		return 0, err
	}
	if length >= 0 {
		return 0, errors.New("the answer to a streamed request is no stream")
	}
	chunks := httputil.NewChunkedReader(c.r)
	if c.lines == nil {
		c.lines = bufio.NewReaderSize(chunks, 16<<10)
	} else {
		c.lines.Reset(chunks)
	}
	done := false
	for {
		line, err := c.lines.ReadSlice('\n')
		if errors.Is(err, io.EOF) && done {
			return events, c.endChunks()
		}
		if err != nil {
			return events, fmt.Errorf("after %d events: %w", events, noEOF(err))
		}
		data, ok := bytes.CutPrefix(line, []byte("data: "))
		switch {
		case !ok:
		case bytes.HasPrefix(data, []byte("[DONE]")):
			done = true
		default:
			events++
			seen(carriesText(data))
		}
	}
}

// carriesText tells an event with text from Azure's first, which tells of the
// prompt's filter, and the second, which names the role.
func carriesText(data []byte) bool {
	_, text, found := bytes.Cut(data, []byte(`"delta":{"content":"`))
	return found && text[0] != '"'
}

// ask sends a request and reads the answer's header. length is -1 when the
// body comes in chunks.
func (c *conn) ask(request []byte) (length int, err error) {
	if _, err := c.net.Write(request); err != nil {
		return 0, err
	}
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return 0, noEOF(err)
	}
	status := string(bytes.TrimSpace(line))
	length = -2
	c.cache, c.layer, c.thread = c.cache[:0], c.layer[:0], c.thread[:0]
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return 0, noEOF(err)
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch value = bytes.TrimSpace(value); {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(value)); err != nil || length < 0 {
				return 0, fmt.Errorf("content-length %q", value)
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			length = -1
		case bytes.EqualFold(name, []byte("X-Cache")):
			c.cache = append(c.cache, value...)
		case bytes.EqualFold(name, []byte("X-Cache-Layer")):
			c.layer = append(append(c.layer, ' '), value...)
		case bytes.EqualFold(name, []byte("X-Thread-Id")):
			c.thread = append(c.thread, value...)
		}
	}
	c.cache = append(c.cache, c.layer...)
	if len(status) < 12 || status[9:12] != "200" {
		start, _ := c.r.Peek(min(c.r.Buffered(), 300))
		return 0, fmt.Errorf("answer %q: %s", status, start)
	}
	if length == -2 {
		return 0, errors.New("the answer has neither a length nor chunks")
	}
	return length, nil
}

// endChunks reads the empty line behind the last chunk.
func (c *conn) endChunks() error {
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return noEOF(err)
	}
	if len(bytes.TrimRight(line, "\r\n")) != 0 {
		return fmt.Errorf("%q behind the last chunk", line)
	}
	return nil
}

// noEOF makes an end in the middle of an answer an error that says so.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
