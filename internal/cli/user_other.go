//go:build !linux

package cli

import "github.com/amoskys/amoskys/internal/config"

// leaveRoot is for packages and images of Linux.
func (e *Env) leaveRoot(config.Home, bool) error { return nil }
