package flow

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/amoskys/amoskys/internal/flow/track"
	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/scan/claim"
)

const (
	// conditionScans is the name of the note that scans of this host cannot be told from
	// those of others.
	conditionScans = "scans"
	// deskEvery is how often the place where scans tell of themselves is tried again.
	deskEvery = time.Minute
	protoTCP  = 6
	protoUDP  = 17
)

// takeClaims takes what scans of this host say of themselves, until ctx ends.
func (a *Agent) takeClaims(ctx context.Context) {
	for told := false; ; told = true {
		desk, err := claim.Open(&a.claimed)
		if err == nil {
			a.o.Note(conditionScans, "")
			desk.Run(ctx)
			return
		}
		if errors.Is(err, errors.ErrUnsupported) {
			return
		}
		if errors.Is(err, syscall.EADDRINUSE) {
			// Another flow agent of this network, most likely, which knows as much.
			a.o.Note(conditionScans, "scans of this host tell another process of themselves: their flows and findings are told here too")
		}
		if !told {
			a.o.Logger.Warn("scans of this host are taken for those of others", obs.KeyError, err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(deskEvery):
		}
	}
}

// probes says whether a flow is one that a scan of this host makes.
func (a *Agent) probes(f *track.Flow) bool {
	switch {
	case f.Protocol == protoTCP || f.Protocol == protoUDP:
		return a.claimed.Holds(claim.Port, f.SrcPort) && a.own.has(f.Src)
	case f.EchoID != 0:
		return a.claimed.Holds(claim.Echo, f.EchoID) && a.own.has(f.Src)
	}
	return false
}
