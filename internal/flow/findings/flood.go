package findings

import (
	"time"

	"github.com/amoskys/amoskys/internal/flow/packet"
	"github.com/amoskys/amoskys/internal/flow/recent"
	"github.com/amoskys/amoskys/internal/flow/track"
)

// floods are the hosts that are sent much which leads to nothing.
type floods struct {
	targets *recent.Map[floodKey, flood]
}

type floodKey struct {
	target   packet.Addr
	protocol uint8
}

// flood is what one host was sent within a window.
type flood struct {
	start     int64
	packets   uint64
	conversed uint64
	sources   sketch
	ports     sketch
}

// manyPorts is from how many ports of one host on a stream of SYNs is a scan and not a
// flood, unless the sources are as many: those are forged.
const manyPorts = 100

func newFloods(cfg *Config) *floods {
	return &floods{targets: recent.New[floodKey, flood](cfg.MaxSources)}
}

// flood counts what a flow adds to a flood. Opened comes within a second of the first
// packet, so that a flood of many flows is seen at once; one long flow shows by its own
// rate.
func (w *Watch) flood(f *track.Flow, opened bool) {
	var kind Kind
	var limit int
	switch f.Protocol {
	case protoTCP:
		if !opened || f.Midstream || f.Out.Flags&packet.SYN == 0 {
			return
		}
		kind, limit = SYNFlood, w.cfg.Flood.SYNPerSecond
	case protoUDP:
		kind, limit = UDPFlood, w.cfg.Flood.UDPPerSecond
	case protoICMP, protoICMPv6:
		kind, limit = ICMPFlood, w.cfg.Flood.ICMPPerSecond
	default:
		return
	}
	if toMany(f) {
		return
	}
	window := seconds(w.cfg.Flood.WindowSeconds)
	if !opened {
		w.longFlood(f, kind, limit, window)
		return
	}
	s, fresh := w.floods.targets.Use(floodKey{f.Dst, f.Protocol})
	if fresh || w.elapsed(s.start, window) {
		*s = flood{start: w.now}
	}
	if !fruitless(f) {
		s.conversed += f.Out.Packets
		return
	}
	s.packets += f.Out.Packets
	s.sources.add(hashAddr(f.Src))
	s.ports.add(hashPort(f.DstPort))
	if s.packets < uint64(limit)*uint64(w.cfg.Flood.WindowSeconds) || s.conversed > s.packets/4 {
		return
	}
	if ports := s.ports.count(); f.Protocol == protoTCP && ports >= manyPorts && s.sources.count()*4 < ports {
		return
	}
	w.raiseFlood(kind, f, s.packets, float64(w.now-s.start), s.sources.count())
}

// fruitless reports whether a flow could be a part of a flood: nothing, or little, came
// of what it sent.
func fruitless(f *track.Flow) bool {
	switch f.Protocol {
	case protoTCP:
		return f.Out.Flags&packet.ACK == 0
	case protoUDP:
		return f.In.Packets*10 < f.Out.Packets
	}
	return true
}

// longFlood judges one flow by its own rate.
func (w *Watch) longFlood(f *track.Flow, kind Kind, limit int, window int64) {
	took := f.Last - f.First
	if took < window || !fruitless(f) {
		return
	}
	if float64(f.Out.Packets) >= float64(limit)*float64(took)/float64(time.Second) {
		w.raiseFlood(kind, f, f.Out.Packets, float64(took), 1)
	}
}

func (w *Watch) raiseFlood(kind Kind, f *track.Flow, packets uint64, took float64, sources int) {
	rate := float64(packets) / max(1, took/float64(time.Second))
	w.raise(sighting{
		subject: subject{kind: kind, target: f.Dst},
		against: f.Src, port: f.DstPort, protocol: f.Protocol, count: packets, more: f.Out.Packets,
		numbers: [4]float64{rate, float64(sources), took / float64(time.Second)},
	})
}
