package main

import (
	"context"
	"errors"
	"fmt"

	"aigateway/cache/guard"
	"aigateway/config"
	"aigateway/gateway"
	"aigateway/simulator"
)

type guardReportCommand struct {
	App       string    `help:"Application of the configuration whose endpoints make the embeddings." xor:"embeddings"`
	Simulated bool      `help:"Embeddings of the simulator, which knows words but no meaning." xor:"embeddings"`
	Threshold []float64 `default:"0.7,0.8,0.85,0.9,0.92,0.94,0.95,0.96,0.97,0.98,0.99" help:"Cosine similarities to report."`
	Verbose   bool      `help:"List every pair that goes wrong."`
}

// Run measures what the guards let through on the pairs that they are tested
// with.
func (cmd *guardReportCommand) Run(p *process) error {
	embed := func(_ context.Context, text string) ([]float32, error) { return simulator.Embed(text, 0), nil }
	switch {
	case cmd.App != "":
		settings, log, closeLog, err := p.settings()
		if err != nil {
			return err
		}
		defer closeLog() //nolint:errcheck // nothing is left to be told
		settings.UseCache, settings.StateMgmt, settings.PersistPrompts = false, false, false
		server, err := gateway.New(p.ctx, gateway.Options{
			Settings: settings, Source: config.File{Path: settings.ConfigFile}, Log: log, Version: version(),
		})
		if err != nil {
			return startFault(p, err)
		}
		embed = func(ctx context.Context, text string) ([]float32, error) {
			e, err := server.Embed(ctx, cmd.App, text)
			return e.Vector, err
		}
	case !cmd.Simulated:
		return errors.New("say whose embeddings: --app APPID of the configuration, or --simulated")
	}
	report, err := guard.Measure(p.ctx, embed, cmd.Threshold)
	if err != nil {
		return fmt.Errorf("measuring the guards: %w", err)
	}
	report.Verbose = cmd.Verbose
	return report.Write(p.stdout)
}
