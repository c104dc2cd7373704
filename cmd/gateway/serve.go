package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"aigateway/config"
	"aigateway/gateway"
	"aigateway/job"
)

const (
	// refreshEvery is how often the configuration file is looked at.
	refreshEvery = 2 * time.Second
	// unusedFor is when an idle connection to an endpoint is closed; Azure's
	// front ends close theirs after 4 minutes.
	unusedFor = 90 * time.Second
	// clientIdle is how long a client may keep an unused connection.
	clientIdle = 2 * time.Minute
	// headerWithin bounds the arrival of a request's header.
	headerWithin = 10 * time.Second
	// closeWithin bounds the end of background jobs, which store what waits.
	closeWithin = 10 * time.Second
	// rawHeaderBytes is where net/http itself stops reading a header. The
	// configured bound is below it, so that what is between the two is refused
	// in JSON.
	rawHeaderBytes = 1 << 20
)

type serveCommand struct{}

// Run serves until the process is told to stop.
func (*serveCommand) Run(p *process) error {
	settings, err := config.FromEnv(os.LookupEnv)
	if err != nil {
		return startFault(p, errors.Join(err, fileFaults(p.ctx, configFile())))
	}
	log, closeLog, err := newLog(settings.LogFile, settings.LogLevel, p.stderr)
	if err != nil {
		return err
	}
	defer closeLog() //nolint:errcheck // nothing is left to be told
	open := func() (net.Listener, error) {
		var listen net.ListenConfig
		return listen.Listen(p.ctx, "tcp", net.JoinHostPort(settings.Listen, strconv.Itoa(settings.Port)))
	}
	return serve(p, settings, config.File{Path: settings.ConfigFile}, log, open, nil)
}

// newServer opens what is kept and reads the configuration; on an error, which
// names the faults of both, nothing is left open.
func newServer(ctx context.Context, settings *config.Settings, source config.Source, log *slog.Logger, serves bool, more ...func(*gateway.Options)) (*state, *gateway.Server, error) {
	state, stateErr := openState(ctx, settings, log, serves)
	o := gateway.Options{Settings: settings, Source: source, Log: log, Version: version()}
	state.options(&o)
	for _, add := range more {
		add(&o)
	}
	server, err := gateway.New(ctx, o)
	if err = errors.Join(stateErr, err); err != nil {
		return nil, nil, errors.Join(err, state.close())
	}
	return state, server, nil
}

// fileFaults returns what is wrong with a configuration file, nil when nothing
// is.
func fileFaults(ctx context.Context, name string) error {
	data, _, err := config.File{Path: name}.Read(ctx)
	if err == nil {
		_, err = config.Parse(data)
	}
	return err
}

// startFault prints every fault that keeps the gateway from starting.
func startFault(p *process, err error) error {
	fmt.Fprintf(p.stderr, "gateway: cannot start:\n%v\n", err)
	return exit(1)
}

// serve runs the gateway until the process ends, then drains it. The port is
// opened when everything else is ready; opened, if not nil, is called then.
func serve(p *process, settings *config.Settings, source config.Source, log *slog.Logger, open func() (net.Listener, error), opened func()) (err error) {
	counts, countErr := openCounting(p.ctx, settings, log)
	defer func() { err = errors.Join(err, counts.close()) }()
	traces, traceErr := openTelemetry(p.ctx, settings, log)
	state, server, err := newServer(p.ctx, settings, source, log, true, counts.options, func(o *gateway.Options) { o.Telemetry = traces })
	if err = errors.Join(countErr, traceErr, err); err != nil {
		return startFault(p, errors.Join(err, state.close()))
	}
	defer func() { err = errors.Join(err, state.close()) }()
	listener, err := open()
	if err != nil {
		return startFault(p, fmt.Errorf("opening port %d (API_GATEWAY_PORT): %w", settings.Port, err))
	}
	defer listener.Close()
	warn(log, settings, server.Config(), listener)

	jobs := job.NewGroup(log)
	if err := state.start(jobs, server, settings, log); err != nil {
		return startFault(p, err)
	}
	counts.start(p.ctx, jobs, server)
	startTelemetry(traces, jobs, server)
	jobs.Every("configuration", refreshEvery, server.Refresh)
	jobs.Every("idle connections", unusedFor/3, func(context.Context) { server.CloseIdle(unusedFor) })
	jobs.Go("reload on SIGHUP", func(ctx context.Context) { reloadOnHangup(ctx, server, log) })

	base, cut := gateway.BaseContext()
	web := &http.Server{
		Handler:           server.Handler(),
		BaseContext:       func(net.Listener) context.Context { return base },
		ReadHeaderTimeout: headerWithin,
		IdleTimeout:       clientIdle,
		MaxHeaderBytes:    rawHeaderBytes,
		Protocols:         new(http.Protocols),
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	web.Protocols.SetHTTP1(true)
	web.Protocols.SetHTTP2(true)
	web.Protocols.SetUnencryptedHTTP2(true)
	if tls := server.Config().Server.TLS; tls.CertFile != "" {
		certificate, err := newCertificate(tls)
		if err != nil {
			return startFault(p, err)
		}
		web.TLSConfig = certificate.config()
		jobs.Every("certificate", refreshEvery, func(context.Context) { certificate.refresh(log) })
	}

	served := make(chan error, 1)
	jobs.Go("listener", func(context.Context) { served <- listenAndServe(web, listener) })
	log.Info("gateway listening", "address", listener.Addr().String(), "version", version())
	if opened != nil {
		opened()
	}
	select {
	case err = <-served:
	case <-p.ctx.Done():
		err = drain(server, web, cut, log)
	}
	server.CloseIdle(0)
	closing, done := context.WithTimeout(context.Background(), closeWithin)
	defer done()
	return errors.Join(err, jobs.Close(closing))
}

func listenAndServe(web *http.Server, listener net.Listener) error {
	serve := func() error { return web.Serve(listener) }
	if web.TLSConfig != nil {
		serve = func() error { return web.ServeTLS(listener, "", "") }
	}
	if err := serve(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}

// drain stops accepting, waits for what runs, streams too, up to the
// configured limit, and then cuts off the rest.
func drain(server *gateway.Server, web *http.Server, cut func(), log *slog.Logger) error {
	server.Drain()
	set := &server.Config().Server
	limit := set.DrainTimeout.Duration()
	log.Info("gateway stopping", "wait_at_most", limit.String())
	<-time.After(set.DrainDelay.Duration())
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := web.Shutdown(ctx); err == nil {
		cut()
		log.Info("gateway stopped")
		return nil
	}
	log.Warn("requests still run; they are cut off")
	cut()
	ctx, cancel = context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := web.Shutdown(ctx); err != nil {
		return web.Close()
	}
	return nil
}

// reloadOnHangup reloads the configuration at each SIGHUP.
func reloadOnHangup(ctx context.Context, server *gateway.Server, log *slog.Logger) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			if _, err := server.Reload(ctx); err != nil {
				log.Error("configuration refused; the old one stays in force", "error", err)
			}
		}
	}
}

// warn says at start what an operator would want to know.
func warn(log *slog.Logger, settings *config.Settings, cfg *config.Config, listener net.Listener) {
	addr, ok := listener.Addr().(*net.TCPAddr)
	if beyond := !ok || !addr.IP.IsLoopback(); beyond {
		if len(cfg.Callers) == 0 {
			log.Warn("anyone who reaches this port may use every application: configure callers, or listen on loopback (API_GATEWAY_LISTEN=127.0.0.1)")
		}
		if !cfg.Server.ProtectInfo {
			log.Warn("anyone who reaches this port may read info pages and metrics: set server.protectInfo")
		}
	}
	for i := range cfg.Applications {
		if a := &cfg.Applications[i]; a.Tenants.Claim != "" && len(cfg.JWT.Keys) == 0 {
			log.Warn("tenants are believed from tokens that nobody verifies: configure jwt.keys, or let only a proxy that verifies them reach this port", "app", a.AppID)
		}
	}
	if settings.Key == "" {
		log.Warn("API_GATEWAY_KEY is not set: /reconfig is refused to everyone")
	}
}
