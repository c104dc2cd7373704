package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"aigateway/config"
)

// commands is the command line.
type commands struct {
	Serve       serveCommand       `cmd:"" default:"1" help:"Run the gateway (the default). Settings come from the environment; see docs/configuration.md."`
	Demo        demoCommand        `cmd:"" help:"Run the gateway with simulated models behind it, on loopback, with nothing to install."`
	Simulate    simulateCommand    `cmd:"" help:"Run only the simulated models."`
	Migrate     migrateCommand     `cmd:"" help:"Bring the store's schema up to date, or say what that would take."`
	Invalidate  invalidateCommand  `cmd:"" help:"Delete once what has expired: cache entries, conversations, stored prompts."`
	Usage       usageCommand       `cmd:"" help:"Print what was used, from the ledger."`
	Capacity    capacityCommand    `cmd:"" help:"Print what throughput an application's traffic takes, from the ledger."`
	GuardReport guardReportCommand `cmd:"" help:"Measure what the cache's guards let through: hits and false hits by threshold."`
	CheckConfig checkConfigCommand `cmd:"" help:"Check a configuration file and print every fault."`
	Schema      schemaCommand      `cmd:"" help:"Print the JSON Schema of the configuration file."`
	Version     versionCommand     `cmd:"" help:"Print the version."`

	ShowVersion kong.VersionFlag `name:"version" help:"Print the version."`
}

// process is what a command has of the world.
type process struct {
	ctx            context.Context // ends at the first SIGINT or SIGTERM
	stdout, stderr io.Writer
}

// exit is an error that has been said already.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// run runs the program and returns its exit code.
func run(args []string, stdout, stderr io.Writer) (code int) {
	parser, err := kong.New(&commands{},
		kong.Name("gateway"),
		kong.Description("An AI gateway: one route per application, several endpoints behind it."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(c int) { code = c; panic(exit(c)) }),
		kong.Vars{"config": configFile(), "version": "gateway " + version()},
	)
	if err != nil {
		fmt.Fprintln(stderr, "gateway:", err)
		return 1
	}
	defer func() {
		if p := recover(); p != nil {
			if _, said := p.(exit); !said {
				panic(p)
			}
		}
	}()
	command, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(stderr, "gateway: %v\nTry: gateway --help\n", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err = command.Run(&process{ctx: ctx, stdout: stdout, stderr: stderr})
	var said exit
	switch {
	case err == nil:
		return 0
	case errors.As(err, &said):
		return int(said)
	}
	fmt.Fprintln(stderr, "gateway:", err)
	return 1
}

// settings reads the environment and opens the log of a command.
func (p *process) settings() (*config.Settings, *slog.Logger, func() error, error) {
	settings, err := config.FromEnv(os.LookupEnv)
	if err != nil {
		return nil, nil, nil, err
	}
	log, closeLog, err := newLog(settings.LogFile, settings.LogLevel, p.stderr)
	return settings, log, closeLog, err
}

// newLog returns the JSON log, to a file or to standard error, and what
// closes it.
func newLog(file string, level slog.Level, stderr io.Writer) (*slog.Logger, func() error, error) {
	w, done := stderr, func() error { return nil }
	if file != "" {
		f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
		if err != nil {
			return nil, nil, fmt.Errorf("opening the log file of API_GATEWAY_LOG_FILE: %w", err)
		}
		w, done = f, f.Close
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})), done, nil
}
