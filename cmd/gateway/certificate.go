package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"aigateway/config"
)

// certificate is the server's, read again when its files change.
type certificate struct {
	files   config.TLS
	current atomic.Pointer[loaded]
	refused time.Time // when the files that were last refused were written; used by refresh only
}

type loaded struct {
	tls.Certificate
	written time.Time // the younger file's
}

func newCertificate(files config.TLS) (*certificate, error) {
	c := &certificate{files: files}
	next, err := c.load()
	if err != nil {
		return nil, err
	}
	c.current.Store(next)
	return c, nil
}

func (c *certificate) load() (*loaded, error) {
	written, err := c.written()
	if err != nil {
		return nil, fmt.Errorf("server.tls: %w", err)
	}
	pair, err := tls.LoadX509KeyPair(c.files.CertFile, c.files.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("server.tls: %w", err)
	}
	return &loaded{pair, written}, nil
}

// written is when the younger of the two files was written.
func (c *certificate) written() (time.Time, error) {
	var last time.Time
	for _, name := range []string{c.files.CertFile, c.files.KeyFile} {
		info, err := os.Stat(name)
		if err != nil {
			return last, err
		}
		if info.ModTime().After(last) {
			last = info.ModTime()
		}
	}
	return last, nil
}

// refresh reads the files again when they have changed. A pair that does not
// fit, as while one file is new and the other old, changes nothing.
func (c *certificate) refresh(log *slog.Logger) {
	written, err := c.written()
	if err == nil && written.Equal(c.current.Load().written) {
		return
	}
	next, err := c.load()
	if err != nil {
		if !written.Equal(c.refused) {
			c.refused = written
			log.Error("changed certificate refused; the old one stays in force", "error", err)
		}
		return
	}
	c.current.Store(next)
	log.Info("certificate in force", "written", next.written)
}

func (c *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return &c.current.Load().Certificate, nil
		},
	}
}
