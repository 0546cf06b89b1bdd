package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"syscall"
	"time"

	"github.com/amoskys/amoskys/internal/app/remote"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/dashboard"
	"github.com/amoskys/amoskys/internal/dial"
	"github.com/amoskys/amoskys/internal/obs"
)

// dashboardStop is how long a dashboard gives itself to stop.
const dashboardStop = 10 * time.Second

func dashboardRole() Role {
	return Role{
		Name: "dashboard", Summary: "Run the dashboard: web page, REST API, live stream", Run: RunDashboard,
		Help: `Runs the dashboard until SIGTERM or Ctrl-C. It reads from the hub alone, so any
number of them can run anywhere. Configuration: config/dashboard_config.yaml.
Log: logs/dashboard.log.`,
		Example: "  amoskys dashboard\n  EVENTBUS_HOST=hub.example.org amoskys dashboard",
		Log:     "dashboard", After: []string{"hub"},
		Skip: func(o RoleOptions) bool { return o.NoDashboard },
		File: config.Home.DashboardConfig, Template: dashboard.ConfigTemplate,
		Load: func(e *cli.Env, _ RoleOptions, o config.DecodeOptions) (Settings, error) {
			cfg := dashboard.DefaultConfig()
			err := config.Load(e.Home.DashboardConfig(), &cfg, o)
			page := pageOf(&cfg)
			return Settings{
				Config: cfg, Stop: dashboardStop, Page: page, Cert: cfg.Hub.Files(e.Home).Cert,
				Ports: []Port{{"the dashboard", cfg.Address(), "server.port"}},
				Ready: func(ctx context.Context, _ Surroundings) error { return servesPages(ctx, page) },
				Alive: func(ctx context.Context, _ Surroundings) error { return responds(ctx, page) },
			}, err
		},
	}
}

// pageOf is where a browser of this machine finds the dashboard.
func pageOf(cfg *dashboard.Config) string {
	scheme := "http://"
	if cfg.TLS.Enabled {
		scheme = "https://"
	}
	host := cfg.Server.Host
	if obs.IsLoopback(host) {
		host = "localhost"
	}
	return scheme + config.HostPort(remote.LocalHost(host), cfg.Server.Port)
}

// servesPages asks whether something serves pages at url. Its certificate is its
// own affair.
func servesPages(ctx context.Context, url string) error {
	resp, err := look(ctx, url+"/")
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // not read
	if resp.StatusCode >= http.StatusInternalServerError {
		return fmt.Errorf("the dashboard answers %s", resp.Status)
	}
	return nil
}

// responds asks for any answer at all: one that refuses us, or has no room, is alive.
func responds(ctx context.Context, url string) error {
	resp, err := look(ctx, url+"/healthz")
	if err == nil {
		return resp.Body.Close()
	}
	if ctx.Err() == nil && !errors.Is(err, syscall.ECONNREFUSED) {
		return nil
	}
	return err
}

// look asks for a page of this machine. The caller closes its body.
func look(ctx context.Context, url string) (*http.Response, error) {
	web := &http.Client{Transport: &http.Transport{
		DialContext: dial.Direct, DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // as said above
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", url, err)
	}
	resp, err := web.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", url, err)
	}
	return resp, nil
}
