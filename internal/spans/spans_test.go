package spans

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/spans/spanstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder runs until the test ends.
func recorder(t *testing.T, o Options) *Recorder {
	t.Helper()
	if o.Logger == nil {
		o.Logger = obs.Discard()
	}
	o.Every = time.Millisecond
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return r
}

// store answers Check by asking an engine.
type store struct {
	healthpb.UnimplementedHealthServer

	engine *http.Client
	url    string
}

func (s *store) Check(ctx context.Context, _ *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/select", http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := s.engine.Do(req)
	if err != nil {
		return nil, err
	}
	return &healthpb.HealthCheckResponse{}, resp.Body.Close()
}

// chain is a dashboard that asks a store, which asks an engine.
type chain struct {
	*spanstest.Collector

	web    *httptest.Server
	client healthpb.HealthClient
	asked  chan string // traceparent of requests to the engine
}

func newChain(t *testing.T, ratio float64) *chain {
	t.Helper()
	c := &chain{Collector: spanstest.Start(t), asked: make(chan string, 100)}
	to := Default()
	to.Endpoint = c.URL
	to.Headers["X-Who"] = config.Secret("us")
	engine := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { c.asked <- r.Header.Get("Traceparent") }))
	t.Cleanup(engine.Close)
	inStore := recorder(t, Options{Config: to, Service: "store"})
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	server := grpc.NewServer(inStore.ServerOptions()...)
	healthpb.RegisterHealthServer(server, &store{engine: &http.Client{Transport: inStore.Transport(transport)}, url: engine.URL})
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() { server.Stop(); <-served })

	inDashboard := recorder(t, Options{Config: to, SampleRatio: ratio, Public: true, Service: "dashboard"})
	conn, err := grpc.NewClient(l.Addr().String(), append(inDashboard.DialOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	c.client = healthpb.NewHealthClient(conn)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/events/{id}", func(w http.ResponseWriter, r *http.Request) {
		if _, err := c.client.Check(r.Context(), &healthpb.HealthCheckRequest{}); err != nil {
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	c.web = httptest.NewServer(inDashboard.Handler(mux, func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/api/") }))
	t.Cleanup(c.web.Close)
	return c
}

// ask makes a request to the dashboard, of a trace where parent names one.
func (c *chain) ask(t *testing.T, path, parent string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.web.URL+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if parent != "" {
		req.Header.Set("Traceparent", parent)
	}
	resp, err := c.web.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
}

// TestOneTrace: a request is one trace from the dashboard to the store's engine, of whoever
// called the dashboard where they say so; what nobody asked for is none.
func TestOneTrace(t *testing.T) {
	c := newChain(t, 1)
	if _, err := c.client.Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil { // by itself
		t.Fatal(err)
	}
	if got := <-c.asked; got != "" {
		t.Errorf("a call of no request is of a trace: %s", got)
	}
	c.ask(t, "/assets/app.js", "")
	const theirs = "0af7651916cd43dd8448eb211c80319c"
	for _, parent := range []string{"", "00-" + theirs + "-b7ad6b7169203331-01"} {
		c.ask(t, "/api/events/7?secret=1", parent)
		got := c.Wait(t, 4)
		// The call has two spans of one name, one at each end: got has the last.
		web, call, engine := got["GET /api/events/{id}"], got["grpc.health.v1.Health/Check"], got["HTTP POST"]
		if web.Service != "amoskys-dashboard" || engine.Service != "amoskys-store" {
			t.Fatalf("spans: %+v", got)
		}
		if web.Trace != call.Trace || web.Trace != engine.Trace {
			t.Errorf("not one trace: %+v", got)
		}
		if parent != "" && (web.Trace != theirs || web.Parent != "b7ad6b7169203331") {
			t.Errorf("the caller's trace does not go on: %+v", web)
		}
		if parent == "" && web.Parent != "" {
			t.Errorf("the first has a parent: %+v", web)
		}
		if at := <-c.asked; !strings.HasPrefix(at, "00-"+web.Trace+"-"+engine.ID) {
			t.Errorf("the engine is told %s", at)
		}
		for key, value := range web.Attributes {
			if strings.Contains(value, "secret") {
				t.Errorf("%s holds what was asked: %s", key, value)
			}
		}
	}
	if h := <-c.Headers; h.Get("X-Who") != "us" || h.Get("Content-Type") != "application/x-protobuf" {
		t.Errorf("headers: %v", h)
	}
	if len(c.Spans) > 0 {
		t.Errorf("more spans: %+v", <-c.Spans)
	}
}

// TestNotSampled: what the ratio leaves out is left out everywhere, also where a stranger
// says that it is recorded.
func TestNotSampled(t *testing.T) {
	c := newChain(t, 1e-9)
	for _, parent := range []string{
		"", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"00-0af7651916cd43dd0000000000000001-b7ad6b7169203331-01", // which by its id is among any part
	} {
		c.ask(t, "/api/events/7", parent)
		if at := <-c.asked; at != "" && !strings.HasSuffix(at, "-00") {
			t.Errorf("of %q the engine is told %s", parent, at)
		}
	}
	if len(c.Spans) > 0 {
		t.Errorf("recorded: %+v", <-c.Spans)
	}
}

// TestOff: without an endpoint there is no recorder, and nothing is put around anything.
func TestOff(t *testing.T) {
	r, err := New(Options{Config: Default(), Service: "hub", Logger: obs.Discard()})
	if r != nil || err != nil {
		t.Fatal(r, err)
	}
	mux := http.NewServeMux()
	if r.Handler(mux, nil) != http.Handler(mux) || r.Transport(http.DefaultTransport) != http.DefaultTransport ||
		len(r.ServerOptions()) > 0 || len(r.DialOptions()) > 0 || r.Tracer() != nil {
		t.Error("something is put around")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Run(ctx); err != nil {
		t.Error(err)
	}
}

// TestCollectorAway: nobody waits for a collector that is not there. Spans are dropped and
// counted, it is said once, and when it comes back it gets those that end then.
func TestCollectorAway(t *testing.T) {
	c := spanstest.Start(t)
	away := true
	gate := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if away {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		http.Redirect(w, r, c.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer gate.Close()
	var log bytes.Buffer
	registry := prometheus.NewRegistry()
	to := Default()
	to.Endpoint = gate.URL
	o := Options{Config: to, SampleRatio: 1, Service: "hub", Registerer: registry, Logger: slog.New(slog.NewTextHandler(&log, nil)), Every: time.Millisecond}
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	r.queue.pause = time.Millisecond
	end := func(n int) {
		for range n {
			_, span := r.Tracer().Start(context.Background(), "batch")
			span.End()
		}
	}
	const more = 100
	end(maxWaiting + more) // nothing sends yet
	if got := testutil.ToFloat64(r.queue.dropped.WithLabelValues(reasonFull)); got != more {
		t.Errorf("%v were dropped of a full queue", got)
	}
	gone := r.queue.dropped.WithLabelValues(reasonAway)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for testutil.ToFloat64(gone) < maxWaiting {
		<-tick.C
	}
	cancel()
	<-done
	if n := strings.Count(log.String(), "does not take them"); n != 1 {
		t.Errorf("said %d times: %s", n, log.String())
	}
	// What a redirection leads to was not meant: it is none.
	away = false
	end(1)
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	r.queue.run(ctx)
	if len(c.Spans) > 0 || testutil.ToFloat64(gone) != maxWaiting+1 {
		t.Error("it went where it was led")
	}
	r.queue.to.url = c.URL + "/v1/traces"
	end(3)
	r.queue.run(ctx)
	if len(c.Spans) != 3 || testutil.ToFloat64(r.queue.sent) != 3 || !strings.Contains(log.String(), "takes them again") {
		t.Errorf("%d came, %s", len(c.Spans), log.String())
	}
}

// TestPartly: spans that the collector refuses are counted, and others are sent.
func TestPartly(t *testing.T) {
	gate := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-protobuf")
		_, _ = w.Write([]byte{0x0a, 0x02, 0x08, 0x02}) // partial_success {rejected_spans: 2}
	}))
	defer gate.Close()
	to := Default()
	to.Endpoint = gate.URL + "/otlp"
	r, err := New(Options{Config: to, SampleRatio: 1, Service: "hub", Logger: obs.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		_, span := r.Tracer().Start(context.Background(), "batch")
		span.End()
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r.queue.run(ctx)
	if got := testutil.ToFloat64(r.queue.dropped.WithLabelValues(reasonRefused)); got != 2 || testutil.ToFloat64(r.queue.sent) != 3 {
		t.Errorf("refused %v, sent %v", got, testutil.ToFloat64(r.queue.sent))
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for text, wrong := range map[string]string{
		"otel: {}": "",
		"otel: {endpoint: 'http://localhost:4318'}":                                                   "",
		"otel: {endpoint: 'https://c.example/x', sample_ratio: 0, headers: {Authorization: 'env:A'}}": "",
		"otel: {endpoint: 'localhost:4318'}":                                                          "otel.endpoint",
		"otel: {endpoint: 'http://localhost:4317'}":                                                   "over HTTP it is 4318",
		"otel: {endpoint: 'http://a:b@localhost'}":                                                    "headers",
		"otel: {sample_ratio: 2}":                                                                     "otel.sample_ratio",
		"otel: {headers: {'a b': c}}":                                                                 "otel.headers",
	} {
		var c struct {
			OTel SourceConfig `yaml:"otel"`
		}
		c.OTel = DefaultSource(1)
		if err := config.Decode("test.yaml", []byte(text), &c, config.DecodeOptions{}); err != nil {
			t.Fatal(err)
		}
		v := config.NewCheck()
		c.OTel.Validate(v.Under("otel"))
		if got := v.Faults().Error(); wrong == "" && len(v.Faults()) > 0 || !strings.Contains(got, wrong) {
			t.Errorf("%s: %s", text, got)
		}
	}
	c := Default()
	for endpoint, want := range map[string]string{"http://c:4318": "http://c:4318/v1/traces", "http://c:4318/": "http://c:4318/v1/traces", "https://c/otlp/v1/traces": "https://c/otlp/v1/traces"} {
		c.Endpoint = endpoint
		if got, err := c.address(); got != want || err != nil {
			t.Errorf("%s: %s, %v", endpoint, got, err)
		}
	}
}

// FuzzRefused: whatever a collector answers, nothing but a count comes of it.
func FuzzRefused(f *testing.F) {
	for _, s := range []string{"", "\x0a\x02\x08\x02", "\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x0a\x02\x12\x00", "\x0a\xff", "\x08\x01\x0a\x02\x08\x07"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if n := refused(b); n < 0 {
			t.Errorf("%d spans are refused", n)
		}
	})
}
