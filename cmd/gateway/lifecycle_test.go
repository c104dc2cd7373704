package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"aigateway"
	"aigateway/simulator"
)

// lifeConfig is a configuration with one chat application.
func lifeConfig(models, server, description string) string {
	return `{"server":{` + server + `},"applications":[{"appId":"chat","description":"` + description + `","appType":"azure_oai","endpoints":[
		{"uri":"` + models + `/openai/deployments/gpt/chat/completions?api-version=2024-10-21","apikey":"key-of-lifecycle-tests"}]}]}`
}

func startModels(t *testing.T) (*simulator.Simulator, string) {
	t.Helper()
	sim := simulator.New(simulator.Options{})
	web := httptest.NewServer(sim)
	t.Cleanup(func() {
		web.CloseClientConnections()
		web.Close()
	})
	return sim, web.URL
}

// beginStream asks for a stream and returns it with its first line read.
func beginStream(t *testing.T, g *gatewayProcess, fault string) (*http.Response, *bufio.Reader) {
	t.Helper()
	resp, err := http.Post(g.Base+"/lb/chat", "application/json",
		strings.NewReader(`{"stream":true,"user":"sim:`+fault+`","messages":[{"role":"user","content":"What is a gateway?"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	lines := bufio.NewReader(resp.Body)
	if line, err := lines.ReadString('\n'); err != nil || !strings.HasPrefix(line, "data: ") {
		t.Fatalf("the stream begins with %q, %v", line, err)
	}
	return resp, lines
}

// ended waits for the end of the process and returns its exit code.
func (g *gatewayProcess) ended(t *testing.T) int {
	t.Helper()
	select {
	case <-g.exited:
	case <-time.After(stopsWithin):
		t.Fatal("the gateway does not stop")
	}
	return g.command.ProcessState.ExitCode()
}

func TestSIGTERMDrainsARunningStream(t *testing.T) {
	_, models := startModels(t)
	g := startGateway(t, lifeConfig(models, "", ""))
	_, lines := beginStream(t, g, "cadence=30ms;words=40")
	if err := g.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := eventually(stopsWithin, func() (bool, error) { return bytes.Contains(g.log(), []byte("gateway stopping")), nil }); err != nil {
		t.Fatal(err)
	}
	// The port is closed to newcomers.
	if err := eventually(stopsWithin, func() (bool, error) {
		conn, err := net.Dial("tcp", strings.TrimPrefix(g.URL, "http://"))
		if err == nil {
			conn.Close()
		}
		return err != nil, nil
	}); err != nil {
		t.Errorf("the port stays open: %v", err)
	}
	rest, err := io.ReadAll(lines)
	if err != nil || !bytes.HasSuffix(rest, []byte("data: [DONE]\n\n")) {
		t.Errorf("the stream ended with %v: %s", err, rest)
	}
	if code := g.ended(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if !bytes.Contains(g.log(), []byte(`"gateway stopped"`)) {
		t.Error("the log does not tell the end")
	}
}

func TestDrainLimitCutsOffWhatStillRuns(t *testing.T) {
	sim, models := startModels(t)
	g := startGateway(t, lifeConfig(models, `"drainTimeout":"0.3 seconds"`, ""))
	_, lines := beginStream(t, g, "hang=6")
	if err := g.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(lines)
	if err == nil {
		t.Error("a stream that was cut off ended cleanly")
	}
	_, event, _ := strings.Cut(string(rest), "event: error\ndata: ")
	var told struct{ Error struct{ Message string } }
	if err := json.Unmarshal([]byte(event), &told); err != nil || !strings.Contains(told.Error.Message, "shutting down") {
		t.Errorf("the error event: %v in %s", err, rest)
	}
	if code := g.ended(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if err := eventually(stopsWithin, func() (bool, error) { return sim.Open() == 0 && sim.Canceled() == 1, nil }); err != nil {
		t.Errorf("the endpoint's call goes on: %v", err)
	}
}

func TestSIGHUPReloads(t *testing.T) {
	_, models := startModels(t)
	g := startGateway(t, lifeConfig(models, "", "before"))
	file := filepath.Join(g.command.Dir, "config.json")
	if err := os.WriteFile(file, []byte(lifeConfig(models, "", "after")), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := g.command.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if err := eventually(startsWithin, func() (bool, error) {
		resp, err := http.Get(g.URL + "/instanceinfo")
		if err != nil {
			return false, err
		}
		defer resp.Body.Close()
		page, err := io.ReadAll(resp.Body)
		return bytes.Contains(page, []byte(`"description":"after"`)), err
	}); err != nil {
		t.Error(err)
	}
}

// runProgram runs the program to its end.
func runProgram(t *testing.T, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	program, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), startsWithin)
	defer cancel()
	command := exec.CommandContext(ctx, program, args...)
	command.Dir = t.TempDir()
	command.Env = append(environment(), env...)
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	if err := command.Run(); err != nil && command.ProcessState == nil {
		t.Fatal(err)
	}
	if ctx.Err() != nil {
		t.Errorf("gateway %v does not end", args)
	}
	return command.ProcessState.ExitCode(), out.String(), errs.String()
}

func TestStartFaultsAreToldAllAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.json")
	bad := `{"applications":[{"appId":"a/b","appType":"azure_oia","endpoints":[{"uri":"ftp://x","apikey":"secret-in-a-bad-file","rpm":-1}]}]}`
	if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
		t.Fatal(err)
	}
	inFile := []string{"applications[0].appId", "applications[0].appType", "applications[0].endpoints[0].uri", "applications[0].endpoints[0].rpm"}
	inEnv := []string{"API_GATEWAY_PORT", "API_GATEWAY_LOG_LEVEL", "API_GATEWAY_METRICS_CHISTORY"}
	badEnv := []string{"API_GATEWAY_PORT=eighty", "API_GATEWAY_LOG_LEVEL=loud", "API_GATEWAY_METRICS_CHISTORY=601"}
	for name, c := range map[string]struct{ env, want []string }{
		"file":        {[]string{"API_GATEWAY_PORT=0"}, inFile},
		"environment": {badEnv, inEnv},
		"both":        {badEnv, slices.Concat(inEnv, inFile)},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := runProgram(t, append([]string{"API_GATEWAY_CONFIG_FILE=" + file, "API_GATEWAY_LISTEN=127.0.0.1"}, c.env...))
			if code == 0 || code < 0 {
				t.Errorf("exit code %d", code)
			}
			for _, want := range c.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("%s is not told", want)
				}
			}
			if strings.Contains(stdout+stderr, "secret-in-a-bad-file") || strings.Contains(stderr, "goroutine") {
				t.Error("a key or a stack is told")
			}
			if t.Failed() {
				t.Logf("stderr:\n%s", stderr)
			}
		})
	}
	t.Run("no file", func(t *testing.T) {
		code, _, stderr := runProgram(t, []string{"API_GATEWAY_CONFIG_FILE=" + file + ".none", "API_GATEWAY_PORT=0"})
		if code <= 0 || !strings.Contains(stderr, file+".none") || !strings.Contains(stderr, "API_GATEWAY_CONFIG_FILE") {
			t.Errorf("exit code %d: %s", code, stderr)
		}
	})
}

func TestPortInUseIsToldClearly(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(file, []byte(lifeConfig("http://127.0.0.1:1", "", "")), 0o600); err != nil {
		t.Fatal(err)
	}
	port := fmt.Sprint(taken.Addr().(*net.TCPAddr).Port)
	code, _, stderr := runProgram(t, []string{"API_GATEWAY_CONFIG_FILE=" + file, "API_GATEWAY_LISTEN=127.0.0.1", "API_GATEWAY_PORT=" + port})
	if code <= 0 || !strings.Contains(stderr, "API_GATEWAY_PORT") || !strings.Contains(stderr, port) || !strings.Contains(stderr, "in use") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestCheckConfig(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(file, aigateway.Sample(), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := runProgram(t, nil, "check-config", file)
	if code != 0 || !strings.Contains(stdout, "is valid: 9 applications, 11 endpoints, 0 callers") || stderr != "" {
		t.Errorf("the sample: exit code %d: %s%s", code, stdout, stderr)
	}
	if code, stdout, _ = runProgram(t, []string{"API_GATEWAY_CONFIG_FILE=" + file}, "check-config"); code != 0 || !strings.Contains(stdout, "is valid") {
		t.Errorf("the environment's file: exit code %d: %s", code, stdout)
	}
	bad := strings.NewReplacer(`"apikey"`, `"rpm":-3,"apikey"`, `"endpoints"`, `"memorySettings":{"msgCuont":5},"endpoints"`).Replace(lifeConfig("http://127.0.0.1:1", "", ""))
	if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr = runProgram(t, nil, "check-config", file)
	if code != 1 || stdout != "" || !strings.Contains(stderr, "applications[0].endpoints[0].rpm: saw -3") || !strings.Contains(stderr, "applications[0].memorySettings.msgCuont") {
		t.Errorf("with faults: exit code %d: %s%s", code, stdout, stderr)
	}
	if code, _, stderr = runProgram(t, nil, "check-config", file+".none"); code != 1 || !strings.Contains(stderr, file+".none") {
		t.Errorf("no file: exit code %d: %s", code, stderr)
	}
}

func TestVersionAndUnknownCommands(t *testing.T) {
	if code, stdout, _ := runProgram(t, nil, "version"); code != 0 || !strings.HasPrefix(stdout, "gateway ") || strings.Count(stdout, "\n") != 1 {
		t.Errorf("version: exit code %d: %s", code, stdout)
	}
	if code, stdout, _ := runProgram(t, nil, "--help"); code != 0 || !strings.Contains(stdout, "check-config") {
		t.Errorf("--help: exit code %d: %s", code, stdout)
	}
	if code, stdout, _ := runProgram(t, nil, "schema"); code != 0 || !json.Valid([]byte(stdout)) {
		t.Errorf("schema: exit code %d: %s", code, stdout)
	}
	for _, args := range [][]string{{"srve"}, {"serve", "--prot=1"}, {"simulate", "--fault=explode"}} {
		if code, _, stderr := runProgram(t, nil, args...); code <= 0 || stderr == "" || strings.Contains(stderr, "goroutine") {
			t.Errorf("%v: exit code %d: %s", args, code, stderr)
		}
	}
}

// writeCertificate makes a certificate for 127.0.0.1 and writes its files.
func writeCertificate(t *testing.T, certFile, keyFile string, serial int64) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	made := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "gateway"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, made, made, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, text := range map[string][]byte{certFile: certificate, keyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certificate)
	return pool
}

func TestTLSFollowsItsFiles(t *testing.T) {
	_, models := startModels(t)
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	pool := writeCertificate(t, certFile, keyFile, 1)
	program, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	config := lifeConfig(models, `"tls":{"certFile":"`+certFile+`","keyFile":"`+keyFile+`"}`, "")
	file := filepath.Join(dir, "config.json")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	// Not startGateway: it waits over cleartext.
	g := &gatewayProcess{exited: make(chan struct{}), logFile: filepath.Join(dir, "gateway.log"), secrets: keysIn(t, config)}
	g.command = exec.Command(program)
	g.command.Dir = dir
	g.command.Env = append(environment(), "API_GATEWAY_CONFIG_FILE="+file, "API_GATEWAY_LISTEN=127.0.0.1", "API_GATEWAY_PORT=0", "API_GATEWAY_LOG_FILE="+g.logFile)
	g.command.Stdout, g.command.Stderr = &g.output, &g.output
	if err := g.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		g.err = g.command.Wait()
		close(g.exited)
	}()
	t.Cleanup(func() { g.stop(t) })
	address := ""
	if err := eventually(startsWithin, func() (bool, error) { address = g.listensAt(); return address != "", nil }); err != nil {
		t.Fatal(err)
	}

	// ask asks over a connection of its own and tells the certificate's number.
	ask := func(pool *x509.CertPool) (proto string, serial int64, err error) {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
		defer transport.CloseIdleConnections()
		resp, err := (&http.Client{Transport: transport}).Post("https://"+address+"/lb/chat", "application/json",
			strings.NewReader(`{"messages":[{"role":"user","content":"hello"}]}`))
		if err != nil {
			return "", 0, err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return "", 0, fmt.Errorf("status %d", resp.StatusCode)
		}
		return resp.Proto, resp.TLS.PeerCertificates[0].SerialNumber.Int64(), nil
	}
	if proto, serial, err := ask(pool); err != nil || proto != "HTTP/2.0" || serial != 1 {
		t.Fatalf("at first: %s, certificate %d, %v", proto, serial, err)
	}
	renewed := writeCertificate(t, certFile, keyFile, 2)
	if err := eventually(startsWithin, func() (bool, error) {
		_, serial, err := ask(renewed)
		return err == nil && serial == 2, nil
	}); err != nil {
		t.Errorf("the new certificate: %v", err)
	}
}
