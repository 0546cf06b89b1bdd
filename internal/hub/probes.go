package hub

import (
	"context"
	"errors"
	"net"
	"net/http"

	"golang.org/x/sync/errgroup"

	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/stream"
)

// servePlain answers plain HTTP: metrics and probes for this machine, probes alone
// for others, whose connections are fewer and shorter.
func (x *exporter) servePlain(ctx context.Context) error {
	here, strangers := newFeed(x.plain.Addr()), newFeed(x.plain.Addr())
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return sortByOrigin(x.plain, here, strangers) })
	group.Go(func() error {
		return obs.Serve(ctx, here, obs.Probes(x.ready, obs.LocalNames(x.handler)), x.logger)
	})
	group.Go(func() error {
		return obs.ServeStrangers(ctx, strangers, obs.Probes(x.ready, http.HandlerFunc(refuseStranger)), x.logger)
	})
	group.Go(func() error {
		<-ctx.Done()
		return x.plain.Close()
	})
	return group.Wait()
}

// sortByOrigin hands on the connections of plain until it is closed.
func sortByOrigin(plain net.Listener, here, strangers *feed) error {
	for {
		c, err := plain.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		if obs.IsLoopbackAddr(c.RemoteAddr()) {
			here.give(c)
			continue
		}
		strangers.give(c)
	}
}

// refuseStranger is what others than this machine get for all but probes.
func refuseStranger(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Connection", "close")
	http.Error(w, "plain HTTP is for this machine alone: use https with a client certificate", http.StatusForbidden)
}

// takesEvents reports whether what is published now would be made durable.
func (h *Hub) takesEvents() bool {
	return !h.isStopping() && h.storage.Log.Stat().State == stream.StateOK
}
