// Package service finds out what listens on a port: it connects, hears or asks, and
// compares what comes back with fingerprints.
//
// Probes and fingerprints lie in YAML files (data/*.yaml), each with an example that a
// test runs; people add files of their own, which are looked at before ours. What no
// pattern can read is read by decoders in Go, one for each protocol, pure functions of
// bytes where that can be. Each answer becomes Facts, text by name, and fingerprints
// are patterns over facts. docs/fingerprints.md has the format.
//
// Nothing here logs in, guesses a password or changes anything: the most that is done
// is one read that a service allows to everybody, and what that shows is a remark.
// Every peer is hostile: connections, bytes and time of a port are bounded, and
// whatever a decoder cannot read is no answer.
package service

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/scan/stack"
)

// Dialer opens connections; a net.Dialer is one. network is "tcp" or "udp".
type Dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// Options say how hard a port is asked. The zero value is what a scan uses.
type Options struct {
	// Files are fingerprints of users, by path; they are looked at before ours.
	Files []string
	// Deadline is the longest that one port takes; 0 is 8 s.
	Deadline time.Duration
	// Greeting is how long a port of which nothing is known is listened to before it
	// is asked; 0 is 600 ms. Ports whose protocol greets first are waited for longer.
	Greeting time.Duration
	// Patience is how long an answer to a question is waited for; 0 is 2.5 s.
	Patience time.Duration
	// Connections is the most that one port is dialled; 0 is 20.
	Connections int
	// Parallel is how many ports of one host are asked at once; 0 is 16.
	Parallel int
	// RawPrinters asks the ports 9100 to 9107 too: printers that know no PJL print
	// what they are asked.
	RawPrinters bool
}

func (o Options) withDefaults() Options {
	o.Deadline = cmp.Or(o.Deadline, 8*time.Second)
	o.Greeting = cmp.Or(o.Greeting, 600*time.Millisecond)
	o.Patience = cmp.Or(o.Patience, 2500*time.Millisecond)
	o.Connections = cmp.Or(o.Connections, 20)
	o.Parallel = cmp.Or(o.Parallel, 16)
	return o
}

// Hint is what is known of a host before its ports are asked. Empty is fine.
type Hint struct {
	// Name is a host name of it, for TLS and HTTP.
	Name string
}

// Identifier knows the fingerprints. It is safe for concurrent use.
type Identifier struct {
	book    *book
	options Options
	stats   struct{ asked, known, refused, cut, hurried atomic.Uint64 }
}

// Stats count since the start: ports asked, ports whose service was told, ports that
// took no connection, answers that were cut at their bound, and ports that had less time
// as too many of their host had taken all of theirs.
type Stats struct{ Asked, Known, Refused, Cut, Hurried uint64 }

// New loads the fingerprints, ours and those of o.Files. The error names file, line and
// key of each fault.
func New(o Options) (*Identifier, error) {
	b, err := load(o.Files)
	if err != nil {
		return nil, err
	}
	return &Identifier{book: b, options: o.withDefaults()}, nil
}

// Stats returns what was counted.
func (i *Identifier) Stats() Stats {
	return Stats{i.stats.asked.Load(), i.stats.known.Load(), i.stats.refused.Load(), i.stats.cut.Load(), i.stats.hurried.Load()}
}

// Identify finds out what listens on one port, protocol "tcp" or "udp". The port comes
// back always, with as much as was learnt; it takes no longer than Options.Deadline.
func (i *Identifier) Identify(ctx context.Context, d Dialer, at netip.AddrPort, protocol string, h Hint) *pb.Port {
	port, _ := i.look(ctx, d, at, protocol, h, &patience{})
	return port
}

// Asked is a port to be asked.
type Asked struct {
	Port     uint16
	Protocol string // "tcp" or "udp"
}

// IdentifyAll asks the ports of one host, Options.Parallel at once, and returns them in
// the order given, with what their services say of the host itself.
func (i *Identifier) IdentifyAll(ctx context.Context, d Dialer, host netip.Addr, ports []Asked, h Hint) ([]*pb.Port, []stack.Clue) {
	found := make([]*pb.Port, len(ports))
	clues := make([][]stack.Clue, len(ports))
	free := make(chan struct{}, i.options.Parallel)
	var all sync.WaitGroup
	var left patience
	for n, p := range ports {
		free <- struct{}{}
		all.Go(func() {
			found[n], clues[n] = i.look(ctx, d, netip.AddrPortFrom(host, p.Port), p.Protocol, h, &left)
			<-free
		})
	}
	all.Wait()
	return found, slices.Concat(clues...)
}

// patience is what is left for a host that takes connections and says nothing of use, as
// tarpits do: hundreds of such ports would keep others waiting for minutes.
type patience struct {
	spent atomic.Int32 // ports that took all of their time and were not told
}

const (
	// patient is how many such ports a host may have before the time of its others is cut.
	patient = 16
	// hurried is the part of the time of a port that one has then.
	hurried = 8
)

func (i *Identifier) look(ctx context.Context, d Dialer, at netip.AddrPort, protocol string, h Hint, left *patience) (*pb.Port, []stack.Clue) {
	deadline := i.options.Deadline
	if left.spent.Load() >= patient {
		deadline /= hurried
		i.stats.hurried.Add(1)
	}
	whole := ctx
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	i.stats.asked.Add(1)
	q := &inquiry{Identifier: i, dialer: d, at: at, protocol: protocol, hint: h, facts: Facts{}, tried: map[string]bool{}}
	q.port = &pb.Port{Port: uint32(at.Port()), Protocol: protocol}
	defer q.hangUp()
	q.ask(ctx)
	if ctx.Err() != nil && whole.Err() == nil && q.port.GetService() == "" && protocol == tcp {
		left.spent.Add(1)
	}
	q.finish()
	return q.port, q.clues
}
