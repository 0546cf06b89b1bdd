// Package probe looks at a hub from outside, as its clients see it: the JSON of
// GET /health and the gRPC health service, both over mutual TLS. Agents use it
// instead of gRPC.
package probe

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/amoskys/amoskys/internal/agent/uplink"
	"github.com/amoskys/amoskys/internal/dial"
)

// maxReport bounds the answer of /health, in bytes.
const maxReport = 1 << 20

// Options say which hub to look at.
type Options struct {
	Addr string      // host:port
	TLS  *tls.Config // nil for plain text, which is for tests and loopback only
	// Dial opens connections; nil means without a proxy.
	Dial dial.Func
	// Explain turns an error of the TLS handshake into one that says what to do;
	// nil leaves it as it is.
	Explain func(error) error
}

// Report is what a hub says of itself. Keys it does not send stay empty.
type Report struct {
	Status        string   `json:"status"` // ok, degraded or failed
	Reasons       []string `json:"reasons"`
	Version       string   `json:"version"`
	UptimeSeconds float64  `json:"uptime_seconds"`
	Log           struct {
		State       string `json:"state"`
		Reason      string `json:"reason"`
		NextOffset  uint64 `json:"next_offset"`
		Bytes       uint64 `json:"bytes"`
		Quarantined int    `json:"quarantined"`
		Damaged     int    `json:"damaged"` // bad places known
	} `json:"log"`
	Connections   uint32  `json:"connections"`
	ThroughputEPS float64 `json:"throughput_eps"`
	EventsTotal   uint64  `json:"events_total"`
	ErrorsTotal   uint64  `json:"errors_total"`
	QueueDepth    float64 `json:"queue_depth"`
	// Date is the hub's clock when it answered, to a second; zero where it did not say.
	Date time.Time `json:"-"`
}

// Probe keeps one connection of each kind, so that a look costs a round trip and
// not a handshake. Its methods may be called concurrently.
type Probe struct {
	o      Options
	client *http.Client
	conn   *grpc.ClientConn
}

// New prepares a probe; nothing is connected yet. Close it.
func New(o Options) (*Probe, error) {
	if o.Explain == nil {
		o.Explain = func(err error) error { return err }
	}
	if o.Dial == nil {
		o.Dial = func(ctx context.Context, addr string) (net.Conn, error) { return dial.Direct(ctx, "tcp", addr) }
	}
	conn, err := dial.NewClient(o.Addr, o.Dial, uplink.Credentials(o.TLS, nil), grpc.WithIdleTimeout(0),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}))
	if err != nil {
		return nil, fmt.Errorf("prepare probe: %w", err)
	}
	transport := &http.Transport{
		MaxIdleConns: 1, IdleConnTimeout: 5 * time.Minute,
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) { return o.Dial(ctx, addr) },
	}
	if o.TLS != nil {
		// Who offers http/1.1 gets HTTPS from the hub, not gRPC.
		transport.TLSClientConfig = o.TLS.Clone()
		transport.TLSClientConfig.NextProtos = []string{"http/1.1"}
	}
	return &Probe{o: o, conn: conn, client: &http.Client{Transport: transport}}, nil
}

// Close ends the connections.
func (p *Probe) Close() error {
	p.client.CloseIdleConnections()
	return p.conn.Close()
}

// Health fetches GET /health. A hub that reports itself as failed is no error.
func (p *Probe) Health(ctx context.Context) (Report, error) {
	scheme := "https://"
	if p.o.TLS == nil {
		scheme = "http://"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+p.o.Addr+"/health", http.NoBody)
	if err != nil {
		return Report{}, fmt.Errorf("ask hub for its health: %w", err)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		if inner := errors.Unwrap(err); inner != nil {
			err = inner // without the URL, which is known
		}
		return Report{}, fmt.Errorf("ask hub for its health: %w", p.explain(err))
	}
	defer func() { _ = resp.Body.Close() }() // read to its end
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxReport))
	if err != nil {
		return Report{}, fmt.Errorf("read hub's health: %w", err)
	}
	r, err := ParseReport(body)
	if err != nil {
		return Report{}, fmt.Errorf("%s answers /health with %s and no status: is it a hub?", p.o.Addr, resp.Status)
	}
	r.Date, _ = http.ParseTime(resp.Header.Get("Date")) // zero where it is none
	return r, nil
}

var errNoStatus = errors.New("no status")

// ParseReport reads the body of /health. Keys that it does not know are passed over.
func ParseReport(body []byte) (Report, error) {
	var r Report
	if err := json.Unmarshal(body, &r); err != nil {
		return Report{}, fmt.Errorf("read hub's health: %w", err)
	}
	if r.Status == "" {
		return Report{}, errNoStatus
	}
	return r, nil
}

// explain is for errors of TLS only; others are clear by themselves.
func (p *Probe) explain(err error) error {
	if p.o.TLS == nil || !uplink.IsTLSError(err) {
		return err
	}
	return p.o.Explain(err)
}

// Check asks the gRPC health service and returns how long the answer took. A hub
// that does not serve is an error.
func (p *Probe) Check(ctx context.Context) (time.Duration, error) {
	begin := time.Now()
	resp, err := healthpb.NewHealthClient(p.conn).Check(ctx, &healthpb.HealthCheckRequest{}, grpc.WaitForReady(true))
	took := time.Since(begin)
	if err != nil {
		return took, fmt.Errorf("check hub over gRPC: %w", p.explain(err))
	}
	if s := resp.GetStatus(); s != healthpb.HealthCheckResponse_SERVING {
		return took, fmt.Errorf("hub is not serving: %s", s)
	}
	return took, nil
}
