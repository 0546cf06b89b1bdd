package findings

import (
	"slices"
	"time"

	"github.com/amoskys/amoskys/internal/flow/packet"
	"github.com/amoskys/amoskys/internal/flow/track"
)

// beats is how many connections of a pair are remembered.
const beats = 24

type beatKey struct {
	source, target packet.Addr
	port           uint16
	protocol       uint8
}

// beat is when a pair connected, and how much was sent each time.
type beat struct {
	starts [beats]int64
	sizes  [beats]uint64 // 0 while unknown
	n      int           // ever
}

// quietPorts are those of protocols that ask at regular times by nature: DNS, DHCP, NTP.
var quietPorts = []uint16{53, 67, 123, 853} //nolint:gochecknoglobals // constant

// beacon notes a connection and judges how regular those of its pair are.
//
// The measure is the median absolute deviation of the intervals over their median: a
// beat that is missed, or one that comes between, moves neither. Even jitter of ±30 %
// gives 0.15; people and pages come near 1.
func (w *Watch) beacon(f *track.Flow, opened bool) {
	if f.Protocol != protoTCP && f.Protocol != protoUDP || f.Midstream || toMany(f) ||
		slices.Contains(quietPorts, f.DstPort) || !w.cfg.Beacon.Internal && w.internal(f.Dst) {
		return
	}
	key := beatKey{f.Src, f.Dst, f.DstPort, f.Protocol}
	if !opened {
		if b := w.beats.Look(key); b != nil {
			for i, at := range b.starts {
				if at == f.First {
					b.sizes[i] = f.Out.Bytes
				}
			}
		}
		return
	}
	b, _ := w.beats.Use(key)
	if b.n > 0 {
		switch since := f.First - b.starts[(b.n-1)%beats]; {
		case since < -longAgo:
			*b = beat{}
		case since < int64(time.Second): // Connections at once are one beat.
			return
		}
	}
	b.starts[b.n%beats], b.sizes[b.n%beats] = f.First, 0
	b.n++
	if b.n < w.cfg.Beacon.Connections {
		return
	}
	interval, jitter, spread := b.measure()
	if interval < float64(w.cfg.Beacon.MinIntervalSeconds) || jitter > w.cfg.Beacon.MaxJitter || spread > w.cfg.Beacon.MaxSizeSpread {
		return
	}
	w.raise(sighting{
		subject: subject{kind: Beacon, source: f.Src, target: f.Dst, name: endpoint(f.Dst, f.DstPort)},
		port:    f.DstPort, protocol: f.Protocol, count: uint64(b.n), more: 1,
		numbers: [4]float64{float64(b.n), interval, jitter, spread},
	})
}

// measure returns the median interval in seconds, and how far intervals and sizes
// spread around their medians: the median absolute deviation, as a share of the median.
func (b *beat) measure() (interval, jitter, spread float64) {
	kept := min(b.n, beats)
	var intervals, sizes []float64
	for i := b.n - kept; i < b.n; i++ {
		if i > b.n-kept {
			intervals = append(intervals, float64(b.starts[i%beats]-b.starts[(i-1)%beats])/float64(time.Second))
		}
		if size := b.sizes[i%beats]; size > 0 {
			sizes = append(sizes, float64(size))
		}
	}
	interval, jitter = robust(intervals)
	_, spread = robust(sizes)
	return interval, jitter, spread
}

// robust returns the median, and the median absolute deviation as a share of it.
func robust(values []float64) (median, spread float64) {
	if len(values) == 0 {
		return 0, 0
	}
	slices.Sort(values)
	median = values[len(values)/2]
	if median <= 0 {
		return median, 1
	}
	away := make([]float64, len(values))
	for i, v := range values {
		away[i] = max(v-median, median-v)
	}
	slices.Sort(away)
	return median, away[len(away)/2] / median
}
