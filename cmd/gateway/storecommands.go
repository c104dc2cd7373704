package main

import (
	"errors"
	"fmt"
	"slices"

	"aigateway/config"
	"aigateway/db"
)

type migrateCommand struct {
	DryRun bool `help:"Only print the migrations that are missing."`
}

// Run migrates the store that the environment names.
func (cmd *migrateCommand) Run(p *process) error {
	settings, log, closeLog, err := p.settings()
	if err != nil {
		return err
	}
	defer closeLog() //nolint:errcheck // nothing is left to be told
	names, err := db.Migrate(p.ctx, databaseURL(settings), cmd.DryRun, log)
	if err != nil {
		return err
	}
	did := "applied"
	if cmd.DryRun {
		did = "missing"
	}
	for _, name := range names {
		fmt.Fprintln(p.stdout, did, name)
	}
	if len(names) == 0 {
		fmt.Fprintln(p.stdout, "the schema is up to date")
	}
	return nil
}

type invalidateCommand struct {
	What []string `arg:"" optional:"" enum:"cache,memory,prompts,ledger" help:"cache, memory, prompts, ledger; all that are on when none is named."`
}

// Run deletes what has expired, as the schedules do.
func (cmd *invalidateCommand) Run(p *process) error {
	settings, log, closeLog, err := p.settings()
	if err != nil {
		return err
	}
	defer closeLog() //nolint:errcheck // nothing is left to be told
	state, server, err := newServer(p.ctx, settings, config.File{Path: settings.ConfigFile}, log, false)
	if err != nil {
		return startFault(p, err)
	}
	if state == nil {
		return errors.New("nothing is kept: API_GATEWAY_USE_CACHE, API_GATEWAY_STATE_MGMT, API_GATEWAY_PERSIST_PROMPTS and API_GATEWAY_LEDGER are all off")
	}
	var faults []error
	for _, inv := range state.invalidators(server, settings) {
		if len(cmd.What) > 0 && !slices.Contains(cmd.What, inv.name) {
			continue
		}
		n, err := state.invalidate(p.ctx, inv, log, 0)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", inv.name, err))
			continue
		}
		fmt.Fprintf(p.stdout, "%s: %d rows deleted\n", inv.name, n)
	}
	return errors.Join(append(faults, state.close())...)
}
