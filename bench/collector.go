package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/extension/storage/filestorage"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// host gives components the storage.
type host map[component.ID]component.Component

func (h host) GetExtensions() map[component.ID]component.Component { return h }

// serveCollector runs a collector's pipeline: OTLP over gRPC with mutual TLS, an exporter
// whose queue is on disk and synced, and nothing behind it.
func serveCollector(ctx context.Context, o *order, ready func(string) error) (err error) {
	telemetry := componenttest.NewNopTelemetrySettings()
	storage, id, err := newStorage(ctx, o.Dir, telemetry)
	if err != nil {
		return err
	}
	h := host{id: storage}
	var running []component.Component
	defer func() {
		for _, c := range running {
			err = errors.Join(err, c.Shutdown(context.WithoutCancel(ctx)))
		}
	}()
	begin := func(c component.Component) error {
		running = append([]component.Component{c}, running...)
		return c.Start(ctx, h)
	}
	if err := begin(storage); err != nil {
		return err
	}
	queue := exporterhelper.NewDefaultQueueConfig()
	queue.StorageID, queue.BlockOnOverflow = &id, true
	sink, err := exporterhelper.NewLogs(ctx,
		exporter.Settings{ID: component.MustNewID("nowhere"), TelemetrySettings: telemetry},
		struct{}{}, func(context.Context, plog.Logs) error { return nil }, exporterhelper.WithQueue(configoptional.Some(queue)))
	if err != nil {
		return err
	}
	if err := begin(sink); err != nil {
		return err
	}
	addr, err := freeAddr(ctx)
	if err != nil {
		return err
	}
	factory := otlpreceiver.NewFactory()
	cfg, ok := factory.CreateDefaultConfig().(*otlpreceiver.Config)
	if !ok {
		return errors.New("the receiver has another configuration")
	}
	server := cfg.Protocols.GRPC.GetOrInsertDefault()
	server.NetAddr.Endpoint, server.MaxRecvMsgSizeMiB = addr, 16
	server.TLS = configoptional.Some(configtls.ServerConfig{
		Config:       configtls.Config{CertFile: o.TLS.ServerCert, KeyFile: o.TLS.ServerKey, MinVersion: "1.3"},
		ClientCAFile: o.TLS.CA,
	})
	otlp, err := factory.CreateLogs(ctx, receiver.Settings{ID: component.NewID(factory.Type()), TelemetrySettings: telemetry}, cfg, sink)
	if err != nil {
		return err
	}
	if err := begin(otlp); err != nil {
		return err
	}
	if err := ready(addr); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// newStorage is the queue's place on disk, synced after each write.
func newStorage(ctx context.Context, dir string, telemetry component.TelemetrySettings) (extension.Extension, component.ID, error) {
	factory := filestorage.NewFactory()
	id := component.NewID(factory.Type())
	cfg, ok := factory.CreateDefaultConfig().(*filestorage.Config)
	if !ok {
		return nil, id, errors.New("the storage has another configuration")
	}
	cfg.Directory, cfg.CreateDirectory, cfg.FSync = dir, true, true
	if err := cfg.Validate(); err != nil { // it reads the folder's rights too
		return nil, id, err
	}
	storage, err := factory.Create(ctx, extension.Settings{ID: id, TelemetrySettings: telemetry}, cfg)
	return storage, id, err
}

// freeAddr is an address of the loopback on which nobody listens.
func freeAddr(ctx context.Context) (string, error) {
	var c net.ListenConfig
	l, err := c.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// runCollector exports each batch as one request of log records.
func runCollector(ctx context.Context, s *settings) (*result, error) {
	server, err := start(ctx, s, "collector")
	if err != nil {
		return nil, err
	}
	defer server.stop()
	secure, err := server.tls.clientTLS()
	if err != nil {
		return nil, err
	}
	return drive(ctx, s, server, func(_ context.Context, i int) (sender, func(), error) {
		conn, err := grpc.NewClient("passthrough:///"+server.addr, grpc.WithTransportCredentials(credentials.NewTLS(secure)))
		if err != nil {
			return nil, nil, err
		}
		client := plogotlp.NewGRPCClient(conn)
		request := plogotlp.NewExportRequestFromLogs(logs(s, i))
		return func(ctx context.Context) error {
			_, err := client.Export(ctx, request)
			return err
		}, func() { _ = conn.Close() }, nil
	})
}

// logs is a batch of client i: records whose encoded size is that of our events.
func logs(s *settings, i int) plog.Logs {
	random := rand.New(rand.NewPCG(uint64(i), 2)) //nolint:gosec // no secret, a load
	all := plog.NewLogs()
	resource := all.ResourceLogs().AppendEmpty()
	resource.Resource().Attributes().PutStr("host.name", fmt.Sprintf("bench-%05d", i))
	records := resource.ScopeLogs().AppendEmpty().LogRecords()
	for n := range s.batch {
		r := records.AppendEmpty()
		r.SetTimestamp(pcommon.NewTimestampFromTime(time.Now()))
		r.SetSeverityNumber(plog.SeverityNumberInfo)
		r.Attributes().PutStr("event.type", "process.sample")
		r.Attributes().PutInt("process.pid", int64(1000+n))
		r.Body().SetStr(string(text(max(1, s.size-recordBytes), random)))
	}
	return all
}

// recordBytes is what a record has beside its body.
const recordBytes = 85
