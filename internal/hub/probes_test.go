//go:build linux

package hub

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// origins are where connections from loopback addresses pretend to come from.
var origins = map[string]string{"127.0.0.2": "192.0.2.1", "127.0.0.3": "198.51.100.7", "127.0.0.4": "2001:db8::1"}

// pretending is a listener whose connections come from origins.
type pretending struct{ net.Listener }

func (l pretending) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	from := *c.RemoteAddr().(*net.TCPAddr)
	if other := origins[from.IP.String()]; other != "" {
		from.IP = net.ParseIP(other)
	}
	return pretender{c, &from}, nil
}

type pretender struct {
	net.Conn
	from net.Addr
}

func (p pretender) RemoteAddr() net.Addr { return p.from }

// metricsPort is the hub's port for metrics, and whether its log takes events.
func metricsPort(t *testing.T) (addr string, ready *atomic.Bool) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	home := newHome(t)
	x, err := newExporterFor(pretending{l}, identity.FilesFor(home.Certs(), "eventbus"))
	if err != nil {
		t.Fatal(err)
	}
	ready = &atomic.Bool{}
	ready.Store(true)
	x.ready = ready.Load
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- x.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return "127.0.0.1:" + port, ready
}

func newExporterFor(l net.Listener, files identity.Files) (*exporter, error) {
	sc := newScarce(func(string) {}, obs.Discard(), time.Now)
	return newExporter(l, files, identity.ServerOptions{Logger: obs.Discard()}, obs.MetricsHandler(obs.NewRegistry()), sc)
}

func dialFrom(t *testing.T, from, addr string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 5 * time.Second}
	c, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// ask sends one request and returns status and body.
func ask(t *testing.T, from, addr, request string) (status int, text string) {
	t.Helper()
	c := dialFrom(t, from, addr)
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, request); err != nil {
		return 0, err.Error()
	}
	method, _, _ := strings.Cut(request, " ")
	resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(resp.Body) // what a refused client did not send ends it early
	for key := range resp.Header {
		switch key {
		case "Content-Type", "Cache-Control", "X-Content-Type-Options", "Content-Length", "Date", "Connection":
		default:
			if from != "127.0.0.1" {
				t.Errorf("%q: a stranger is told %s: %q", request, key, resp.Header[key])
			}
		}
	}
	return resp.StatusCode, string(body)
}

// TestProbesAreForAnybody: the kubelet is answered from any address and under any
// name, learns a verdict, and has no other way in.
func TestProbesAreForAnybody(t *testing.T) {
	addr, ready := metricsPort(t)
	const here, stranger, sixth = "127.0.0.1", "127.0.0.2", "127.0.0.4"
	for _, tt := range []struct {
		from, method, target, host string
		broken                     bool // the log takes no events
		status                     int
		body                       string
	}{
		{from: stranger, target: "/livez", status: 200, body: "ok\n"},
		{from: sixth, target: "/livez", status: 200, body: "ok\n"},
		{from: stranger, target: "/readyz", host: "10.0.0.7:9090", status: 200, body: "ok\n"},
		{from: stranger, method: "HEAD", target: "/readyz", status: 200},
		{from: stranger, target: "/readyz?verbose", status: 200, body: "ok\n"},
		{from: here, target: "/livez", host: "rebound.example.org", status: 200, body: "ok\n"},
		{from: stranger, target: "/livez", broken: true, status: 200, body: "ok\n"},
		{from: stranger, target: "/readyz", broken: true, status: 503, body: "not ready\n"},
		{from: here, target: "/readyz", broken: true, status: 503, body: "not ready\n"},
		{from: stranger, target: "/", status: 403},
		{from: stranger, target: "/metrics", status: 403},
		{from: sixth, target: "/metrics", status: 403},
		{from: stranger, target: "/livez/", status: 403},
		{from: stranger, target: "//livez", status: 403},
		{from: stranger, target: "/x/../livez", status: 403},
		{from: stranger, target: "/LIVEZ", status: 403},
		{from: stranger, method: "POST", target: "/livez", status: 403},
		{from: here, target: "/metrics", status: 200},
		{from: here, target: "/metrics", host: "[::1]:9090", status: 200},
		{from: here, target: "/metrics", host: "rebound.example.org:9090", status: 421},
	} {
		ready.Store(!tt.broken)
		method, host := tt.method, tt.host
		if method == "" {
			method = http.MethodGet
		}
		if host == "" {
			host = "localhost"
		}
		status, body := ask(t, tt.from, addr, method+" "+tt.target+" HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
		if status != tt.status || tt.body != "" && body != tt.body {
			t.Errorf("%+v: %d %q", tt, status, body)
		}
		if status == http.StatusForbidden && !strings.Contains(body, "https with a client certificate") {
			t.Errorf("%+v: %q", tt, body)
		}
	}
}

// TestProbesUnderAttack: somebody who opens many connections and says little on
// each, or much, keeps neither the kubelet nor this machine from being answered,
// and loses them soon.
func TestProbesUnderAttack(t *testing.T) {
	addr, _ := metricsPort(t)
	const probe = "GET /readyz HTTP/1.1\r\nHost: 10.0.0.7\r\n\r\n"
	var slow []net.Conn
	for range 200 {
		c := dialFrom(t, "127.0.0.3", addr)
		if _, err := io.WriteString(c, "GET /livez HTTP/1.1\r\nX-Slow: "); err != nil {
			continue // it has given way
		}
		slow = append(slow, c)
	}
	began := time.Now()
	if status, body := ask(t, "127.0.0.2", addr, probe); status != http.StatusOK {
		t.Errorf("the kubelet: %d %s", status, body)
	}
	if status, body := ask(t, "127.0.0.1", addr, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); status != http.StatusOK {
		t.Errorf("this machine: %d %s", status, body)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("they waited %s", took)
	}
	for i, c := range slow {
		if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, c); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Fatalf("slow connection %d of %d is still open", i, len(slow))
		}
	}
	status, _ := ask(t, "127.0.0.2", addr, "GET /livez HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", 16<<10)+"\r\n\r\n")
	if status == http.StatusOK {
		t.Error("a header of 16 KiB was taken")
	}
	// A connection carries one request: a stranger does not settle down.
	c := dialFrom(t, "127.0.0.2", addr)
	if _, err := fmt.Fprint(c, probe, probe); err != nil {
		t.Fatal(err)
	}
	answers, _ := io.ReadAll(c) // cut off behind the first
	if n := strings.Count(string(answers), "200 OK"); n != 1 {
		t.Errorf("%d answers: %s", n, answers)
	}
}

// TestReadyMeansThatEventsAreTaken asks a real hub.
func TestReadyMeansThatEventsAreTaken(t *testing.T) {
	h := startHub(t, "")
	url := "http://" + h.MetricsAddr().String() + "/readyz"
	if code, body := h.get(t, url, ""); code != http.StatusOK || body != "ok\n" {
		t.Errorf("%d %q", code, body)
	}
	if code, body := h.get(t, "https://"+h.MetricsAddr().String()+"/readyz", "agent"); code != http.StatusOK || body != "ok\n" {
		t.Errorf("over HTTPS: %d %q", code, body)
	}
	full := startHub(t, "", func(o *Options, _ *StorageOptions) { o.Config.WAL.MinFreeMB = 1 << 20 })
	ack := exchange(t, publishStream(t, full.dial(t, "agent"), ""), &pb.PublishRequest{ProducerId: sixteen(1), Sequence: 1, Events: [][]byte{makeEvent(t, "a")}})
	if ack.GetStatus() != pb.PublishAck_STATUS_RETRY {
		t.Fatalf("ack %v", ack)
	}
	if code, body := full.get(t, "http://"+full.MetricsAddr().String()+"/readyz", ""); code != http.StatusServiceUnavailable || body != "not ready\n" {
		t.Errorf("a hub whose disk is full: %d %q", code, body)
	}
	if code, body := full.get(t, "http://"+full.MetricsAddr().String()+"/livez", ""); code != http.StatusOK {
		t.Errorf("it lives: %d %q", code, body)
	}
}
