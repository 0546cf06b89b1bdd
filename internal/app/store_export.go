package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/metrics/export"
	"github.com/amoskys/amoskys/internal/metrics/promapi"
	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/store"
)

// exports are the receivers of readings; nil sends to nobody.
type exports struct {
	exporter atomic.Pointer[export.Exporter]
}

// notify says that readings were written.
func (e *exports) notify() {
	if x := e.exporter.Load(); x != nil {
		x.Notify()
	}
}

// status is that of the receivers.
func (e *exports) status() (state, reason string) {
	if x := e.exporter.Load(); x != nil {
		return x.Status()
	}
	return "ok", ""
}

// run sends until ctx ends.
func (e *exports) run(ctx context.Context) error {
	if x := e.exporter.Load(); x != nil {
		x.Run(ctx)
	}
	<-ctx.Done()
	return nil
}

// begin makes what sends to the receivers that are configured.
func (e *exports) begin(home config.Home, cfg *store.Config, registry *prometheus.Registry, logger *slog.Logger) error {
	var targets []export.Target
	for i := range cfg.RemoteWrite {
		r := &cfg.RemoteWrite[i]
		protocol := export.RemoteWrite1
		if r.Version == 2 {
			protocol = export.RemoteWrite2
		}
		t, err := targetOf(home, &r.ReceiverConfig, r.URL, protocol)
		if err != nil {
			return fmt.Errorf("remote_write[%d]: %w", i, err)
		}
		targets = append(targets, t)
	}
	for i := range cfg.OTLP {
		r := &cfg.OTLP[i]
		t, err := targetOf(home, &r.ReceiverConfig, r.Address(), export.OTLP)
		if err != nil {
			return fmt.Errorf("otlp[%d]: %w", i, err)
		}
		targets = append(targets, t)
	}
	if len(targets) == 0 {
		return nil
	}
	x, err := export.New(export.Options{
		Path: home.Path(cfg.TSDB.Path), Places: home.Path("data/export"), Targets: targets,
		Logger: logger, Registerer: registry, Version: obs.ReadBuild().Version,
	})
	if err != nil {
		return err
	}
	e.exporter.Store(x)
	return nil
}

// targetOf is a receiver as its configuration says.
func targetOf(home config.Home, r *store.ReceiverConfig, address string, p export.Protocol) (t export.Target, err error) {
	t = export.Target{Name: r.Title(address), URL: address, Protocol: p, Timeout: r.Timeout(), Labels: labels.FromMap(r.Labels), Header: headerOf(home, r)}
	for _, text := range r.Match {
		set, err := promapi.ParseSelector(text)
		if err != nil {
			return t, fmt.Errorf("read a selector: %w", err)
		}
		t.Match = append(t.Match, set)
	}
	t.Client, err = clientOf(home, r.CACert)
	return t, err
}

// clientOf is a client that trusts the authorities in a file, or those of the system, goes
// through the proxy that the environment names, and follows no redirection: what is sent
// there was not meant for another.
func clientOf(home config.Home, file string) (*http.Client, error) {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 1, ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	if file != "" {
		b, err := os.ReadFile(home.Path(file))
		if err != nil {
			return nil, fmt.Errorf("read ca_cert: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(b) {
			return nil, fmt.Errorf("read ca_cert: %s holds no certificate", file)
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, nil
}

// headerOf are a receiver's own headers, with secrets as they are then.
func headerOf(home config.Home, r *store.ReceiverConfig) func() (http.Header, error) {
	return func() (http.Header, error) {
		h := http.Header{}
		var bad error
		reveal := func(s config.Secret) string {
			text, err := s.RevealIn(home)
			bad = errors.Join(bad, err)
			return text
		}
		for name, s := range r.Headers {
			h.Set(name, reveal(s))
		}
		switch {
		case r.BearerToken != "":
			h.Set("Authorization", "Bearer "+reveal(r.BearerToken))
		case r.Username != "" || r.Password != "":
			with := &http.Request{Header: h}
			with.SetBasicAuth(r.Username, reveal(r.Password))
		}
		return h, bad
	}
}
