package endpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/node"
)

// watchedKinds are what a host that joins runs unless people say otherwise. The hub's
// monitor is not among them: it measures the hub from where the hub is.
func watchedKinds() []string { return []string{"proc"} }

// configure writes where the hub is into the files of the node and of its agents, and
// into the node's which agents it runs where kinds is not nil. Other keys and comments
// stay. It returns the files that it changed.
func configure(e *cli.Env, hub string, kinds []string) (changed []string, err error) {
	host, port, err := net.SplitHostPort(hub)
	if err != nil {
		return nil, fmt.Errorf("address of the hub: %w", err)
	}
	edits := []config.Edit{{Section: "hub", Key: "host", Value: host}, {Section: "hub", Key: "port", Value: port}}
	set := func(file string, template []byte, check func(file string) error, edits ...config.Edit) error {
		before, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			before, err = template, nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", file, err)
		}
		after := config.Set(before, edits...)
		if now, err := os.ReadFile(file); err == nil && string(now) == string(after) {
			return nil
		}
		if err := replaceFile(file, after, check); err != nil {
			return fmt.Errorf("set hub.host and hub.port in %s by hand: %w", file, err)
		}
		changed = append(changed, file)
		return nil
	}
	own := edits
	if kinds != nil {
		own = append([]config.Edit{{Section: "node", Key: "agents", Value: "[" + strings.Join(kinds, ", ") + "]"}}, edits...)
	}
	o := config.DecodeOptions{Env: config.NoEnv}
	cfg := node.DefaultConfig()
	errs := []error{set(e.Home.NodeConfig(), node.ConfigTemplate(), func(file string) error {
		read := node.DefaultConfig()
		return config.Load(file, &read, o)
	}, own...), config.Load(e.Home.NodeConfig(), &cfg, o)}
	for _, kind := range cfg.Node.Agents {
		d, err := Find(kind)
		if err != nil {
			continue // doctor says so
		}
		file := e.Home.AgentConfig(d.ConfigName)
		errs = append(errs, set(file, d.Template(), func(file string) error {
			_, err := d.Load(file, o)
			return err
		}, edits...))
	}
	return changed, errors.Join(errs...)
}

// replaceFile writes a file as a whole, once check has read it, or not at all.
func replaceFile(file string, text []byte, check func(file string) error) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(file), ".new-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp.Name()) }() // gone already when all went well
	_, err = temp.Write(text)
	if err = errors.Join(err, temp.Close()); err == nil {
		err = check(temp.Name())
	}
	if err == nil {
		err = os.Rename(temp.Name(), file)
	}
	return err
}
