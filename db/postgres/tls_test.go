package postgres

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"aigateway/db/dbtest"
	"aigateway/db/spec"
)

// sslRequest is the code by which a client asks a PostgreSQL server for TLS:
// "SSLRequest" in its documentation, 53.7.
const sslRequest = 80877103

// tlsFront is a PostgreSQL server as its clients see it that has TLS on: it
// speaks TLS with those who ask for it, and with the others as they want.
type tlsFront struct {
	server           string
	certificate      tls.Certificate
	encrypted, plain atomic.Int64 // connections
}

// newTLSFront starts one before the server of an address, and returns its own.
func newTLSFront(t *testing.T, server string, certificate tls.Certificate) (f *tlsFront, address string) {
	t.Helper()
	f = &tlsFront{server: server, certificate: certificate}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer client.Close()
				f.serve(client)
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		running.Wait()
	})
	return f, listener.Addr().String()
}

func (f *tlsFront) serve(client net.Conn) {
	begin := make([]byte, 8)
	if _, err := io.ReadFull(client, begin); err != nil {
		return
	}
	server, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", f.server)
	if err != nil {
		return
	}
	defer server.Close()
	if binary.BigEndian.Uint32(begin[4:]) == sslRequest {
		if _, err := client.Write([]byte("S")); err != nil {
			return
		}
		secure := tls.Server(client, &tls.Config{Certificates: []tls.Certificate{f.certificate}})
		if secure.Handshake() != nil {
			return
		}
		client, begin = secure, nil
		f.encrypted.Add(1)
	} else {
		f.plain.Add(1)
	}
	if _, err := server.Write(begin); err != nil {
		return
	}
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(client, server)
		client.Close()
	})
	_, _ = io.Copy(server, client)
	server.Close()
	back.Wait()
}

// authority signs the certificates of servers.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	file        string // the certificate, in PEM
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{file: filepath.Join(t.TempDir(), "root.crt")}
	der := a.sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	var err error
	if a.certificate, err = x509.ParseCertificate(der.Certificate[0]); err != nil {
		t.Fatal(err)
	}
	a.key = der.PrivateKey.(*ecdsa.PrivateKey)
	if err := os.WriteFile(a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der.Certificate[0]}), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// sign completes a certificate and signs it; while the authority has no
// certificate, as its own.
func (a *authority) sign(t *testing.T, c *x509.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(1), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.certificate, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestConnectionsAreEncryptedAsSSLModeSays(t *testing.T) {
	dsn, err := url.Parse(dbtest.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	ours, other := newAuthority(t), newAuthority(t)
	right, named := newTLSFront(t, dsn.Host, ours.sign(t, &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}))
	wrong, misnamed := newTLSFront(t, dsn.Host, ours.sign(t, &x509.Certificate{DNSNames: []string{"other.test"}}))

	const (
		refused = "server refused TLS connection"
		unknown = "certificate signed by unknown authority"
	)
	for _, c := range []struct {
		server, mode, root string
		fault              string // in the error; "" is a connection,
		encrypted          bool   // which is encrypted
	}{
		{dsn.Host, "disable", "", "", false},
		{dsn.Host, "prefer", "", "", false},
		{dsn.Host, "require", "", refused, false},
		{dsn.Host, "verify-ca", ours.file, refused, false},
		{dsn.Host, "verify-full", ours.file, refused, false},
		{named, "disable", "", "", false},
		{named, "", "", "", true},
		{named, "prefer", "", "", true},
		{named, "require", "", "", true},
		{named, "require", other.file, unknown, false}, // with a root it is verify-ca, as libpq has it
		{named, "verify-ca", ours.file, "", true},
		{named, "verify-ca", other.file, unknown, false},
		{named, "verify-ca", "", unknown, false},
		{named, "verify-full", ours.file, "", true},
		{named, "verify-full", other.file, unknown, false},
		{misnamed, "require", "", "", true},
		{misnamed, "verify-ca", ours.file, "", true},
		{misnamed, "verify-full", ours.file, "cannot validate certificate for 127.0.0.1", false},
	} {
		name := "plain"
		switch c.server {
		case named:
			name = "named"
		case misnamed:
			name = "misnamed"
		}
		roots := map[string]string{"": "system", ours.file: "ours", other.file: "other"}
		t.Run(strings.Join([]string{name, c.mode, roots[c.root]}, " "), func(t *testing.T) {
			before := [2]int64{right.encrypted.Load() + wrong.encrypted.Load(), right.plain.Load() + wrong.plain.Load()}
			u := *dsn
			u.Host, u.User = c.server, url.UserPassword("postgres", "hush-password")
			q := url.Values{}
			if c.mode != "" {
				q.Set("sslmode", c.mode)
			}
			if c.root != "" {
				q.Set("sslrootcert", c.root)
			}
			u.RawQuery = q.Encode()
			db, err := Open(t.Context(), u.String(), spec.Options{})
			if c.fault != "" {
				if err == nil {
					_ = db.Close()
					t.Fatal("it was opened")
				}
				if !strings.Contains(err.Error(), c.fault) || strings.Contains(err.Error(), "hush") {
					t.Errorf("error %q, want one that says %q and not the password", err, c.fault)
				}
			} else {
				if err != nil {
					t.Fatal(err)
				}
				defer db.Close()
				if err := ask(t.Context(), db); err != nil {
					t.Errorf("asking: %v", err)
				}
			}
			encrypted := right.encrypted.Load() + wrong.encrypted.Load() - before[0]
			plain := right.plain.Load() + wrong.plain.Load() - before[1]
			wantPlain := c.fault == "" && !c.encrypted && c.server != dsn.Host
			if (plain > 0) != wantPlain || c.fault == "" && (encrypted > 0) != c.encrypted {
				t.Errorf("%d connections were encrypted, %d were not", encrypted, plain)
			}
		})
	}
}
