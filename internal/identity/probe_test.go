package identity

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestProbe(t *testing.T) {
	t.Parallel()
	for _, protos := range [][]string{{"http/1.1", "h2"}, {"h2"}} {
		s := newStage(t)
		s.serverOpts.NextProtos = protos
		cfg, err := ServerConfig(s.server, s.serverOpts)
		must(t, err)
		ln := NewListener(listen(t), cfg, ListenerOptions{})
		server := &http.Server{
			ReadHeaderTimeout: time.Minute,
			Handler:           http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "fine") }),
		}
		server.Protocols = new(http.Protocols)
		server.Protocols.SetHTTP1(true)
		server.Protocols.SetHTTP2(true)
		// The standard server finds HTTP/2 by the protocol of the finished handshake.
		server.TLSConfig = cfg.Clone()
		var wg sync.WaitGroup
		wg.Go(func() { _ = server.Serve(ln) })

		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		got, err := Probe(ctx, ln.Addr().String(), s.client, ClientOptions{Now: atEpoch})
		if err != nil || got.Server != hubID().String() || got.Version != "TLS 1.3" || got.Protocol != protos[0] {
			t.Errorf("%v: %+v, %v", protos, got, err)
		}
		if protos[0] == "http/1.1" && got.Answer != "HTTP/1.1 200 OK" {
			t.Errorf("answer %q", got.Answer)
		}
		wrong := s.own.leaf(t, "operator", IssueOptions{ID: ID{DefaultDomain, RoleOperator, "ann"}})
		_, err = Probe(ctx, ln.Addr().String(), wrong, ClientOptions{Now: atEpoch})
		if err == nil || !strings.Contains(err.Error(), "client certificate refused by the other side") || !strings.Contains(err.Error(), "operator.crt") {
			t.Errorf("wrong role: %v", err)
		}
		_, port, err := net.SplitHostPort(ln.Addr().String())
		must(t, err)
		_, err = Probe(ctx, net.JoinHostPort("127.0.0.1", port), s.client, ClientOptions{Now: atEpoch, ServerName: "hub9"})
		if err == nil || !strings.Contains(err.Error(), "dialled hub9") {
			t.Errorf("wrong host: %v", err)
		}
		cancel()
		_ = server.Close()
		wg.Wait()
		if _, err := Probe(t.Context(), ln.Addr().String(), s.client, ClientOptions{Now: atEpoch}); err == nil || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("nobody there: %v", err)
		}
	}
}
