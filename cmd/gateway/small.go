package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"aigateway/config"
	"aigateway/simulator"
)

// release is set by the build: -ldflags "-X main.release=v1.2.3".
var release string

// version is the release, else what the toolchain knows of the source.
func version() string {
	if release != "" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}

type versionCommand struct{}

func (*versionCommand) Run(p *process) error {
	_, err := fmt.Fprintf(p.stdout, "gateway %s %s %s/%s\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

type schemaCommand struct{}

func (*schemaCommand) Run(p *process) error {
	_, err := p.stdout.Write(config.Schema())
	return err
}

type checkConfigCommand struct {
	File string `arg:"" optional:"" default:"${config}" help:"The file; API_GATEWAY_CONFIG_FILE or ./api-router-config.json when not given."`
}

// Run checks a file and prints every fault, a line each.
func (cmd *checkConfigCommand) Run(p *process) error {
	data, _, err := config.File{Path: cmd.File}.Read(p.ctx)
	if err != nil {
		return err
	}
	cfg, err := config.Parse(data)
	if err != nil {
		fmt.Fprintf(p.stderr, "%s:\n%v\n", cmd.File, err)
		return exit(1)
	}
	endpoints := 0
	for i := range cfg.Applications {
		endpoints += len(cfg.Applications[i].Endpoints)
	}
	_, err = fmt.Fprintf(p.stdout, "%s is valid: %d applications, %d endpoints, %d callers, hash %s\n",
		cmd.File, len(cfg.Applications), endpoints, len(cfg.Callers), cfg.Hash[:8])
	return err
}

type simulateCommand struct {
	Listen  string         `default:"127.0.0.1:8900" help:"Address to listen on."`
	Latency time.Duration  `default:"0s" help:"Time before each answer."`
	Cadence time.Duration  `default:"0s" help:"Time between the events of a stream."`
	Limit   map[string]int `placeholder:"DEPLOYMENT=RPM" help:"Requests per minute that a deployment takes; may be given several times."`
	Fault   string         `help:"A fault for every call, in the grammar of docs/simulator.md."`
}

// Run serves simulated models until the process is told to stop.
func (cmd *simulateCommand) Run(p *process) error {
	var listen net.ListenConfig
	listener, err := listen.Listen(p.ctx, "tcp", cmd.Listen)
	if err != nil {
		return fmt.Errorf("opening %s: %w", cmd.Listen, err)
	}
	fault := simulator.Fault(cmd.Fault)
	if err := fault.Check(); err != nil {
		return fmt.Errorf("reading --fault: %w", err)
	}
	limits := make(map[string]simulator.Deployment, len(cmd.Limit))
	for name, rpm := range cmd.Limit {
		limits[name] = simulator.Deployment{RPM: rpm}
	}
	sim := simulator.New(simulator.Options{Latency: cmd.Latency, Cadence: cmd.Cadence, Fault: fault, Deployments: limits})
	fmt.Fprintf(p.stdout, "simulated models at http://%s\n", listener.Addr())
	web := &http.Server{Handler: sim, ReadHeaderTimeout: headerWithin}
	served := make(chan error, 1)
	go func() { served <- web.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-p.ctx.Done():
		err := web.Close()
		if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
			err = ended
		}
		return err
	}
}

// configFile is where the configuration is when no argument says so.
func configFile() string {
	if name := os.Getenv("API_GATEWAY_CONFIG_FILE"); name != "" {
		return name
	}
	return "./api-router-config.json"
}
