package app

import (
	"context"
	"time"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/hub"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

func hubRole() Role {
	return Role{
		Name: "hub", Summary: "Run the hub: the bus, its log, and queries", Run: RunHub,
		Help: `Runs the hub until SIGTERM or Ctrl-C. It takes events over mutual TLS, makes them
durable before it acknowledges them, and answers the dashboard and these tools.
Configuration: config/eventbus_config.yaml. Log: logs/eventbus.log.`,
		Example: "  amoskys hub\n  AMOSKYS_SERVER_PORT=6000 amoskys hub --home /var/lib/amoskys",
		Log:     "eventbus",
		File:    config.Home.HubConfig, Template: hub.ConfigTemplate,
		Load: func(e *cli.Env, ro RoleOptions, o config.DecodeOptions) (Settings, error) {
			cfg := hub.DefaultConfig()
			err := config.Load(e.Home.HubConfig(), &cfg, o)
			s := Settings{
				Config: cfg, Stop: time.Duration(cfg.Server.TimeoutSeconds) * time.Second, Ready: hubReady, Cert: cfg.Files(e.Home).Cert,
				Ports:   []Port{{"the hub", config.HostPort(cfg.Server.Host, cfg.Server.Port), "server.port"}},
				Stopped: "every accepted event is on disk in " + e.Home.Path(cfg.WAL.Path),
			}
			s.Alive, s.Hang = hubAlive, time.Duration(cfg.Server.WatchdogSeconds)*time.Second
			if s.Hang == 0 {
				s.Hang = -1
			}
			if cfg.Metrics.Enabled {
				s.Ports = append(s.Ports, Port{"the hub's metrics", config.HostPort(cfg.Metrics.Host, cfg.Metrics.Port), "metrics.port"})
			}
			if ro.Force {
				s.Args = append(s.Args, "--force")
			}
			return s, err
		},
	}
}

// hubAlive asks the hub for any answer.
func hubAlive(ctx context.Context, around Surroundings) error {
	c, err := around.Hub()
	if err != nil {
		return nil //nolint:nilerr // without certificates nobody can ask, which says nothing of the hub
	}
	return c.Alive(ctx)
}

// hubReady asks the hub for its status.
func hubReady(ctx context.Context, around Surroundings) error {
	c, err := around.Hub()
	if err != nil {
		return err
	}
	if _, err := c.Query.Status(ctx, &pb.StatusRequest{}); err != nil {
		return c.Explain(err)
	}
	return nil
}
