//go:build !linux

package usage

// Of is not supported here.
func Of(int) (Sample, error) { return Sample{}, ErrUnsupported }
