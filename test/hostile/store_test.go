//go:build linux

package hostile_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// mostStore is the bar of the store's own process; its engine, a process of its own, has
// bounds of its own.
const mostStore = 300 << 20

// startStore runs a store beside a hub and returns it once it has what the hub's log has.
func startStore(t *testing.T, hub *program) *program {
	t.Helper()
	ports := freePorts(t, 2)
	_, hubPort, err := net.SplitHostPort(hub.addr)
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf("server: {host: 127.0.0.1, port: %d}\nmetrics: {host: 127.0.0.1, port: %d}\nhub: {host: localhost, port: %s}\nstore: {min_free_mb: 50}\n",
		ports[0], ports[1], hubPort)
	if err := os.WriteFile(filepath.Join(hub.home, "config", "store_config.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &program{
		what: "store", role: identity.RoleStore, home: hub.home, authority: hub.authority, ended: make(chan struct{}),
		addr: "127.0.0.1:" + strconv.Itoa(ports[0]), metrics: "127.0.0.1:" + strconv.Itoa(ports[1]),
	}
	p.group = makeGroup(t, p.what)
	p.run(t)
	c := pb.NewQueryClient(p.dial(t, p.certificate(t, identity.RoleOperator, "starter")))
	for deadline := time.Now().Add(time.Minute); ; <-time.After(50 * time.Millisecond) {
		s, err := c.Status(t.Context(), &pb.StatusRequest{})
		if err == nil && s.GetStore().GetEvents() > 0 && s.GetStore().GetLagEvents() == 0 {
			return p
		}
		if time.Now().After(deadline) {
			t.Fatalf("the store does not catch up: %v, %v", s, err)
		}
	}
}

// asker is another client of the store: it searches all the time, as a person would, and
// has to get its answers.
type asker struct {
	stop func()

	mu   sync.Mutex
	took []time.Duration
	errs []error
}

func startAsker(t *testing.T, p *program) *asker {
	t.Helper()
	c := pb.NewQueryClient(p.dial(t, p.certificate(t, identity.RoleDashboard, "witness")))
	w := &asker{}
	ctx, cancel := context.WithCancel(context.Background())
	var asking sync.WaitGroup
	asking.Go(func() {
		for ctx.Err() == nil {
			began := time.Now()
			answer, err := c.SearchEvents(ctx, &pb.SearchEventsRequest{Limit: 10, NoTotal: true}, grpc.MaxCallRecvMsgSize(16<<20))
			if err == nil && len(answer.GetEvents()) != 10 {
				err = fmt.Errorf("%d events of 10", len(answer.GetEvents()))
			}
			if ctx.Err() != nil {
				return
			}
			w.mu.Lock()
			if w.took = append(w.took, time.Since(began)); err != nil {
				w.errs = append(w.errs, err)
			}
			w.mu.Unlock()
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	w.stop = func() { cancel(); asking.Wait() }
	t.Cleanup(w.stop)
	return w
}

// round returns what the answers took since the last call, the longest one and how many.
func (w *asker) round() (longest time.Duration, n int, errs []error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range w.took {
		longest = max(longest, d)
	}
	n, errs = len(w.took), w.errs
	w.took, w.errs = nil, nil
	return longest, n, errs
}

// TestHostileStore lets a client of a role that may search, one that may not, and
// strangers do their worst to a store's port. It has to stay below its bar, and another
// client has to get its answers.
func TestHostileStore(t *testing.T) {
	s := sizeOf(t)
	hub := startHub(t)
	hub.fill(t)
	store := startStore(t, hub)
	witness := startAsker(t, store)
	hold := func(t *testing.T, what string, attack func()) {
		t.Helper()
		var peak int64
		witness.round()
		for range s.rounds {
			store.forgetPeak(t)
			attack()
			peak = max(peak, store.peak(t))
		}
		longest, n, errs := witness.round()
		t.Logf("| store | %s | %.0f MiB | %d answers to another, the longest took %v |", what, float64(peak)/(1<<20), n, longest.Round(time.Millisecond))
		if peak > mostStore {
			t.Errorf("%s: the store took %d MiB, at most %d are allowed", what, peak>>20, mostStore>>20)
		}
		if len(errs) > 0 {
			t.Errorf("%s: another client got %d errors in %d answers: %v", what, len(errs), n, errs[0])
		}
	}
	for _, role := range []identity.Role{identity.RoleOperator, identity.RoleAgent} {
		a := newAttacker(t, store, role)
		for _, x := range attacks() {
			t.Run(string(role)+" "+x.name, func(t *testing.T) {
				hold(t, string(role)+", "+x.name, func() { a.run(t.Context(), x, s.connections, s.length) })
			})
		}
		t.Run(string(role)+" a thousand connections", func(t *testing.T) {
			hold(t, string(role)+", a thousand connections", func() { thousand(t, a) })
		})
	}
	for name, do := range strangers(t) {
		t.Run("stranger "+name, func(t *testing.T) {
			hold(t, "a stranger, "+name, func() {
				var group sync.WaitGroup
				ctx, cancel := context.WithTimeout(t.Context(), max(s.length, time.Second))
				defer cancel()
				for range 64 * s.connections {
					group.Go(func() { do(ctx, store.addr) })
				}
				group.Wait()
			})
		})
	}
	// It is as well as before.
	witness.stop()
	if code := readiness(t, store); code != http.StatusOK {
		t.Errorf("/readyz says %d", code)
	}
}

// thousand opens so many connections of one certificate and holds those that it gets.
func thousand(t *testing.T, a *attacker) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var mu sync.Mutex
	var open []*raw
	var group sync.WaitGroup
	next := make(chan struct{}, 1000)
	for range cap(next) {
		next <- struct{}{}
	}
	close(next)
	for range 32 {
		group.Go(func() {
			for range next {
				if r, err := dialRaw(ctx, a, 1<<16); err == nil {
					mu.Lock()
					open = append(open, r)
					mu.Unlock()
				}
			}
		})
	}
	group.Wait()
	for _, r := range open {
		r.close()
	}
}

// strangers are clients without a certificate of ours.
func strangers(t *testing.T) map[string]func(ctx context.Context, addr string) {
	t.Helper()
	own := selfSigned(t)
	open := func(ctx context.Context, addr string, do func(net.Conn)) {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err != nil {
			return
		}
		end := context.AfterFunc(ctx, func() { _ = c.Close() })
		defer end()
		defer c.Close()
		do(c)
	}
	silent := func(ctx context.Context) func(net.Conn) {
		return func(c net.Conn) {
			_, _ = io.Copy(io.Discard, c) // until it is cut or ctx ends
			_ = ctx
		}
	}
	return map[string]func(ctx context.Context, addr string){
		"half-open connections": func(ctx context.Context, addr string) { open(ctx, addr, silent(ctx)) },
		"half a hello": func(ctx context.Context, addr string) {
			open(ctx, addr, func(c net.Conn) {
				_, _ = c.Write([]byte{22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3})
				silent(ctx)(c)
			})
		},
		"rubbish without end": func(ctx context.Context, addr string) {
			open(ctx, addr, func(c net.Conn) {
				rubbish := make([]byte, 16<<10)
				for ctx.Err() == nil {
					if _, err := c.Write(rubbish); err != nil {
						return
					}
				}
			})
		},
		"a request without TLS": func(ctx context.Context, addr string) {
			open(ctx, addr, func(c net.Conn) {
				_, _ = io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
				silent(ctx)(c)
			})
		},
		"no certificate": func(ctx context.Context, addr string) {
			open(ctx, addr, func(c net.Conn) {
				s := tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS13})
				if s.HandshakeContext(ctx) == nil {
					silent(ctx)(s)
				}
			})
		},
		"a certificate of its own": func(ctx context.Context, addr string) {
			open(ctx, addr, func(c net.Conn) {
				s := tls.Client(c, &tls.Config{
					InsecureSkipVerify: true, Certificates: []tls.Certificate{own}, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS13,
				})
				if s.HandshakeContext(ctx) == nil {
					silent(ctx)(s)
				}
			})
		},
	}
}

// selfSigned makes a certificate that names an operator, by an authority that nobody knows.
func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "operator", OrganizationalUnit: []string{"operator"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func readiness(t *testing.T, p *program) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.metrics+"/readyz", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	return answer.StatusCode
}
