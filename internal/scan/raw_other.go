//go:build !linux

package scan

import (
	"context"
	"errors"
	"net/netip"

	"github.com/amoskys/amoskys/internal/scan/probe"
)

// rawPossible says why raw sockets cannot be used.
func rawPossible() error { return errors.New("raw sockets are used on Linux alone") }

func (s *scanner) discoverRaw(context.Context, chan<- candidate) error { return rawPossible() }

func (s *scanner) askRaw(context.Context, <-chan candidate, chan<- *Host) error {
	return rawPossible()
}

func arpTable() map[netip.Addr]probe.MAC { return nil }

// tracer finds no ways here.
type tracer struct{}

func newTracer(*scanner) (*tracer, error) { return nil, rawPossible() }

func (*tracer) trace(context.Context, *Host) error { return nil }

func (*tracer) close() error { return nil }
