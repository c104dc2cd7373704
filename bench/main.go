// Package main measures what the gateway costs beside a plain reverse proxy:
// CPU, latency and memory of both and of the backend alone, interleaved in one
// run and given as ratios, which say the same on another machine. README.md
// tells how. It sends requests as clients do and is no part of any.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run runs the benchmark, or one of the servers that it starts as processes of
// their own, and returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	command := ""
	if len(args) > 0 {
		command = args[0]
	}
	var err error
	switch command {
	case "proxy":
		err = serveProxy(ctx, args[1:])
	case "sink":
		err = serveSink(ctx, args[1:])
	case "gateway-inproc":
		err = serveProfiled(ctx, args[1:])
	default:
		err = compare(ctx, args, stdout, stderr)
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 2
	case err != nil && ctx.Err() != nil:
		fmt.Fprintln(stderr, "bench: interrupted")
		return 1
	case err != nil:
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	return 0
}

// options are the command line.
type options struct {
	sizes
	only       []string // scenarios; empty is all
	stores     []string
	bufferPool bool
	jsonFile   string
	profileDir string
}

// parse reads the command line.
func parse(args []string, stderr io.Writer) (options, error) {
	o := options{sizes: full}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	smoke := flags.Bool("quick", false, "few requests: shows that the benchmark works, measures nothing")
	rounds := flags.Int("rounds", 0, "`rounds` in which every target runs every scenario (default 7, and 3 of what keeps state)")
	stores := flags.String("stores", "", "comma-separated `stores` to keep state and the ledger in: "+embedded+", "+postgresql+" (default both)")
	rows := flags.Int("rows", 0, "stored requests, at most, among which one is read (default 1000000)")
	only := flags.String("only", "", "comma-separated `scenarios`: "+strings.Join(groups, ", ")+" (default all)")
	flags.BoolVar(&o.bufferPool, "bufferpool", false, "give the reverse proxy a pool of copy buffers")
	entries := flags.Int("entries", 0, "`entries` of the cache in which state is looked for (default 20000)")
	flags.StringVar(&o.jsonFile, "json", "", "also write the results, every round's too, to `file`")
	flags.StringVar(&o.profileDir, "profile", "", "measure nothing; write profiles of the gateway in each scenario to `dir`")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if *smoke {
		o.sizes = quick
	}
	if *rounds > 0 {
		o.rounds, o.stateRounds = *rounds, *rounds
	}
	if *rows > 0 {
		o.rows = *rows
	}
	if *entries > 0 {
		o.entries = *entries
	}
	o.stores = []string{embedded, postgresql}
	if *stores != "" {
		o.stores = strings.Split(*stores, ",")
	}
	for _, name := range o.stores {
		if name != embedded && name != postgresql {
			return o, fmt.Errorf("-stores %q: there are %s and %s", name, embedded, postgresql)
		}
	}
	if *only != "" {
		o.only = strings.Split(*only, ",")
	}
	for _, name := range o.only {
		if !slices.Contains(groups, name) {
			return o, fmt.Errorf("-only %q: there are %s", name, strings.Join(groups, ", "))
		}
	}
	return o, nil
}

func (o *options) wants(group string) bool { return len(o.only) == 0 || slices.Contains(o.only, group) }

func (o *options) wantsAny(groups []string) bool { return slices.ContainsFunc(groups, o.wants) }

// needsServer reports whether a PostgreSQL server is needed.
func (o *options) needsServer() bool {
	return slices.Contains(o.stores, postgresql) && (o.wantsAny(stateGroups) || o.wants("ledger"))
}

// compare runs the benchmark.
func compare(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if o.needsServer() && os.Getenv("TEST_DATABASE_URL") == "" {
		return errNoServer // now, not in some minutes
	}
	dir, err := os.MkdirTemp("", "gateway-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // it is a temporary folder
	fmt.Fprintln(stderr, "building")
	b := &bench{options: o, dir: dir, progress: stderr}
	if b.gateway, b.self, err = build(ctx, dir); err != nil {
		return err
	}
	if b.backend, err = b.startBackend(ctx); err != nil {
		return err
	}
	defer b.backend.server.stop()
	if o.profileDir != "" {
		return b.profile(ctx, stdout)
	}
	r, err := b.measure(ctx)
	if err != nil {
		return err
	}
	r.print(stdout)
	if o.jsonFile != "" {
		return r.writeJSON(o.jsonFile)
	}
	return nil
}
