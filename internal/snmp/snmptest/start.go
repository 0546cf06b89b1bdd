// Package snmptest has devices answer for the time of a test. What they are made of is in
// package play.
package snmptest

import (
	"context"
	"net"
	"net/netip"

	"github.com/amoskys/amoskys/internal/snmp/play"
)

// Test is what Start and Load need of a test; testing.TB has it.
type Test interface {
	Helper()
	Context() context.Context
	Cleanup(func())
	Error(...any)
	Fatal(...any)
}

// Start has devices answer on a free port of loopback until the test ends. Devices
// with an address of their own answer there, the others at 127.0.0.1.
func Start(t Test, devices ...*play.Device) (*play.Responder, netip.AddrPort) {
	t.Helper()
	r, err := play.New(devices...)
	if err != nil {
		t.Fatal(err)
	}
	address := "127.0.0.1:0"
	if r.Addressed() {
		address = "0.0.0.0:0"
	}
	conn, err := r.Listen(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	other, err := r.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.SendFromElsewhere(other)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Serve(ctx, conn) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = other.Close() // nothing waits in it
	})
	port := conn.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	return r, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
}

// Load reads a recording of a test, in which there must be no fault.
func Load(t Test, text string) *play.Record {
	t.Helper()
	r, err := play.Text(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
