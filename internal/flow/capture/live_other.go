//go:build !linux && !darwin

package capture

import "context"

// Open says that live capture is not on this system.
func Open(Options) ([]Source, error) { return nil, ErrUnsupported }

// Find says that live capture is not on this system.
func Find(string) (Interface, error) { return Interface{}, ErrUnsupported }

// Follow says that live capture is not on this system.
func Follow(context.Context, string, func(Interface)) error { return ErrUnsupported }
