package flow

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/agent/task"
	"github.com/amoskys/amoskys/internal/entity"
	"github.com/amoskys/amoskys/internal/flow/packet"
	"github.com/amoskys/amoskys/internal/flow/ring"
	"github.com/amoskys/amoskys/internal/obs"
)

const (
	// taskSave saves packets of the ring as a file.
	taskSave = "packets_save"
	// conditionPackets is the name of the condition that packets are not kept.
	conditionPackets = "packets"
	// savedType is the media type of what is saved, as IANA registered it.
	savedType = "application/vnd.tcpdump.pcap"
)

// noRing says why nothing can be saved.
const noRing = "this agent keeps no packets: set packets.ring_mb in its flowagent_config.yaml, such as 1024 for 1 GiB of disk, and restart it"

func tasks() []task.Task {
	return []task.Task{{
		Name: taskSave, Summary: "save packets of the ring as a pcap file", ResultType: savedType, Duration: 10 * time.Minute,
		Parameters: []task.Parameter{
			{Name: "community_id", Type: task.String, Summary: "of the flow whose packets are wanted, such as 1:hO+sN4H+MG5MY/8hIrXPqc4ZQz0="},
			{Name: "address", Type: task.String, Summary: "IP address of one end, instead of a flow"},
			{Name: "port", Type: task.Integer, Default: "0", Max: 65535, Summary: "port of that end; 0 is any"},
			{Name: "peer", Type: task.String, Summary: "IP address of the other end"},
			{Name: "peer_port", Type: task.Integer, Default: "0", Max: 65535, Summary: "port of the other end; 0 is any"},
			{Name: "protocol", Type: task.String, Default: "any", Values: []string{"any", "tcp", "udp", "icmp", "icmpv6", "sctp"}, Summary: "transport protocol"},
			{Name: "since", Type: task.String, Summary: "from when on, in RFC 3339; empty is all that there is"},
			{Name: "until", Type: task.String, Summary: "up to when, in RFC 3339; empty is now"},
		},
	}}
}

// openRing opens the ring, or removes what is left of one that is off.
func (a *Agent) openRing() error {
	dir := filepath.Join(a.o.DataDir, "packets")
	if p := a.cfg.Packets.Path; p != "" {
		dir = filepath.Join(a.o.Home.Path(p), a.o.ID)
	}
	off := a.cfg.Packets.RingMB == 0 || !a.cfg.captures()
	if err := a.leaveRing(dir, off); err != nil {
		return err
	}
	if off {
		return ring.Remove(dir)
	}
	r, err := ring.Open(ring.Options{
		Dir: dir, MaxBytes: int64(a.cfg.Packets.RingMB) << 20, MinFree: uint64(a.cfg.Spool.MinFreeMB * (1 << 20)),
		Snap: a.cfg.Packets.SnapLength, Feeds: a.cfg.Capture.Fanout, Seed: uint16(a.cfg.Aggregation.CommunityIDSeed),
		Condition: func(err error) { a.o.Condition(conditionPackets, err) },
	})
	if err != nil {
		return fmt.Errorf("open the ring of packets: %w", err)
	}
	a.ring, a.metrics.kept = r, r.Stats
	return nil
}

// leaveRing removes what a ring left in the folder that packets were kept in before, if
// that was another: packets stay nowhere that the configuration does not name. A file in
// the agent's folder remembers which it is.
func (a *Agent) leaveRing(dir string, off bool) error {
	note := filepath.Join(a.o.DataDir, "packets.at")
	old := []string{filepath.Join(a.o.DataDir, "packets")}
	switch said, err := os.ReadFile(note); {
	case err == nil:
		old = append(old, strings.TrimSpace(string(said)))
	case !errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("see where packets were kept: %w", err)
	}
	for _, was := range old {
		if was == dir || was == "" {
			continue
		}
		if err := ring.Remove(was); err != nil {
			return err
		}
	}
	if off {
		if err := os.Remove(note); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("forget where packets were kept: %w", err)
		}
		return nil
	}
	if err := os.WriteFile(note, []byte(dir+"\n"), 0o600); err != nil {
		return fmt.Errorf("note where packets are kept: %w", err)
	}
	return nil
}

// keep writes packets until the end. A fault costs packets, and nothing else.
func (a *Agent) keep() {
	if err := a.ring.Run(); err != nil {
		a.o.Logger.Warn("the last packets may not be kept", obs.KeyError, err)
	}
}

// TaskUnavailable implements agent.TaskLimiter.
func (a *Agent) TaskUnavailable(string) string {
	switch {
	case !a.cfg.captures():
		return "this agent captures no packets, and so has none to save"
	case a.ring == nil:
		return noRing
	}
	return ""
}

// RunTask implements agent.Tasker.
func (a *Agent) RunTask(ctx context.Context, c *task.Call) error {
	if a.ring == nil {
		return errors.New(a.TaskUnavailable(c.Task))
	}
	q, err := wanted(c.Values, uint16(a.cfg.Aggregation.CommunityIDSeed))
	if err != nil {
		return err
	}
	saved, err := a.ring.Save(ctx, q, c, func(done, total uint64) { c.Progress(done, total, "searches the ring") })
	if err != nil {
		return err
	}
	if saved.Packets == 0 {
		return errors.New(saved.Tell(q.Since))
	}
	c.Progress(saved.Packets, saved.Packets, saved.Tell(q.Since))
	return nil
}

// wanted reads what is asked for.
func wanted(v task.Values, seed uint16) (ring.Query, error) {
	q := ring.Query{
		CommunityID: strings.TrimSpace(v.Text("community_id")), MaxBytes: task.MaxResultBytes,
		Port: uint16(v.Int("port")), PeerPort: uint16(v.Int("peer_port")), Protocol: protocols[v.Text("protocol")],
	}
	var faults []error
	at := func(name string) int64 {
		text := v.Text(name)
		if text == "" {
			return 0
		}
		t, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %.64q is no time such as 2006-01-02T15:04:05Z", name, text))
		}
		return t.UnixNano()
	}
	address := func(name string) (a packet.Addr) {
		text := strings.TrimSpace(v.Text(name))
		if text == "" {
			return a
		}
		ip, err := netip.ParseAddr(text)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %.64q is no IP address", name, text))
		}
		return packet.Addr(ip.As16())
	}
	q.Since, q.Until, q.Address, q.Peer = at("since"), at("until"), address("address"), address("peer")
	none := packet.Addr{}
	if q.CommunityID == "" && q.Address == none && q.Peer == none {
		faults = append(faults, errors.New("a community_id or an address is needed, to say which packets"))
	}
	if len(faults) > 0 {
		return q, errors.Join(faults...)
	}
	if q.CommunityID == "" && q.Address != none && q.Peer != none && q.Port != 0 && q.PeerPort != 0 && q.Protocol != 0 {
		// All of a flow, which is found faster by its id.
		q.CommunityID = entity.FlowID{
			Seed: seed, Protocol: q.Protocol, Src: q.Address, Dst: q.Peer, HasPorts: true, SrcPort: q.Port, DstPort: q.PeerPort,
		}.CommunityID()
	}
	return q, nil
}

// protocols are the numbers of the names that the task takes; any is 0.
var protocols = map[string]uint8{"tcp": 6, "udp": 17, "icmp": 1, "icmpv6": 58, "sctp": 132} //nolint:gochecknoglobals // constant
