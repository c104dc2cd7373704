package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const (
	// startsWithin is long enough for a cold start on a busy machine.
	startsWithin = 20 * time.Second
	// stopsWithin is what a server has to end by itself.
	stopsWithin = 5 * time.Second
)

// build compiles the gateway and this program, both with the flags of a
// release, and returns where they are.
func build(ctx context.Context, dir string) (gateway, bench string, err error) {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w",
		"-o", dir+string(filepath.Separator), "aigateway/cmd/gateway", "aigateway/bench")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", "", fmt.Errorf("building: %w\n%s", err, out)
	}
	return filepath.Join(dir, "gateway"), filepath.Join(dir, "bench"), nil
}

// process is a server that this program started and ends, by its own handle.
type process struct {
	name  string
	addr  string
	cmd   *exec.Cmd
	log   string
	ended chan struct{} // closed when the process is gone
}

// start runs a server with nothing but env in its environment and waits until
// it answers probe.
func start(ctx context.Context, name, addr, dir string, probe []byte, env []string, command ...string) (*process, error) {
	p := &process{name: name, addr: addr, log: filepath.Join(dir, fileName(name)+".out"), ended: make(chan struct{})}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p.cmd = exec.CommandContext(ctx, command[0], command[1:]...)
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = stopsWithin
	p.cmd.Env = append([]string{}, env...) // not nil, which would be all of ours
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the %s: %w", name, err)
	}
	go func() {
		p.cmd.Wait() //nolint:errcheck // how it ended is in its output
		close(p.ended)
	}()
	if err := p.ready(ctx, probe); err != nil {
		p.stop()
		return nil, fmt.Errorf("starting the %s: %w\n%s", name, err, p.said())
	}
	return p, nil
}

// ready waits until the server accepts a connection and then sends one
// request.
func (p *process) ready(ctx context.Context, probe []byte) error {
	ctx, cancel := context.WithTimeout(ctx, startsWithin)
	defer cancel()
	for {
		c, err := dial(ctx, p.addr)
		if err == nil {
			defer c.close()
			return c.exchange(probe)
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return err
		}
		select {
		case <-p.ended:
			return errors.New("it ended")
		default:
		}
		if wait(ctx, 10*time.Millisecond) != nil {
			return err
		}
	}
}

// stop asks the process to end, kills it when it does not, and waits.
func (p *process) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM) //nolint:errcheck // it may be gone already
	timer := time.NewTimer(stopsWithin)
	defer timer.Stop()
	select {
	case <-p.ended:
	case <-timer.C:
		p.cmd.Process.Kill() //nolint:errcheck // it may be gone already
		<-p.ended
	}
}

// said is the end of what the process printed.
func (p *process) said() []byte {
	out, _ := os.ReadFile(p.log)
	return bytes.TrimSpace(out[max(0, len(out)-2000):])
}

func (p *process) cpu() (time.Duration, error) { return cpuTime(p.cmd.Process.Pid) }
func (p *process) resident() (int, error)      { return residentBytes(p.cmd.Process.Pid) }

// freeAddr is a loopback address that nobody listens on.
func freeAddr(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
