package app

import (
	"context"
	"errors"
	"log/slog"

	"github.com/amoskys/amoskys/internal/app/endpoint"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/node/child"
	"github.com/amoskys/amoskys/internal/node/ports"
	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/store"
)

// LoadStoreConfig reads the store's configuration under home.
func LoadStoreConfig(e *cli.Env) (store.Config, error) {
	cfg := store.DefaultConfig()
	err := config.Load(e.Home.StoreConfig(), &cfg, config.DecodeOptions{Env: e.Lookup})
	return cfg, err
}

// RunStore runs the store until ctx ends.
func RunStore(ctx context.Context, e *cli.Env) (err error) {
	cfg, err := LoadStoreConfig(e)
	if err != nil {
		return err
	}
	logger, closer, err := endpoint.RoleLogger(e, "store", cfg.Logging.Level)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	ctx, cancel := child.WithParent(ctx)
	defer cancel()
	if err := ports.Explain(runStore(ctx, e.Home, cfg, logger)); err != nil {
		logger.Log(ctx, obs.LevelCritical, "store failed", obs.KeyError, err)
		return err
	}
	return nil
}

func runStore(ctx context.Context, home config.Home, cfg store.Config, logger *slog.Logger) error {
	limitMemory(logger)
	registry := obs.NewRegistry()
	server, err := store.New(store.Options{ //nolint:contextcheck // it opens its ports and returns
		Config: cfg, Home: home, Logger: logger, Registry: registry, Query: store.Starting{Config: cfg.Store},
	})
	if err != nil {
		return err
	}
	return server.Run(ctx)
}
