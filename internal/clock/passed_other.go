//go:build !linux

package clock

import "time"

// SincePower returns what reads the time since the program started: what passes while the machine
// sleeps is not seen, and looks like a jump.
func SincePower() (passed func() time.Duration, boot string) { return sinceStart(), "" }
