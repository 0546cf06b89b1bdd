//go:build !linux

package usage

import "time"

// Of is not supported here.
func Of(int) (Sample, error) { return Sample{}, ErrUnsupported }

// Age is not known here.
func (Sample) Age() time.Duration { return 0 }
