package app

import (
	"context"
	"errors"

	"github.com/amoskys/amoskys/internal/app/endpoint"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/dashboard"
	"github.com/amoskys/amoskys/internal/node/child"
	"github.com/amoskys/amoskys/internal/node/ports"
	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/spans"
)

// LoadDashboardConfig reads the dashboard's configuration under home.
func LoadDashboardConfig(e *cli.Env) (dashboard.Config, error) {
	cfg := dashboard.DefaultConfig()
	err := config.Load(e.Home.DashboardConfig(), &cfg, config.DecodeOptions{Env: e.Lookup})
	return cfg, err
}

// RunDashboard runs the dashboard until ctx ends.
func RunDashboard(ctx context.Context, e *cli.Env) (err error) {
	cfg, err := LoadDashboardConfig(e)
	if err != nil {
		return err
	}
	logger, closer, err := endpoint.RoleLogger(e, "dashboard", cfg.Logging.Level)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	ctx, cancel := child.WithParent(ctx)
	defer cancel()
	traces, err := spans.New(spans.Options{
		Config: cfg.OTel.Config, SampleRatio: cfg.OTel.SampleRatio, Public: true, Service: "dashboard", Version: obs.ReadBuild().Version,
		Home: e.Home, Logger: logger,
	})
	if err != nil {
		return err
	}
	o := dashboard.Options{Config: cfg, Home: e.Home, Version: obs.ReadBuild().Version, Logger: logger, Spans: traces}
	if cfg.Logging.Access {
		o.AccessLog = logger
	}
	server, err := dashboard.New(o) //nolint:contextcheck // it opens its port and returns
	if err == nil {
		err = server.Run(ctx)
	}
	if err = ports.Explain(err); err != nil {
		logger.Log(ctx, obs.LevelCritical, "dashboard failed", obs.KeyError, err)
	}
	return err
}
