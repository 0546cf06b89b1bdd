package remote

import (
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/store"
)

// Store is a connection to a store.
type Store struct {
	*line

	Query pb.QueryClient
	Addr  string // host:port
}

// StoreAddress is where the store of e.Home is reached from here: from the
// environment (STORE_HOST, STORE_PORT), else from the store's own configuration.
func StoreAddress(e *cli.Env) (string, error) {
	cfg := store.DefaultConfig()
	if err := config.Load(e.Home.StoreConfig(), &cfg, config.DecodeOptions{Env: e.Lookup}); err != nil {
		return "", err
	}
	return place(e, cfg.Server.Host, cfg.Server.Port, config.EnvStoreHost, config.EnvStorePort)
}

// DialStore prepares a connection to the store at addr; empty means StoreAddress.
// Nothing is sent yet: the first call finds out whether there is a store. The caller
// closes it.
func DialStore(e *cli.Env, addr string) (*Store, error) {
	if addr == "" {
		var err error
		if addr, err = StoreAddress(e); err != nil {
			return nil, err
		}
	}
	l, err := prepare(e, addr, storeEnd())
	if err != nil {
		return nil, err
	}
	return &Store{line: l, Query: pb.NewQueryClient(l.conn), Addr: addr}, nil
}
