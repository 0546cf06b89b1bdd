package identity

import (
	"crypto/tls"
	"io"
	"net"
	"path/filepath"
	"testing"
)

// benchPair returns a finished server and client side.
func benchPair(b *testing.B) (ln *Listener, client *tls.Config) {
	b.Helper()
	dir := filepath.Join(b.TempDir(), "certs")
	if _, err := EnsureLayout(dir, LayoutOptions{Host: "web1", Canonical: func(string) string { return "" }}); err != nil {
		b.Fatal(err)
	}
	cfg, err := ServerConfig(FilesFor(dir, "eventbus"), ServerOptions{})
	if err != nil {
		b.Fatal(err)
	}
	inner, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	client, err = ClientConfig(FilesFor(dir, "agent"), ClientOptions{ServerName: "localhost"})
	if err != nil {
		b.Fatal(err)
	}
	return NewListener(inner, cfg, ListenerOptions{}), client
}

// BenchmarkHandshake is a mutual handshake, both sides on this machine.
func BenchmarkHandshake(b *testing.B) {
	ln, client := benchPair(b)
	defer func() { _ = ln.Close() }()
	for b.Loop() {
		raw, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		conn := tls.Client(raw, client)
		if err := conn.HandshakeContext(b.Context()); err != nil {
			b.Fatal(err)
		}
		server, err := ln.Accept()
		if err != nil {
			b.Fatal(err)
		}
		_, _ = conn.Close(), server.Close()
	}
}

// BenchmarkStream carries batches of 40 kB from client to server.
func BenchmarkStream(b *testing.B) {
	ln, client := benchPair(b)
	defer func() { _ = ln.Close() }()
	raw, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	conn := tls.Client(raw, client)
	done := make(chan error, 1)
	go func() {
		server, err := ln.Accept()
		if err == nil {
			_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{server}, make([]byte, 64<<10))
			_ = server.Close()
		}
		done <- err
	}()
	batch := make([]byte, 40<<10)
	b.SetBytes(int64(len(batch)))
	for b.Loop() {
		if _, err := conn.Write(batch); err != nil {
			b.Fatal(err)
		}
	}
	_ = conn.Close()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}
