package bench

import (
	"container/heap"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/amoskys/amoskys/internal/flow/capture"
	"github.com/amoskys/amoskys/internal/flow/packet"
)

// Shares of all flows in a generated trace, in per cent; what is left is TLS.
const (
	shareDNS   = 42
	shareHTTP  = 12
	shareScan  = 6
	sharePing  = 3
	shareDatum = 7 // UDP that nothing knows
)

// traceSpan is the time over which the flows of a trace begin, nanoseconds.
const traceSpan = int64(60e9)

type traceKind uint8

const (
	traceTLS traceKind = iota
	traceDNS
	traceHTTP
	traceScan
	tracePing
	traceDatum
)

// traced is one conversation on its way.
type traced struct {
	at         int64
	kind       traceKind
	step, last int
	client     [4]byte
	server     [4]byte
	port       uint16
	number     int
	seq        [2]uint32
}

// underway orders conversations by when their next packet is due.
type underway []*traced

func (u underway) Len() int           { return len(u) }
func (u underway) Less(i, j int) bool { return u[i].at < u[j].at }
func (u underway) Swap(i, j int)      { u[i], u[j] = u[j], u[i] }
func (u *underway) Push(x any)        { *u = append(*u, x.(*traced)) } //nolint:forcetypeassert // what Write pushes
func (u *underway) Pop() any {
	old := *u
	x := old[len(old)-1]
	*u = old[:len(old)-1]
	return x
}

// WriteFlowTrace writes a capture of so many packets of so many flows, the same for the
// same seed: TLS and HTTP over TCP, DNS, datagrams that nothing knows, echoes, and SYNs
// that nobody answers. Packets have to be at least four a flow.
func WriteFlowTrace(to io.Writer, packets, flows int, seed uint64) error {
	if flows < 1 || packets < 4*flows {
		return errors.New("a trace needs at least one flow, and four packets for each")
	}
	w, err := capture.NewWriter(to, packet.LinkEthernet, 65_535)
	if err != nil {
		return fmt.Errorf("write trace: %w", err)
	}
	r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // the same each time is what is wanted
	kinds, lengths := plan(r, packets, flows)
	frames := framer{random: r, noise: make([]byte, 4096)}
	for i := range frames.noise {
		frames.noise[i] = byte(r.Uint32())
	}
	const began = int64(1_760_000_000_000_000_000)
	var going underway
	for next := 0; next < flows || len(going) > 0; {
		starts := began + int64(next)*(traceSpan/int64(flows))
		if next < flows && (len(going) == 0 || starts <= going[0].at) {
			heap.Push(&going, frames.begin(starts, kinds[next], lengths[next], next))
			next++
			continue
		}
		c := going[0]
		data := frames.frame(c)
		f := packet.Frame{Time: c.at, Data: data, Wire: uint32(len(data)), Link: packet.LinkEthernet}
		if err := w.Write(&f); err != nil {
			return fmt.Errorf("write trace: %w", err)
		}
		if c.step++; c.step == c.last {
			heap.Pop(&going)
			continue
		}
		c.at += 100_000 + r.Int64N(40e6)
		heap.Fix(&going, 0)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write trace: %w", err)
	}
	return nil
}

// plan says what each flow is and how many packets it has: few but for TLS, which
// shares what is left.
func plan(r *rand.Rand, packets, flows int) ([]traceKind, []int) {
	kinds, lengths := make([]traceKind, flows), make([]int, flows)
	var long []int
	left := packets
	for i := range flows {
		x := r.IntN(100)
		for _, k := range []struct {
			kind          traceKind
			share, length int
		}{
			{traceDNS, shareDNS, 2},
			{traceHTTP, shareHTTP, 8 + r.IntN(8)},
			{traceScan, shareScan, 1},
			{tracePing, sharePing, 4},
			{traceDatum, shareDatum, 4 + r.IntN(8)},
			{traceTLS, 100, 8},
		} {
			if x -= k.share; x < 0 {
				kinds[i], lengths[i] = k.kind, min(k.length, max(1, left-(flows-i-1)))
				break
			}
		}
		if left -= lengths[i]; kinds[i] == traceTLS {
			long = append(long, i)
		}
	}
	if len(long) == 0 {
		long = []int{0}
	}
	for left > 0 { // A few have much, most have little.
		more := min(left, 1+int(r.ExpFloat64()*24))
		lengths[long[r.IntN(len(long))]] += more
		left -= more
	}
	return kinds, lengths
}
