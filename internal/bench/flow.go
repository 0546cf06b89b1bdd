package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/flow/capture"
	"github.com/amoskys/amoskys/internal/flow/lane"
	"github.com/amoskys/amoskys/internal/flow/tell"
	"github.com/amoskys/amoskys/internal/flow/track"
)

// FlowOptions say what flows are made of.
type FlowOptions struct {
	Files    []string // captures, read one after the other
	Generate bool     // make a capture first, which is not measured
	Packets  int      // of the one that is made
	Flows    int
	Seed     uint64
	Write    string // where the one that is made is kept; empty for nowhere
	// NoIdentify leaves unread what flows speak.
	NoIdentify bool
	// NoEvents makes no events of flows, as what only names flows makes none.
	NoEvents bool
	// Hold ends no flow before the end, so that all are held at once.
	Hold bool
	Dir  string // under which a capture is made that is not kept
}

// Check returns what is wrong with the options.
func (o *FlowOptions) Check() error {
	switch {
	case o.Generate == (len(o.Files) > 0):
		return errors.New("name captures, or generate one")
	case o.Generate && (o.Flows < 1 || o.Packets < 4*o.Flows || o.Packets > 100_000_000):
		return errors.New("flows must be at least 1, and packets at least four times as many and at most 100000000")
	case !o.Generate && o.Write != "":
		return errors.New("only a capture that is generated can be written")
	}
	return nil
}

// FlowResult is what `amoskys bench flow --json` prints. Keys are stable.
type FlowResult struct {
	Bench            string  `json:"bench"`
	Seconds          float64 `json:"seconds"`
	Packets          uint64  `json:"packets"`
	PacketsPerSecond float64 `json:"packets_per_second"`
	Flows            uint64  `json:"flows"`
	Events           uint64  `json:"events"`
	EventsPerSecond  float64 `json:"events_per_second"`
	CPUSeconds       float64 `json:"cpu_seconds"`
	MostAtOnce       int     `json:"most_at_once"` // flows that were held together, as seen every 8,192 packets
	RSSBytes         int64   `json:"rss_bytes"`    // most that was held, the making of the capture included
	Identified       uint64  `json:"identified"`   // flows of which it is known what they speak
	EventBytes       uint64  `json:"event_bytes"`
}

// Write prints the result for people.
func (r *FlowResult) Write(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%s of %s in %.2f s: %.0f packets a second, %.0f events a second\n%.2f s of CPU, %s resident, %s at once; %d flows identified\n",
		cli.Counted(r.Packets, "packet", "packets"), cli.Counted(r.Flows, "flow", "flows"), r.Seconds, r.PacketsPerSecond, r.EventsPerSecond,
		r.CPUSeconds, cli.Bytes(r.RSSBytes), cli.Counted(uint64(max(0, r.MostAtOnce)), "flow", "flows"), r.Identified)
	if err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}

// encoder makes the event of each flow that ends, as the agent does, and drops it.
type encoder struct {
	tell.Surroundings
	silent bool // makes no events
	out    []byte
	result *FlowResult
	err    error
}

// Opened implements track.Consumer.
func (*encoder) Opened(*track.Flow) {}

// Updated implements track.Consumer.
func (*encoder) Updated(*track.Flow) {}

// Ended implements track.Consumer.
func (e *encoder) Ended(f *track.Flow) {
	e.result.Flows++
	if f.Facts != nil && f.Facts.App != "" {
		e.result.Identified++
	}
	if e.silent {
		return
	}
	out, err := proto.MarshalOptions{}.MarshalAppend(e.out[:0], e.Activity(f))
	if err != nil {
		e.err = fmt.Errorf("encode flow: %w", err)
		return
	}
	e.out = out
	e.result.Events++
	e.result.EventBytes += uint64(len(out))
}

// maxHeld is how many flows are held at most where none ends before the end.
const maxHeld = 4_000_000

// RunFlow measures how fast packets become flows and events, in one goroutine. All
// flows are ended within the time.
func RunFlow(ctx context.Context, o FlowOptions) (*FlowResult, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	if o.Generate {
		path, remove, err := o.generate()
		if err != nil {
			return nil, err
		}
		defer remove()
		o.Files = []string{path}
	}
	r := &FlowResult{Bench: "flow"}
	sink := &encoder{result: r, silent: o.NoEvents}
	table := track.Options{Consumer: sink, Update: -1, OpenAfter: time.Hour}
	if o.Hold {
		table.Idle, table.Linger, table.MaxFlows = -1, -1, maxHeld
	}
	l := lane.New(lane.Options{
		Table: table, NoEngine: o.NoIdentify,
		Every: func(c lane.Counts) { r.MostAtOnce = max(r.MostAtOnce, c.Table.Active) },
	})
	cpu, began := cpuSeconds(), time.Now()
	for _, path := range o.Files {
		source, err := capture.OpenFile(path)
		if err != nil {
			return nil, fmt.Errorf("bench flow: %w", err)
		}
		l.Resume(source)
		err = l.Run(ctx)
		r.Packets += source.Stats().Frames
		if err := errors.Join(err, source.Close()); err != nil {
			return nil, fmt.Errorf("bench flow: %s: %w", path, err)
		}
	}
	l.Close()
	r.RSSBytes = peakRSS(os.Getpid())
	r.Seconds, r.CPUSeconds = time.Since(began).Seconds(), cpuSeconds()-cpu
	r.PacketsPerSecond, r.EventsPerSecond = float64(r.Packets)/r.Seconds, float64(r.Events)/r.Seconds
	return r, sink.err
}

// generate makes the capture and returns where it is, and what removes it unless it
// is to be kept.
func (o *FlowOptions) generate() (path string, remove func(), err error) {
	var f *os.File
	if o.Write != "" {
		f, err = os.Create(o.Write)
	} else {
		f, err = os.CreateTemp(o.Dir, "amoskys-bench-*.pcap")
	}
	if err != nil {
		return "", nil, fmt.Errorf("make a capture: %w", err)
	}
	remove = func() {}
	if o.Write == "" {
		remove = func() { _ = os.Remove(f.Name()) } // It was ours alone.
	}
	if err := errors.Join(WriteFlowTrace(f, o.Packets, o.Flows, o.Seed), f.Close()); err != nil {
		remove()
		return "", nil, fmt.Errorf("make a capture: %w", err)
	}
	return f.Name(), remove, nil
}
