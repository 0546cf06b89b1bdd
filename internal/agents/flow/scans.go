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

// probes says whether a flow is one that a scan of this host makes. Others may send from the
// same port: what a scan never does there is not its.
func (a *Agent) probes(f *track.Flow) bool {
	return unlike(f) == "" && a.ofScan(f)
}

// unlike says what a scan's probes do not do, and a flow does; "" for nothing.
func unlike(f *track.Flow) string {
	switch {
	case f.Protocol == protoTCP && f.Out.Payload > 0:
		return "it sends something over TCP"
	case f.Protocol == protoUDP && (f.Out.Packets > datagramsMost || f.Out.Payload > askedMost):
		return "it sends much over UDP"
	case f.EchoID != 0 && f.Out.Payload > echoMost*f.Out.Packets:
		return "its echo requests are long"
	}
	return ""
}

// What a scan sends at most: datagrams to one port of a host, bytes in them, and bytes in an
// echo request.
const (
	datagramsMost = 4
	askedMost     = 2048
	echoMost      = 64
)

// ofScan reports whether a flow has the numbers of a scan of this host.
func (a *Agent) ofScan(f *track.Flow) bool {
	switch {
	case f.Protocol == protoTCP || f.Protocol == protoUDP:
		return a.claimed.Holds(claim.Port, f.SrcPort) && a.own.has(f.Src)
	case f.EchoID != 0:
		return a.claimed.Holds(claim.Echo, f.EchoID) && a.own.has(f.Src)
	}
	return false
}
