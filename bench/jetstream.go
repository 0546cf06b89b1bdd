package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// subject is what client i publishes on.
func subject(i int) string { return fmt.Sprintf("events.%d", i) }

// serveJetStream runs a NATS server with one file stream that syncs each write before it
// acknowledges.
func serveJetStream(ctx context.Context, o *order, ready func(string) error) error {
	secure, err := o.TLS.serverTLS()
	if err != nil {
		return err
	}
	server, err := natsserver.NewServer(&natsserver.Options{
		ServerName: "bench", Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, NoLog: true, NoSigs: true, MaxPayload: 8 << 20,
		TLS: true, TLSVerify: true, TLSConfig: secure, TLSTimeout: 10, AuthTimeout: 10,
		JetStream: true, StoreDir: o.Dir, SyncAlways: true, JetStreamMaxStore: 64 << 30, JetStreamMaxMemory: 1 << 30,
	})
	if err != nil {
		return err
	}
	server.Start()
	defer func() { server.Shutdown(); server.WaitForShutdown() }()
	if !server.ReadyForConnections(20 * time.Second) {
		return errors.New("the NATS server does not start")
	}
	addr, ok := server.Addr().(*net.TCPAddr)
	if !ok {
		return errors.New("the NATS server has no address")
	}
	if err := ready(addr.String()); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// runJetStream publishes each batch as one message.
func runJetStream(ctx context.Context, s *settings) (*result, error) {
	server, err := start(ctx, s, "jetstream")
	if err != nil {
		return nil, err
	}
	defer server.stop()
	secure, err := server.tls.clientTLS()
	if err != nil {
		return nil, err
	}
	connect := func() (*nats.Conn, jetstream.JetStream, error) {
		conn, err := nats.Connect("tls://"+server.addr, nats.Secure(secure), nats.Timeout(10*time.Second), nats.NoReconnect())
		if err != nil {
			return nil, nil, err
		}
		js, err := jetstream.New(conn)
		return conn, js, err
	}
	conn, js, err := connect()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{
		Name: "EVENTS", Subjects: []string{"events.>"}, Storage: jetstream.FileStorage, MaxBytes: 2 << 30, Discard: jetstream.DiscardOld,
	}); err != nil {
		return nil, err
	}
	return drive(ctx, s, server, func(_ context.Context, i int) (sender, func(), error) {
		conn, js, err := connect()
		if err != nil {
			return nil, nil, err
		}
		payload := text(s.batch*s.size, rand.New(rand.NewPCG(uint64(i), 1))) //nolint:gosec // no secret, a load
		return func(ctx context.Context) error {
			_, err := js.Publish(ctx, subject(i), payload)
			return err
		}, conn.Close, nil
	})
}
