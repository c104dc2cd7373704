package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"time"

	"aigateway/capacity"
	"aigateway/config"
	"aigateway/db"
	"aigateway/gateway"
	"aigateway/persist"
)

// period is the time that a command asks about.
type period struct {
	From string `help:"First day or time, such as 2025-01-31 or 2025-01-31T12:00:00Z."`
	To   string `help:"Day or time before which it ends; now when not given."`
}

type usageCommand struct {
	period
	By     string  `default:"app" help:"What to tell apart: day, hour, app, tenant, caller, user, endpoint, model, kind; separated by commas."`
	App    *string `help:"Only this application's."`
	Tenant *string `help:"Only this tenant's; empty for what was nobody's."`
	Caller *string `help:"Only this caller's; empty for what was nobody's."`
	Format string  `default:"csv" enum:"csv,json" help:"csv or json."`
}

// mostRows bounds what is printed: far more than a spreadsheet holds.
const mostRows = 10_000_000

// Run prints what the usage page shows.
func (cmd *usageCommand) Run(p *process) error {
	v := url.Values{"from": {cmd.From}, "to": {cmd.To}, "by": {cmd.By}}
	for name, value := range map[string]*string{"app": cmd.App, "tenant": cmd.Tenant, "caller": cmd.Caller} {
		if value != nil {
			v.Set(name, *value)
		}
	}
	q, err := gateway.ReadUsageQuery(v, time.Now())
	if err != nil {
		return err
	}
	return p.withLedger(func(ledger persist.Ledger, settings *config.Settings) error {
		rows, err := ledger.Usage(p.ctx, q, mostRows)
		if err != nil {
			return fmt.Errorf("reading the ledger: %w", err)
		}
		currency := "USD"
		if data, _, err := (config.File{Path: settings.ConfigFile}).Read(p.ctx); err == nil {
			if cfg, err := config.Parse(data); err == nil {
				currency = cfg.Ledger.Currency
			}
		}
		if cmd.Format == "csv" {
			return gateway.WriteUsageCSV(p.stdout, rows, q.By, currency)
		}
		out := json.NewEncoder(p.stdout)
		out.SetIndent("", "  ")
		return out.Encode(gateway.UsagePage(rows, q, currency))
	})
}

type capacityCommand struct {
	App string `arg:"" optional:"" help:"The application; all of them together when none is named."`
	period
	Units        string  `help:"Numbers of units to ask about, separated by commas."`
	UnitTokens   float64 `default:"2500" help:"Prompt tokens a minute of one unit; 2500 is gpt-4o's."`
	OutputWeight float64 `default:"3" help:"Prompt tokens that one token of an answer counts for."`
	Format       string  `default:"text" enum:"text,json" help:"text or json."`
}

// Run prints what the capacity page shows.
func (cmd *capacityCommand) Run(p *process) error {
	if !(cmd.UnitTokens > 0 && cmd.UnitTokens <= 1e9) || !(cmd.OutputWeight > 0 && cmd.OutputWeight <= 1e9) {
		return errors.New("--unit-tokens and --output-weight must be above 0, and at most a billion")
	}
	from, to, err := cmd.times(time.Now())
	if err != nil {
		return err
	}
	units, err := capacity.ParseUnits(cmd.Units)
	if err != nil {
		return fmt.Errorf("--units: %w", err)
	}
	return p.withLedger(func(ledger persist.Ledger, _ *config.Settings) error {
		minutes, err := ledger.Minutes(p.ctx, cmd.App, from, to)
		if err != nil {
			return fmt.Errorf("reading the ledger: %w", err)
		}
		report := capacity.Plan(cmd.App, minutes, from, to, capacity.Unit{TokensPerMinute: cmd.UnitTokens, OutputWeight: cmd.OutputWeight}, units)
		if cmd.Format == "text" {
			return report.Write(p.stdout, columns())
		}
		out := json.NewEncoder(p.stdout)
		out.SetIndent("", "  ")
		return out.Encode(report)
	})
}

// times are From and To, a week until now where they are not given.
func (d *period) times(now time.Time) (from, to time.Time, err error) {
	q, err := gateway.ReadUsageQuery(url.Values{"from": {d.From}, "to": {d.To}}, now)
	if d.From == "" && err == nil {
		q.From = q.To.AddDate(0, 0, -7)
	}
	if err == nil && q.To.Sub(q.From) > gateway.MostCapacity {
		err = errors.New("--from must be at most 92 days before --to")
	}
	return q.From, q.To, err
}

// columns is the terminal's width, as the shell tells it.
func columns() int {
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n >= 60 && n <= 400 {
		return n
	}
	return 100
}

// withLedger opens the store for a command that reads the ledger.
func (p *process) withLedger(read func(persist.Ledger, *config.Settings) error) error {
	settings, log, closeLog, err := p.settings()
	if err != nil {
		return err
	}
	defer closeLog() //nolint:errcheck // nothing is left to be told
	ledger, done, err := db.OpenLedger(p.ctx, databaseURL(settings), log)
	if err != nil {
		return fmt.Errorf("opening the store (DATABASE_URL, VECTOR_DB_*, API_GATEWAY_DATA_DIR): %w", err)
	}
	return errors.Join(read(ledger, settings), done())
}
