package main

import (
	"bufio"
	"fmt"
	"net"
	"testing"
)

// redisSaying returns the address of a server that answers each line with the
// next of its answers.
func redisSaying(t *testing.T, answers ...string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		lines := bufio.NewScanner(c)
		for _, answer := range answers {
			if !lines.Scan() {
				return
			}
			fmt.Fprint(c, answer)
		}
	}()
	t.Cleanup(func() { l.Close(); <-served })
	return "redis://" + l.Addr().String()
}

func TestRedisTellsItsVersion(t *testing.T) {
	const about = "# Server\r\nredis_version:7.2.1\r\nprocess_id:0\r\n"
	s, err := connectRedis(t.Context(), redisSaying(t, fmt.Sprintf("$%d\r\n%s\r\n", len(about), about), "+PONG\r\n", "-ERR no\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if s.version != "7.2.1" || s.pid != 0 {
		t.Errorf("version %q, process %d; want 7.2.1, 0", s.version, s.pid)
	}
	if err := s.ping(); err != nil {
		t.Errorf("PING: %v", err)
	}
	if s.ping() == nil {
		t.Error("an error is taken for an answer to PING")
	}
}

func TestOtherRedisAddressesAreRefused(t *testing.T) {
	for _, address := range []string{"rediss://127.0.0.1:1", "redis://user:word@127.0.0.1:1", "://"} {
		if _, err := connectRedis(t.Context(), address); err == nil {
			t.Errorf("%q is taken", address)
		}
	}
	if _, err := connectRedis(t.Context(), redisSaying(t, "-NOAUTH\r\n")); err == nil {
		t.Error("a server that does not tell of itself is taken")
	}
}
