package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// redisServer is the Redis in which replicas count together.
type redisServer struct {
	url     string
	conn    net.Conn
	r       *bufio.Reader
	version string
	pid     int // 0 when it is not of this machine
}

// connectRedis connects to a Redis; nil without an address.
func connectRedis(ctx context.Context, address string) (*redisServer, error) {
	if address == "" {
		return nil, nil //nolint:nilnil // it is measured without
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "redis" || u.User != nil {
		return nil, errors.New("TEST_REDIS_URL is not redis://host:port of a server without a password")
	}
	s := &redisServer{url: address}
	if s.conn, err = new(net.Dialer).DialContext(ctx, "tcp", u.Host); err != nil {
		return nil, fmt.Errorf("connecting to the Redis of TEST_REDIS_URL: %w", err)
	}
	s.r = bufio.NewReader(s.conn)
	about, err := s.about()
	if err != nil {
		s.close()
		return nil, fmt.Errorf("asking the Redis of TEST_REDIS_URL about itself: %w", err)
	}
	for line := range strings.Lines(about) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch name {
		case "redis_version":
			s.version = value
		case "process_id":
			if ip := net.ParseIP(u.Hostname()); ip != nil && ip.IsLoopback() {
				s.pid, _ = strconv.Atoi(value)
			}
		}
	}
	if _, err := familyCPU(s.pid); err != nil {
		s.pid = 0 // it runs in a container
	}
	return s, nil
}

func (s *redisServer) close() { _ = s.conn.Close() }

// place is where gateways share what they count.
func (s *redisServer) place() *place {
	return &place{env: []string{"REDIS_URL=" + s.url}, family: s.pid}
}

// ping is one round trip with nothing done.
func (s *redisServer) ping() error {
	line, err := s.ask("PING\r\n")
	if err == nil && line != "+PONG" {
		err = fmt.Errorf("redis answered PING with %q", line)
	}
	return err
}

// about is what Redis says of itself.
func (s *redisServer) about() (string, error) {
	line, err := s.ask("INFO server\r\n")
	if err != nil {
		return "", err
	}
	n, err := strconv.Atoi(strings.TrimPrefix(line, "$"))
	if err != nil || n < 0 || n > 1<<16 {
		return "", fmt.Errorf("redis answered INFO with %q", line)
	}
	text := make([]byte, n+len("\r\n"))
	_, err = io.ReadFull(s.r, text)
	return string(text), err
}

// ask sends a command and reads the first line of its answer.
func (s *redisServer) ask(command string) (string, error) {
	_ = s.conn.SetDeadline(time.Now().Add(settlesWithin)) // else it waits for ever
	if _, err := io.WriteString(s.conn, command); err != nil {
		return "", err
	}
	line, err := s.r.ReadString('\n')
	return strings.TrimRight(line, "\r\n"), err
}
