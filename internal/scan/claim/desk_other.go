//go:build !linux

package claim

import (
	"context"
	"errors"
)

// Desk takes claims into a Book.
type Desk struct{}

// Open says that there are no claims on this system, where scans use sockets of their own
// process and nobody else's.
func Open(*Book) (*Desk, error) { return nil, errors.ErrUnsupported }

// Run ends at once.
func (*Desk) Run(context.Context) {}

// Scan is the connection of one scan, of which there is none.
type Scan struct{}

// Begin returns nil.
func Begin(context.Context) *Scan { return nil }

// Claim does nothing.
func (*Scan) Claim(Kind, uint16, int) {}

// Free does nothing.
func (*Scan) Free(Kind, uint16, int) {}

// End does nothing.
func (*Scan) End() {}
