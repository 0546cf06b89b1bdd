package app

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/hub"
	"github.com/amoskys/amoskys/internal/state"
)

// OpenState opens the state database of a hub: the file in its home, or the server that
// its configuration names. A home that was restored to be looked at has its own: others may
// go on with that server.
func OpenState(ctx context.Context, home config.Home, cfg hub.Config) (*state.DB, error) {
	restored, err := ReadRestored(home)
	if err != nil {
		return nil, err
	}
	if restored != nil && restored.ReadOnly {
		return state.Open(ctx, state.Options{File: home.State()})
	}
	url, err := cfg.State.URL.RevealIn(home)
	if err != nil {
		return nil, fmt.Errorf("state.url: %w", err)
	}
	if url == "" && cfg.State.URL != "" {
		return nil, errEmptyURL
	}
	return state.Open(ctx, state.Options{File: home.State(), URL: url})
}

// errEmptyURL says that state.url names a place where nothing is. The file in the home
// must not stand in for it: it knows neither accounts nor what was revoked.
var errEmptyURL = errors.New("state.url names a file or a variable that is empty: write the database's URL there, or leave state.url empty for data/state.db")

// errNoServer says that there is no other database than the file.
var errNoServer = errors.New("state.url of config/eventbus_config.yaml names no database (or set AMOSKYS_STATE_URL)")

// ImportState copies a file of state, the home's when file is empty, into the database
// that the hub's configuration names.
func ImportState(ctx context.Context, e *cli.Env, file string) ([]state.Copied, error) {
	if file == "" {
		file = e.Home.State()
	}
	if _, err := os.Stat(file); err != nil { // before one is made where there is none
		return nil, fmt.Errorf("find the state: %w", err)
	}
	return copyState(ctx, e, file, func(file, server *state.DB) (to, from *state.DB) { return server, file })
}

// ExportState copies the database that the hub's configuration names into a new file.
func ExportState(ctx context.Context, e *cli.Env, file string) ([]state.Copied, error) {
	return copyState(ctx, e, file, func(file, server *state.DB) (to, from *state.DB) { return file, server })
}

func copyState(ctx context.Context, e *cli.Env, name string, way func(file, server *state.DB) (to, from *state.DB)) (done []state.Copied, err error) {
	cfg, err := LoadHubConfig(e)
	if err != nil {
		return nil, err
	}
	if cfg.State.URL == "" {
		return nil, errNoServer
	}
	server, err := OpenState(ctx, e.Home, cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	file, err := state.Open(ctx, state.Options{File: name})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	to, from := way(file, server)
	done, err = state.Copy(ctx, to, from)
	if errors.Is(err, state.ErrNotEmpty) {
		err = fmt.Errorf("%w: nothing was copied; take one that no hub has used", err)
	}
	return done, err
}
