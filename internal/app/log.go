package app

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/amoskys/amoskys/internal/clock"
	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/hub"
	"github.com/amoskys/amoskys/internal/live"
	"github.com/amoskys/amoskys/internal/live/latest"
	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/vfs"
	"github.com/amoskys/amoskys/internal/wal"
)

// OpenStorage opens the hub's log, where its configuration says.
func OpenStorage(
	ctx context.Context, cfg hub.Config, home config.Home, logger *slog.Logger, registry prometheus.Registerer,
) (*hub.Storage, error) {
	restored, err := ReadRestored(home)
	if err != nil {
		return nil, err
	}
	open := wal.Opener(vfs.OS{})
	return hub.OpenStorage(ctx, hub.StorageOptions{
		Open: func(ctx context.Context, o stream.Options) (stream.Log, error) {
			log, err := open(ctx, o)
			if err != nil {
				return nil, err
			}
			return openedLog(log, home, restored), nil
		},
		Config: restoredConfig(cfg, restored), Home: home, Logger: logger, Registerer: registry,
		Clock: clock.Open(clock.Options{File: home.Clock(), Logger: logger}),
	})
}

// newFeed returns the reader that counts events from the log's tail on.
func newFeed(log stream.Log, feed *live.Feed, registry prometheus.Registerer, logger *slog.Logger) (*reader.Reader, error) {
	stat := log.Stat()
	return reader.New(reader.Options{
		Name: "live", Source: &reader.Local{Log: log}, Consumer: feed, Logger: logger, Registerer: registry,
		Start: reader.Start{Offset: max(stat.FirstOffset, live.StartOffset(stat.NextOffset))}, MaxEvents: 4096, Blocks: true,
	})
}

// newExporter returns the reader that fills the latest readings of all agents.
func newExporter(values *latest.Values, log stream.Log, registry *prometheus.Registry, logger *slog.Logger) (*reader.Reader, error) {
	if err := registry.Register(values); err != nil {
		return nil, fmt.Errorf("register metrics of the exporter: %w", err)
	}
	stat := log.Stat()
	return reader.New(reader.Options{
		Name: "exporter", Source: &reader.Local{Log: log}, Consumer: values, Logger: logger, Registerer: registry,
		Start: reader.Start{Offset: max(stat.FirstOffset, latest.StartOffset(stat.NextOffset))}, MaxEvents: 4096, Blocks: true,
	})
}

// readers says of the readers in this process how they do.
func readers(all ...*reader.Reader) func() []hub.SubscriberStatus {
	return func() []hub.SubscriberStatus {
		out := make([]hub.SubscriberStatus, 0, len(all))
		for _, r := range all {
			s := r.Status()
			one := hub.SubscriberStatus{
				Name: s.Name, Offset: s.Offset, LagEvents: s.Lag, Hold: s.Hold, Connected: true, State: s.State, Reason: s.Reason,
			}
			if !s.Seen.IsZero() {
				one.SeenAt = &s.Seen
			}
			out = append(out, one)
		}
		return out
	}
}

// ownEvents returns a function that appends one event of the hub itself.
func ownEvents(log stream.Log, publisher string) func(context.Context, []byte) error {
	return func(ctx context.Context, encoded []byte) error {
		_, err := stream.Append(ctx, log, &stream.Record{
			Publisher: publisher, Received: time.Now(), Count: 1, Payload: [][]byte{codec.AppendHead(nil, len(encoded)), encoded},
		})
		return err
	}
}
