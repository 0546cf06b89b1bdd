package scanner

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/bpf"

	flowbpf "github.com/amoskys/amoskys/internal/flow/bpf"
	"github.com/amoskys/amoskys/internal/flow/capture"
	"github.com/amoskys/amoskys/internal/flow/packet"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/scan/hear"
)

const (
	// Pause before an interface that could not be opened is tried again; it doubles.
	retryLeast = time.Second
	retryMost  = 30 * time.Second
	// lookEvery is how often is looked whether auto is another interface now.
	lookEvery = 10 * time.Second
	// snap is how many bytes of a frame are kept: all of those that are read.
	snap = 2048
)

// ear hears on one interface, for as long as the agent runs, while the interface comes and
// goes.
type ear struct {
	a      *Agent
	wanted string

	mu      sync.Mutex // guards what follows
	stats   hear.Stats
	dropped uint64
	servers dhcpServers
	on      string
	routers []netip.Addr // of the default routes of this host
}

func newEar(a *Agent, name string) *ear { return &ear{a: a, wanted: name} }

// condition is the name of the condition that nothing is heard.
func (e *ear) condition() string { return "hear " + e.wanted }

// run hears until ctx ends. The error means that it never will.
func (e *ear) run(ctx context.Context) error {
	pause := retryLeast
	for ctx.Err() == nil {
		began := time.Now()
		err := e.listen(ctx)
		var privilege *capture.PrivilegeError
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &privilege) && !e.a.cfg.WorksWithoutPrivileges():
			return err
		case errors.As(err, &privilege):
			e.a.o.Condition(e.condition(), fmt.Errorf("%w; it scans by connections all the same, and hears nothing", err))
			return nil
		case err != nil:
			e.a.o.Condition(e.condition(), err)
		}
		if time.Since(began) > retryMost || err == nil {
			pause = retryLeast
		}
		wait := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-wait.C:
		}
		wait.Stop()
		pause = min(2*pause, retryMost)
	}
	return nil
}

// listen hears until ctx ends, the interface is lost, or auto is another one.
func (e *ear) listen(ctx context.Context) error {
	on, err := capture.Find(e.wanted)
	if err != nil {
		return err
	}
	sources, err := capture.Open(capture.Options{
		Interface: on.Name, Snap: snap, Blocks: 2, AllMulticast: true,
		Filter: func(link packet.Link) ([]bpf.RawInstruction, error) {
			if link != packet.LinkEthernet {
				return nil, errors.New("devices are heard on Ethernet only")
			}
			return flowbpf.Compile(hear.Filter, link, snap)
		},
	})
	if err != nil {
		return err
	}
	source := sources[0]
	defer func() { _ = source.Close() }()
	e.a.o.Condition(e.condition(), nil)
	e.a.o.Logger.Info("hears", "interface", on.Name)
	before, routers := e.a.knownServers(), gateways()
	e.mu.Lock()
	e.routers = routers
	e.mu.Unlock()
	networks := prefixesOf(on.Name)
	device := func(at time.Time, d *pb.DeviceInventory) {
		addRouter(d, routers, networks)
		e.a.hear(at, d)
	}
	l := hear.New(hear.Options{
		Device: device, Finding: e.a.find, Config: e.a.cfg.Findings, Interface: on.Name, Host: e.a.o.Host,
		Gateways: routers, Same: e.a.same, DHCPServers: before.Servers, LearnUntil: before.LearnUntil,
	})
	frames := make([]packet.Frame, 64)
	look := time.Now().Add(lookEvery)
	for ctx.Err() == nil {
		n, err := capture.Batch(source, frames)
		if err != nil && !errors.Is(err, capture.ErrQuiet) {
			return err
		}
		for i := range frames[:n] {
			l.Frame(&frames[i])
		}
		if n > 0 || time.Now().After(look) {
			e.note(l, source.Stats().Dropped, on.Name)
		}
		if time.Now().After(look) {
			look = time.Now().Add(lookEvery)
			if now, err := capture.Find(e.wanted); err == nil && now.Index != on.Index {
				return nil
			}
		}
	}
	return nil
}

// note keeps the counts of a listener for whoever asks.
func (e *ear) note(l *hear.Listener, dropped uint64, on string) {
	stats, servers := l.Stats(), dhcpServers{LearnUntil: l.LearnUntil(), Servers: l.Servers()}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stats, e.dropped, e.on = stats, dropped, on
	if len(servers.Servers) > 0 {
		e.servers = servers
	}
}

func (e *ear) counts() (hear.Stats, uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.stats, e.dropped
}

// hears is the interface that is heard on; empty for none.
func (e *ear) hears() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.on
}

func (a *Agent) serversFile() string { return filepath.Join(a.o.DataDir, "dhcp_servers.json") }

// maxServersBytes bounds the file of them, in bytes.
const maxServersBytes = 64 << 10

// dhcpServers are the DHCP servers that were heard, as they are kept on disk.
type dhcpServers struct {
	LearnUntil int64         `json:"learn_until"` // Unix seconds
	Servers    []hear.Server `json:"servers"`
}

// heardServers are the DHCP servers of all ears.
func (a *Agent) heardServers() (all dhcpServers) {
	for _, e := range a.ears {
		e.mu.Lock()
		all.Servers = append(all.Servers, e.servers.Servers...)
		all.LearnUntil = max(all.LearnUntil, e.servers.LearnUntil)
		e.mu.Unlock()
	}
	return all
}

// knownServers are the DHCP servers of before.
func (a *Agent) knownServers() dhcpServers {
	if heard := a.heardServers(); len(heard.Servers) > 0 {
		return heard
	}
	b, err := os.ReadFile(a.serversFile())
	if errors.Is(err, fs.ErrNotExist) {
		return dhcpServers{}
	}
	var kept dhcpServers
	switch {
	case err != nil || len(b) > maxServersBytes:
	case bytes.HasPrefix(b, []byte("[")): // as it was written once, by those who had learnt
		err = json.Unmarshal(b, &kept.Servers)
	default:
		err = json.Unmarshal(b, &kept)
	}
	if err != nil {
		a.o.Logger.Warn("DHCP servers are learnt anew", obs.KeyError, err)
		return dhcpServers{}
	}
	return kept
}

func (a *Agent) saveServers() error {
	heard := a.heardServers()
	if len(heard.Servers) == 0 {
		return nil
	}
	return a.write(a.serversFile(), func(f *os.File) error { return json.NewEncoder(f).Encode(heard) })
}

// segments are the networks of the interfaces that are heard on, small enough to scan.
func (a *Agent) segments() []netip.Prefix {
	var out []netip.Prefix
	for _, e := range a.ears {
		for _, p := range prefixesOf(e.hears()) {
			if p = p.Masked(); p.Addr().Is4() && p.Bits() >= 20 && !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
	}
	return out
}
