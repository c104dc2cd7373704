package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"

	"aigateway/config"
	"aigateway/gateway"
)

// profile runs each scenario against a gateway that profiles itself and prints
// where the CPU time went.
func (b *bench) profile(ctx context.Context, stdout io.Writer) error {
	if err := os.MkdirAll(b.profileDir, 0o755); err != nil {
		return err
	}
	for _, s := range b.scenarios() {
		if !b.wants(s.group) {
			continue
		}
		prefix := filepath.Join(b.profileDir, s.name)
		fmt.Fprintln(b.progress, "profiling:", s.title)
		t, err := b.startGateway(ctx, b.self, "gateway-inproc", "-profile", prefix)
		if err != nil {
			return err
		}
		for range b.sizes.rounds {
			if _, err = s.run(ctx, t); err != nil {
				break
			}
		}
		t.server.stop() // it writes the profiles when it ends
		if err != nil {
			return fmt.Errorf("%s: %w\n%s", s.title, err, t.server.said())
		}
		if err := printProfile(ctx, stdout, s.title, prefix); err != nil {
			return err
		}
	}
	return b.beside(ctx, newReport(b.options), stdout)
}

// printProfile prints where the CPU time went.
func printProfile(ctx context.Context, stdout io.Writer, title, prefix string) error {
	top, err := exec.CommandContext(ctx, "go", "tool", "pprof", "-top", "-nodecount=15", prefix+".cpu").Output()
	if err != nil {
		return fmt.Errorf("reading the profile %s.cpu: %w", prefix, err)
	}
	fmt.Fprintf(stdout, "== %s (%s.cpu, %s.allocs)\n%s\n", title, prefix, prefix, top)
	return nil
}

// serveProfiled is `gateway serve` without its command line, inside a CPU
// profile, and of the background jobs with those alone that store, count and
// tell. It has no other use: what is compared is the real program.
func serveProfiled(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("gateway-inproc", flag.ContinueOnError)
	prefix := flags.String("profile", "", "beginning of the profiles' names")
	if err := flags.Parse(args); err != nil {
		return err
	}
	settings, err := config.FromEnv(os.LookupEnv)
	if err != nil {
		return err
	}
	log, err := os.OpenFile(settings.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	o := gateway.Options{
		Settings: settings, Source: config.File{Path: settings.ConfigFile}, Version: "bench",
		Log: slog.New(slog.NewJSONHandler(log, nil)),
	}
	kept, err := keep(ctx, &o)
	if err != nil {
		return err
	}
	server, err := gateway.New(ctx, o)
	if err != nil {
		return errors.Join(err, kept.close())
	}
	kept.share(server)
	server.AddReadings(kept.readings)
	ending := kept.run(ctx)
	defer ending()
	cpu, err := os.Create(*prefix + ".cpu")
	if err != nil {
		return err
	}
	defer cpu.Close()
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return err
	}
	err = serveUntil(ctx, &http.Server{
		Addr:        net.JoinHostPort(settings.Listen, fmt.Sprint(settings.Port)),
		Handler:     server.Handler(), //nolint:contextcheck // a request brings its own
		BaseContext: func(net.Listener) context.Context { return ctx },
	})
	pprof.StopCPUProfile()
	if err != nil {
		return err
	}
	allocs, err := os.Create(*prefix + ".allocs")
	if err != nil {
		return err
	}
	defer allocs.Close()
	return pprof.Lookup("allocs").WriteTo(allocs, 0)
}
