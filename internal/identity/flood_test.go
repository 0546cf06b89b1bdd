package identity

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"testing"
	"time"
)

// TestOneAddressDoesNotStopHandshakes: silent connections of one address, more
// than there are slots and faster than they end, hold up nobody at another, be it
// known or new.
func TestOneAddressDoesNotStopHandshakes(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	full := make(chan struct{})
	tell := sync.OnceFunc(func() { close(full) })
	s.serverOpts.OnReject = func(r Rejection) {
		if r.Reason == ReasonOverloaded {
			tell()
		}
	}
	cfg, err := ServerConfig(s.server, s.serverOpts)
	must(t, err)
	ln := NewListener(listen(t), cfg, ListenerOptions{MaxPending: 32, MaxWaiting: 32})
	echo(t, ln)
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}}
	first, err := from.DialContext(t.Context(), "tcp", ln.Addr().String())
	if err != nil {
		t.Skipf("this machine has no second address: %v", err)
	}
	defer func() { _ = first.Close() }()
	ctx, stop := context.WithCancel(t.Context())
	flooded := make(chan struct{})
	go func() { // 600 a second
		defer close(flooded)
		var open []net.Conn
		defer func() {
			for _, c := range open {
				_ = c.Close()
			}
		}()
		tick := time.NewTicker(time.Second / 600)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			if c, err := from.DialContext(ctx, "tcp", ln.Addr().String()); err == nil {
				open = append(open, c)
			}
		}
	}()
	defer func() { stop(); <-flooded }()
	select {
	case <-full:
	case <-time.After(30 * time.Second):
		t.Fatal("the flood filled nothing")
	}
	client := clientFor(t, s, 0)
	for i := range 20 {
		began := time.Now()
		if _, err := exchange(t.Context(), ln.Addr().String(), client); err != nil {
			t.Fatalf("client %d failed while another address flooded: %v", i, err)
		}
		if took := time.Since(began); took > grace {
			t.Errorf("client %d took %s", i, took)
		}
	}
}

// TestAFleetBehindOneAddressGetsIn: clients that have begun their handshake do not
// give way to newer ones of their network, however slow all of them are together.
func TestAFleetBehindOneAddressGetsIn(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	const fleet = 12
	begun := make(chan struct{}, fleet)
	held := make(chan struct{})
	cfg, err := ServerConfig(s.server, s.serverOpts)
	must(t, err)
	slow := cfg.Clone()
	slow.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if len(hello.CipherSuites) > 0 { // else it is NewListener, which asks who reports
			begun <- struct{}{}
			<-held // this side has too much to do
		}
		return cfg.GetConfigForClient(hello)
	}
	ln := NewListener(listen(t), slow, ListenerOptions{MaxPending: 4, MaxWaiting: 64})
	echo(t, ln)
	client := clientFor(t, s, 0)
	done := make(chan error, fleet)
	for range fleet {
		go func() {
			_, err := exchange(t.Context(), ln.Addr().String(), client)
			done <- err
		}()
	}
	for range 3 { // a quarter of the slots is for known networks
		<-begun
	}
	<-time.After(grace + 2*lineEvery) // they are as old as what gives way when it is silent
	close(held)
	for range fleet {
		if err := <-done; err != nil {
			t.Errorf("a client of the fleet did not get in: %v", err)
		}
	}
}
