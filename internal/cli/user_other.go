//go:build !linux

package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/config"
)

// leaveRoot is for packages and images of Linux.
func (e *Env) leaveRoot(context.Context, config.Home, *cobra.Command) error { return nil }
