package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/cli"
)

// TestEveryHelpHasAnExample, of this program and no other.
func TestEveryHelpHasAnExample(t *testing.T) {
	var look func(c *cobra.Command)
	look = func(c *cobra.Command) {
		if c.Hidden {
			return
		}
		if c.Example == "" {
			t.Errorf("%s has no example", c.CommandPath())
		}
		for line := range strings.Lines(c.Example) {
			if !strings.Contains(" "+line, " "+c.Root().Name()+" ") {
				t.Errorf("an example of %s is not of this program: %q", c.CommandPath(), line)
			}
		}
		for _, sub := range c.Commands() {
			look(sub)
		}
	}
	look(newRoot(&cli.Env{}))
}
