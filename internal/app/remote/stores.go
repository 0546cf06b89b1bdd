package remote

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/dashboard"
	"github.com/amoskys/amoskys/internal/dial"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// DialStores prepares connections for questions: to the store at addr; where that is empty,
// to the one that DialStore takes and to those that the dashboard's configuration names
// (store.host, store.others), which are asked in turn while those before them are away.
// Nothing is sent yet. The caller closes it.
func DialStores(e *cli.Env, addr string) (*Store, error) {
	first, err := DialStore(e, addr)
	if err != nil || addr != "" {
		return first, err
	}
	all := &stores{lines: []*line{first.line}, first: first}
	for _, at := range furtherStores(e, first.Addr) {
		l, err := prepareAs(e, at.Addr(), at.Name(), storeEnd())
		if err != nil {
			return nil, errors.Join(err, all.Close())
		}
		all.lines = append(all.lines, l)
	}
	if len(all.lines) == 1 {
		return first, nil
	}
	first.others = all.lines[1:]
	first.Query, first.Devices, first.Metrics = pb.NewQueryClient(all), pb.NewDevicesClient(all), pb.NewMetricsClient(all)
	return first, nil
}

// furtherStores are those of the dashboard's configuration, but the one at an address.
// Where there is none, or it has faults, which others tell of, there are none.
func furtherStores(e *cli.Env, but string) []dial.StoreConfig {
	cfg := dashboard.DefaultConfig()
	if config.Load(e.Home.DashboardConfig(), &cfg, config.DecodeOptions{Env: e.Lookup}) != nil {
		return nil
	}
	known := map[string]bool{but: true}
	var all []dial.StoreConfig
	for _, at := range cfg.Store.All() {
		if !known[at.Addr()] {
			known[at.Addr()] = true
			all = append(all, at)
		}
	}
	return all
}

// stores asks one store after the other, and stays with the first one that is there. One
// question is asked at a time.
type stores struct {
	lines []*line
	first *Store
	at    int // the one that answered last
}

var _ grpc.ClientConnInterface = (*stores)(nil)

// try asks until one is there.
func (s *stores) try(ctx context.Context, ask func(*grpc.ClientConn) error) error {
	var away error
	for i := range s.lines {
		n := (s.at + i) % len(s.lines)
		err := ask(s.lines[n].conn)
		if status.Code(err) != codes.Unavailable || ctx.Err() != nil {
			s.at, s.first.line = n, s.lines[n] // whose words an error is explained with
			return err
		}
		if away == nil {
			away = err
		}
	}
	return away
}

// Invoke implements grpc.ClientConnInterface.
func (s *stores) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	return s.try(ctx, func(c *grpc.ClientConn) error { return c.Invoke(ctx, method, args, reply, opts...) })
}

// NewStream implements grpc.ClientConnInterface.
func (s *stores) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (stream grpc.ClientStream, err error) {
	err = s.try(ctx, func(c *grpc.ClientConn) (err error) {
		stream, err = c.NewStream(ctx, desc, method, opts...)
		return err
	})
	return stream, err
}

// Close ends the connections.
func (s *stores) Close() error {
	errs := make([]error, 0, len(s.lines))
	for _, l := range s.lines {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// Close ends the connections.
func (s *Store) Close() error {
	errs := append(make([]error, 0, 1+len(s.others)), s.own.Close())
	for _, l := range s.others {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// Explain is as of a hub. Where other stores were asked too, it names them.
func (s *Store) Explain(err error) error {
	explained := s.line.Explain(err)
	if len(s.others) == 0 || !errors.Is(explained, ErrStoreNotRunning) {
		return explained
	}
	var where []string
	for _, l := range s.others {
		where = append(where, l.addr)
	}
	return fmt.Errorf("%w; nor is one at %s", explained, strings.Join(where, ", "))
}
