package service

import (
	"context"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"
)

// elsewhere connects to one address, whatever port is asked.
type elsewhere struct{ at netip.AddrPort }

func (e elsewhere) DialContext(ctx context.Context, network, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, e.at.String())
}

// TestTarpit: a host that takes connections on many ports and says nothing has less time
// for the later ones, and one whose services are told has not.
func TestTarpit(t *testing.T) {
	t.Parallel()
	ports := make([]Asked, 64)
	for n := range ports {
		ports[n] = Asked{Port: uint16(40_000 + n), Protocol: tcp}
	}
	for name, c := range map[string]struct {
		talk    func(net.Conn)
		service string
		hurried bool
	}{
		"silent": {func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, "", true},
		"greets": {func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n") }, "ssh", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i, err := New(Options{Deadline: 100 * time.Millisecond, Greeting: 20 * time.Millisecond, Patience: 5 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			if !c.hurried { // the answer, and not the time, is what counts
				i.options.Deadline = 20 * time.Second
			}
			found, _ := i.IdentifyAll(t.Context(), elsewhere{serve(t, c.talk)}, netip.MustParseAddr("127.0.0.1"), ports, Hint{})
			for _, p := range found {
				if p.GetService() != c.service {
					t.Fatalf("%v", p)
				}
			}
			if n := i.Stats().Hurried; (n > 0) != c.hurried {
				t.Errorf("%d of %d ports had less time", n, len(ports))
			}
		})
	}
}
