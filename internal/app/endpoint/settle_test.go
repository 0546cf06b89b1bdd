package endpoint

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/amoskys/amoskys/deploy/systemd"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/node"
)

// TestConfigureNamesTheHub: node and agents find the hub by their files alone, and
// what people wrote there stays.
func TestConfigureNamesTheHub(t *testing.T) {
	e := &cli.Env{Home: config.Home(t.TempDir())}
	kinds := []string{"proc", "synth"}
	if _, err := configure(e, "hub1:5443", kinds); err != nil {
		t.Fatal(err)
	}
	again, err := configure(e, "hub1:5443", kinds)
	if err != nil || len(again) != 0 {
		t.Errorf("the second time it changed %v, %v", again, err)
	}
	check := func(addr string) {
		t.Helper()
		cfg := node.DefaultConfig()
		if err := config.Load(e.Home.NodeConfig(), &cfg, config.DecodeOptions{Env: config.NoEnv}); err != nil {
			t.Fatal(err)
		}
		if got := cfg.Hub.Addr(); got != addr || !cmp.Equal(cfg.Node.Agents, kinds) {
			t.Errorf("the node has %s, %v", got, cfg.Node.Agents)
		}
		for _, kind := range kinds {
			d, err := Find(kind)
			if err != nil {
				t.Fatal(err)
			}
			loaded, err := d.Load(e.Home.AgentConfig(d.ConfigName), config.DecodeOptions{Env: config.NoEnv})
			if err != nil {
				t.Fatal(err)
			}
			if got := loaded.Common.Hub.Addr(); got != addr {
				t.Errorf("%s has %s", kind, got)
			}
		}
	}
	check("hub1:5443")
	file := e.Home.AgentConfig("process_monitor")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, strings.Replace(string(text), "sample_rate: 1.0", "sample_rate: 0.5 # ours", 1))
	if _, err := configure(e, "[2001:db8::1]:5000", nil); err != nil {
		t.Fatal(err)
	}
	check("[2001:db8::1]:5000")
	if text, err = os.ReadFile(file); err != nil || !strings.Contains(string(text), "sample_rate: 0.5 # ours") {
		t.Errorf("what a person wrote is gone: %v", err)
	}
	// In a style that is not ours nothing is broken, and the person is told.
	write(t, file, "hub: {host: old, port: 1}\n")
	if _, err := configure(e, "hub1:5000", nil); err == nil || !strings.Contains(err.Error(), "in "+file+" by hand") {
		t.Errorf("a file in flow style: %v", err)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "hub: {host: old, port: 1}\n" {
		t.Errorf("it has become %q, %v", text, err)
	}
	if left, err := filepath.Glob(filepath.Dir(file) + "/.new-*"); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestServiceIsInstalled(t *testing.T) {
	var out bytes.Buffer
	var asked []string
	e := &cli.Env{Home: config.Home("/srv/amoskys home"), Stdout: &out, Stdin: strings.NewReader("y\n")}
	s := service{
		dir: t.TempDir(), running: func() bool { return true },
		control: func(_ context.Context, args ...string) error {
			asked = append(asked, strings.Join(args, " "))
			return nil
		},
	}
	if err := s.install(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if want := []string{"daemon-reload", "enable " + systemd.Agent, "restart " + systemd.Agent}; !cmp.Equal(asked, want) {
		t.Errorf("systemctl was asked %q, want %q", asked, want)
	}
	text, err := os.ReadFile(filepath.Join(s.dir, systemd.Agent))
	if err != nil || !strings.Contains(string(text), `node --home "/srv/amoskys home"`) {
		t.Errorf("%v in\n%s", err, text)
	}
	if !strings.Contains(out.String(), "wrote "+s.dir) || !strings.Contains(out.String(), "systemctl status") {
		t.Errorf("said %q", out.String())
	}
	if s.wanted(e) {
		t.Error("asked, and nobody is there to answer")
	}
	s.control = func(context.Context, ...string) error { return errors.New("no") }
	if err := s.install(t.Context(), e); err == nil {
		t.Error("systemctl failed, and nobody was told")
	}
	s.running = func() bool { return false }
	if err := s.install(t.Context(), e); err == nil || !strings.Contains(err.Error(), "systemd does not run this machine") {
		t.Errorf("without systemd: %v", err)
	}
}
