package app

import (
	"context"
	"time"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/store"
)

func storeRole() Role {
	return Role{
		Name: "store", Summary: "Run the store: events, searchable for weeks", Run: RunStore,
		Help: `Runs the store until SIGTERM or Ctrl-C. It reads the hub's log, keeps the events in
an engine of its own, and answers questions about them over mutual TLS. Whatever it
holds can be made again from the log, as far as that reaches.
Configuration: config/store_config.yaml. Log: logs/store.log.`,
		Example: "  amoskys store\n  EVENTBUS_HOST=hub.example.org amoskys store",
		Log:     "store", After: []string{"hub"}, Optional: true,
		File: config.Home.StoreConfig, Template: store.ConfigTemplate,
		Load: func(e *cli.Env, _ RoleOptions, o config.DecodeOptions) (Settings, error) {
			cfg := store.DefaultConfig()
			err := config.Load(e.Home.StoreConfig(), &cfg, o)
			s := Settings{
				Config: cfg, Stop: time.Duration(cfg.Server.TimeoutSeconds) * time.Second, Cert: cfg.Files(e.Home).Cert,
				Ports: []Port{{"the store", cfg.Address(), "server.port"}},
				Ready: storeReady, Alive: storeAlive,
			}
			if cfg.Metrics.Enabled {
				s.Ports = append(s.Ports, Port{"the store's metrics", config.HostPort(cfg.Metrics.Host, cfg.Metrics.Port), "metrics.port"})
			}
			return s, err
		},
	}
}

// storeReady asks the store for its status: it answers while its engine starts, or
// cannot, and then says so.
func storeReady(ctx context.Context, around Surroundings) error {
	s, err := around.Store()
	if err != nil {
		return err
	}
	if _, err := s.Query.Status(ctx, &pb.StatusRequest{}); err != nil {
		return s.Explain(err)
	}
	return nil
}

// storeAlive asks the store for any answer.
func storeAlive(ctx context.Context, around Surroundings) error {
	s, err := around.Store()
	if err != nil {
		return nil //nolint:nilerr // without certificates nobody can ask, which says nothing of the store
	}
	return s.Alive(ctx)
}
