//go:build !linux

package proc

func helpers() map[string]func() { return nil }
