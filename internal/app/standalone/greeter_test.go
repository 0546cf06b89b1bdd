//go:build unix

package standalone

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/app"
	"github.com/amoskys/amoskys/internal/app/endpoint"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/dial"
	"github.com/amoskys/amoskys/internal/node/child"
	"github.com/amoskys/amoskys/internal/obs"
)

// The worked example of docs/recipes/add-a-role.md, which shows it.

// greeterConfig is what users write in greeter_config.yaml.
type greeterConfig struct {
	HTTP    config.HTTPConfig    `yaml:"http"`
	Logging config.LoggingConfig `yaml:"logging"`
}

func defaultGreeter() greeterConfig {
	return greeterConfig{HTTP: config.HTTPConfig{Host: "127.0.0.1", Port: 5010}, Logging: config.DefaultLogging()}
}

// Validate reports every rule that c breaks.
func (c *greeterConfig) Validate(v *config.Check) {
	c.HTTP.Validate(v.Under("http"))
	c.Logging.Validate(v.Under("logging"))
}

// greeterTemplate is the commented file that decodes to the defaults.
func greeterTemplate() []byte {
	return config.Template(`# Configuration of the greeter.
http:
  host: 127.0.0.1
  port: 5010

#include logging
`, config.LoggingSection())
}

// runGreeter runs the greeter until ctx ends.
func runGreeter(ctx context.Context, e *cli.Env) (err error) {
	cfg := defaultGreeter()
	if err := config.Load(greeterFile(e.Home), &cfg, config.DecodeOptions{Env: e.Lookup}); err != nil {
		return err
	}
	logger, closer, err := endpoint.RoleLogger(e, "greeter", cfg.Logging.Level)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	ctx, cancel := child.WithParent(ctx)
	defer cancel()
	l, err := obs.Listen(ctx, cfg.HTTP.Addr())
	if err != nil {
		return err
	}
	return obs.Endpoint{}.Serve(ctx, l, logger)
}

func greeterFile(h config.Home) string { return h.Path("config/greeter_config.yaml") }

func greeterRole() app.Role {
	return app.Role{
		Name: "greeter", Summary: "Run the greeter", Run: runGreeter,
		Help: "Runs the greeter until SIGTERM or Ctrl-C.", Example: "  amoskys greeter",
		Log: "greeter", File: greeterFile, Template: greeterTemplate,
		Load: func(e *cli.Env, _ app.RoleOptions, o config.DecodeOptions) (app.Settings, error) {
			cfg := defaultGreeter()
			err := config.Load(greeterFile(e.Home), &cfg, o)
			return app.Settings{
				Config: cfg, Stop: 2 * time.Second,
				Ports: []app.Port{{Who: "the greeter", Addr: cfg.HTTP.Addr(), Key: "http.port"}},
				Ready: func(ctx context.Context, _ app.Surroundings) error { return answers(ctx, cfg.HTTP.Addr()) },
			}, err
		},
	}
}

// answers asks whether a role answers HTTP at addr.
func answers(ctx context.Context, addr string) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial.Direct}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/healthz", http.NoBody)
	if err != nil {
		return err
	}
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s", resp.Status)
	}
	return nil
}

// TestRecipeForARole runs the example as up would, in a process of its own.
func TestRecipeForARole(t *testing.T) {
	port := freePort(t)
	t.Setenv("AMOSKYS_HTTP_PORT", port)
	u := runRoles(t, greeterRole())
	u.until(t, "ready in ")
	if err := answers(t.Context(), "127.0.0.1:"+port); err != nil {
		t.Error(err)
	}
	if !strings.Contains(u.out.String(), "greeter      running (pid ") {
		t.Errorf("no line for it:\n%s", u.out)
	}
	if err := u.stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(u.home.Log("greeter")); err != nil {
		t.Error(err)
	}
	cfg := greeterConfig{}
	if err := config.Decode("greeter_config.yaml", greeterTemplate(), &cfg, config.DecodeOptions{Env: config.NoEnv}); err != nil || cfg != defaultGreeter() {
		t.Errorf("the template gives %+v, %v", cfg, err)
	}
}
