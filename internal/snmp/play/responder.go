// Package play answers SNMP in place of devices: for `amoskys bench snmp`, and for tests by
// package snmptest.
//
// A Responder serves recordings in the format of snmpsim (Parse) as one or thousands
// of devices on one UDP socket, told apart by community, by the loopback address that
// was asked, or by the engine id of version 3. It speaks versions 1, 2c and 3 with
// security of its own, so that a client is held against the standards and not against
// the library it is made of, and has the faults that real devices have (Faults).
//
// Everything is encoded before the first question, so that an answer costs a search
// and some copying: hundreds of thousands of variables a second on one core.
package play

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amoskys/amoskys/internal/snmp"
)

// Bounds.
const (
	maxDatagram = 65_507
	maxDelayed  = 10_000 // answers that wait to be sent; more are dropped and counted
)

// Device is one that a Responder plays. What is empty is left out: a device without
// Users answers no version 3, one without Community neither 1 nor 2c. Do not change
// a field once a Responder has it.
type Device struct {
	// Community opens it in versions 1 and 2c.
	Community string
	// Addr is the loopback address at which it answers; the zero address is any.
	Addr netip.Addr
	// Users open it in version 3.
	Users []snmp.Credential
	// Engine is its engine id in version 3; empty is one made from its place in
	// the list of devices.
	Engine []byte
	// Boots is snmpEngineBoots; 0 is 1.
	Boots uint32
	// MaxSize is how large its answers may be, in octets; 0 is as large as a
	// datagram can be. GETBULK gives fewer rows then, GET answers tooBig.
	MaxSize int

	record  atomic.Pointer[Record]
	faults  atomic.Pointer[Faults]
	asked   atomic.Int64
	skew    atomic.Int64 // seconds that its engine's time is ahead
	started time.Time
	keys    []userKeys
}

// NewDevice makes a device that answers what was recorded.
func NewDevice(community string, r *Record) *Device {
	d := &Device{Community: community}
	d.Replay(r)
	return d
}

// Replay has the device answer another recording from now on.
func (d *Device) Replay(r *Record) { d.record.Store(r) }

// Break has the device behave badly from now on; the zero Faults end that.
func (d *Device) Break(f Faults) { d.faults.Store(&f) }

// Skew moves the time of the device's engine, as a restart or a wrong clock does.
func (d *Device) Skew(by time.Duration) { d.skew.Add(int64(by / time.Second)) }

// Asked is how many requests reached the device, answered or not.
func (d *Device) Asked() int64 { return d.asked.Load() }

func (d *Device) fault() *Faults {
	if f := d.faults.Load(); f != nil {
		return f
	}
	return &Faults{}
}

// Responder answers for devices.
type Responder struct {
	devices   map[place]*Device
	engines   map[string]*Device
	first     map[netip.Addr]*Device // with users, at this address
	addressed bool                   // devices differ by address
	other     atomic.Pointer[net.UDPConn]
	delayed   atomic.Int64
	// Unknown counts requests for which there is no device, Malformed what is no
	// request, and Overflow late answers that were dropped.
	Unknown, Malformed, Overflow atomic.Int64
}

type place struct {
	addr      netip.Addr
	community string
}

// New makes a Responder. Devices must differ in what tells them apart.
func New(devices ...*Device) (*Responder, error) {
	r := &Responder{devices: map[place]*Device{}, engines: map[string]*Device{}, first: map[netip.Addr]*Device{}}
	passwords := map[string][]byte{}
	for i, d := range devices {
		if d.Boots == 0 {
			d.Boots = 1
		}
		if len(d.Engine) == 0 { // RFC 3411, section 5: text that an administrator gave; 0 is no enterprise
			d.Engine = fmt.Appendf([]byte{0x80, 0, 0, 0, 4}, "device-%d", i)
		}
		d.started = time.Now()
		if err := r.place(d); err != nil {
			return nil, fmt.Errorf("device %d: %w", i, err)
		}
		if err := d.makeKeys(passwords); err != nil {
			return nil, fmt.Errorf("device %d: %w", i, err)
		}
	}
	return r, nil
}

// Addressed reports whether devices differ by the address at which they answer.
func (r *Responder) Addressed() bool { return r.addressed }

func (r *Responder) place(d *Device) error {
	if d.record.Load() == nil {
		return errors.New("it has no recording")
	}
	if d.Addr.IsValid() {
		r.addressed = true
	}
	if d.Community != "" {
		at := place{addr: d.Addr, community: d.Community}
		if r.devices[at] != nil {
			return errors.New("another one has its community and address")
		}
		r.devices[at] = d
	}
	if len(d.Users) > 0 {
		if r.engines[string(d.Engine)] != nil {
			return errors.New("another one has its engine id")
		}
		r.engines[string(d.Engine)] = d
		if r.first[d.Addr] == nil {
			r.first[d.Addr] = d
		}
	}
	return nil
}

// Listen opens the socket for Serve. Where devices differ by address it has to be
// that of all addresses, such as "0.0.0.0:0"; only requests to loopback are answered
// then.
func (r *Responder) Listen(ctx context.Context, address string) (*net.UDPConn, error) {
	var config net.ListenConfig
	conn, err := config.ListenPacket(ctx, "udp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for SNMP: %w", err)
	}
	udp, ok := conn.(*net.UDPConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("listen for SNMP: %s is no UDP address", address), conn.Close())
	}
	_ = udp.SetReadBuffer(8 << 20) // as much of it as the system allows: a thousand devices may be asked at once
	return udp, nil
}

// Serve answers until ctx is done, and closes conn. It may be called several times
// at once, each with a socket of its own.
func (r *Responder) Serve(ctx context.Context, conn *net.UDPConn) error {
	w, err := r.open(conn)
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	var late sync.WaitGroup
	defer late.Wait()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	s := &scribe{responder: r}
	buffer := make([]byte, maxDatagram)
	for {
		n, at, err := w.read(buffer)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return errors.New("serve SNMP: the socket was closed")
		}
		if err != nil {
			continue // ICMP says that somebody does not wait any more
		}
		d, answer := s.answer(buffer[:n], at.local)
		if d == nil {
			continue
		}
		r.deliver(ctx, w, d, answer, at, &late)
	}
}

// deliver sends an answer as the device's faults have it.
func (r *Responder) deliver(ctx context.Context, w wire, d *Device, answer []byte, at route, late *sync.WaitGroup) {
	f := d.fault()
	if f.Delay == 0 {
		r.send(w, f, answer, at)
		return
	}
	if r.delayed.Add(1) > maxDelayed {
		r.delayed.Add(-1)
		r.Overflow.Add(1)
		return
	}
	kept := append([]byte(nil), answer...)
	late.Go(func() {
		defer r.delayed.Add(-1)
		timer := time.NewTimer(f.Delay)
		defer timer.Stop()
		select {
		case <-ctx.Done():
		case <-timer.C:
			r.send(w, f, kept, at)
		}
	})
}

func (r *Responder) send(w wire, f *Faults, answer []byte, at route) {
	for range f.Garbage {
		w.write([]byte("\x30\x82\xff\xffnot what was asked for"), at)
	}
	if f.OnlyGarbage {
		return
	}
	if f.OtherAddress {
		if other := r.other.Load(); other != nil {
			_, _ = other.WriteToUDPAddrPort(answer, at.from)
		}
		return
	}
	for range 1 + f.Duplicates {
		w.write(answer, at)
	}
}

// SendFromElsewhere gives the socket from which answers of devices with the fault
// OtherAddress leave. The caller closes it.
func (r *Responder) SendFromElsewhere(conn *net.UDPConn) { r.other.Store(conn) }

// wire is a socket that knows which of its addresses was asked.
type wire interface {
	read(b []byte) (int, route, error)
	write(b []byte, at route) // an answer that cannot be sent is lost, as on any network
}

// route is between whom a datagram goes.
type route struct {
	from  netip.AddrPort
	local netip.Addr // zero where that does not matter
}

func (r *Responder) open(conn *net.UDPConn) (wire, error) {
	if r.addressed {
		return newAddressed(conn)
	}
	return plain{conn}, nil
}

type plain struct {
	conn *net.UDPConn
}

func (p plain) read(b []byte) (int, route, error) {
	n, from, err := p.conn.ReadFromUDPAddrPort(b)
	return n, route{from: from}, err
}

func (p plain) write(b []byte, at route) { _, _ = p.conn.WriteToUDPAddrPort(b, at.from) }

// find is the device that a request of version 1 or 2c is for.
func (r *Responder) find(local netip.Addr, community []byte) *Device {
	if d := r.devices[place{addr: local, community: string(community)}]; d != nil {
		return d
	}
	return r.devices[place{community: string(community)}]
}

// findEngine is the device that a request of version 3 is for.
func (r *Responder) findEngine(local netip.Addr, engine []byte) *Device {
	if d := r.engines[string(engine)]; d != nil && (!d.Addr.IsValid() || d.Addr == local) {
		return d
	}
	if d := r.first[local]; d != nil {
		return d
	}
	return r.first[netip.Addr{}]
}
