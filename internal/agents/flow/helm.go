package flow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/flow/capture"
	"github.com/amoskys/amoskys/internal/obs"
)

const (
	// Pause before an interface that could not be opened is tried again; it doubles.
	retryLeast = 500 * time.Millisecond
	retryMost  = 30 * time.Second
	// addressesEvery is how often the host's addresses are read.
	addressesEvery = 15 * time.Second
	// conditionCapture is the name of the condition that nothing is captured.
	conditionCapture = "capture"
	// conditionFilter is the name of the note that a filter is set.
	conditionFilter = "filter"
)

// helm keeps the taps supplied with sources of the interface, wherever that goes:
//
//	away    ──(the interface is there and up)──▶ opening
//	opening ──(opened)──▶ capturing, or ──(failed; a pause that doubles)──▶ opening
//	capturing ──(down, gone, another one)──▶ away or opening
type helm struct {
	cfg  Capture
	o    agent.Options
	own  *own
	taps []*tap
	open func(capture.Options) ([]capture.Source, error)
	// losses are sources that gave an error. Each tap has one at most that was not read,
	// as it gets another only then.
	losses chan loss
	on     atomic.Pointer[capture.Interface]

	sources []capture.Source
	pause   time.Duration
	retry   *time.Timer
	worked  bool // once
	// collects says that the agent has other work, so that it goes on where it may not
	// capture.
	collects bool
	working  atomic.Bool // there are sources
}

type loss struct {
	source capture.Source
	err    error
}

func newHelm(cfg Capture, o agent.Options, addresses *own) *helm {
	return &helm{cfg: cfg, o: o, own: addresses, open: capture.Open, losses: make(chan loss, 2*cfg.Fanout)}
}

// lose is called by taps.
func (h *helm) lose(s capture.Source, err error) {
	select {
	case h.losses <- loss{s, err}:
	default: // so many are told already that the others matter no more
	}
}

// name is that of the interface, empty while there is none.
func (h *helm) name() string {
	if on := h.on.Load(); on != nil {
		return on.Name
	}
	return ""
}

// works reports whether there are sources.
func (h *helm) works() bool { return h.working.Load() }

// run follows the interface until ctx ends.
func (h *helm) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	changes, followed := make(chan capture.Interface, 1), make(chan error, 1)
	var following sync.WaitGroup
	following.Go(func() {
		followed <- capture.Follow(ctx, h.cfg.Interface, func(i capture.Interface) { replace(changes, i) })
	})
	defer following.Wait()
	defer cancel()

	h.retry = time.NewTimer(0)
	h.retry.Stop()
	addresses := time.NewTicker(addressesEvery)
	defer addresses.Stop()
	defer h.shut()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case err = <-followed:
			if err != nil {
				return err
			}
		case now := <-changes:
			err = h.turn(now)
		case l := <-h.losses:
			h.lost(l)
		case <-h.retry.C:
			err = h.begin()
		case <-addresses.C:
			h.addresses()
		}
		if err != nil {
			return err
		}
	}
}

// replace puts v into a channel of one place. Its caller is the only one who writes.
func replace[T any](c chan T, v T) {
	select {
	case <-c:
	default:
	}
	c <- v
}

// turn goes on with another interface, or the same in another state.
func (h *helm) turn(now capture.Interface) error {
	was := h.on.Swap(&now)
	h.addresses()
	if was != nil && was.Index == now.Index && now.Up && len(h.sources) > 0 {
		h.o.Logger.Info("the interface has another name", "interface", now.Name, "was", was.Name)
		return nil
	}
	h.shut()
	h.pause = 0
	switch {
	case now.Index == 0:
		_, err := capture.Find(h.cfg.Interface)
		h.away(err)
		return nil
	case !now.Up:
		h.away(fmt.Errorf("interface %s: %w: ip link set %s up", now.Name, capture.ErrInterfaceDown, now.Name))
		return nil
	}
	return h.begin()
}

// begin opens the interface. The error means that it never will be.
func (h *helm) begin() error {
	h.shut()
	o := h.cfg.options()
	o.Interface = h.name()
	if o.Interface == "" {
		return nil // a change will tell
	}
	sources, err := h.open(o)
	var privilege *capture.PrivilegeError
	if errors.As(err, &privilege) && !h.worked {
		if !h.collects {
			return err
		}
		h.away(fmt.Errorf("%w; flows of exporters are collected all the same; capture.interface: none is for a host that does only that", err))
		return nil // what is lacking comes with another start
	}
	if err != nil {
		h.away(err)
		h.later()
		return nil
	}
	h.sources, h.pause, h.worked = sources, 0, true
	h.working.Store(true)
	for i, s := range sources {
		h.taps[i].give(s)
	}
	h.o.Condition(conditionCapture, nil)
	h.o.Note(conditionCapture, segmentsNote(sources))
	if h.cfg.BPFFilter != "" {
		h.o.Note(conditionFilter, fmt.Sprintf("looks at packets of the filter %q alone: others are in no flow, no count and no finding", h.cfg.BPFFilter))
	}
	h.o.Logger.Info("captures", "interface", o.Interface, "sources", len(sources))
	return nil
}

// segmentsNote says where counts of packets are not those of the wire, or nothing.
func segmentsNote(sources []capture.Source) string {
	for _, s := range sources {
		if !s.Stats().SegmentsKnown {
			return "counts frames that the interface merged: the kernel does not tell of how many packets"
		}
	}
	return ""
}

// later tries again after a pause.
func (h *helm) later() {
	h.pause = min(max(2*h.pause, retryLeast), retryMost)
	h.retry.Reset(h.pause)
}

// lost takes the other sources away after one has given an error.
func (h *helm) lost(l loss) {
	if !slices.Contains(h.sources, l.source) {
		return // one of an earlier opening
	}
	h.shut()
	h.away(l.err)
	h.later()
}

// away says why nothing is captured.
func (h *helm) away(err error) {
	h.o.Condition(conditionCapture, err)
	h.o.Note(conditionCapture, "")
	h.o.Logger.Warn("captures nothing", obs.KeyError, err)
}

// shut takes all sources away; the taps close them.
func (h *helm) shut() {
	h.retry.Stop()
	if len(h.sources) == 0 {
		return
	}
	for _, t := range h.taps {
		t.give(nil)
	}
	h.sources = nil
	h.working.Store(false)
}

// addresses reads those of the host.
func (h *helm) addresses() {
	err := h.own.read()
	h.o.Condition("addresses", err)
	if err != nil {
		h.o.Logger.Warn("the directions of flows may be wrong", obs.KeyError, err)
	}
}
