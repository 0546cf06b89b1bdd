//go:build !linux

package proc

import (
	"fmt"
	"runtime"
)

// hostTable fails: processes are read from /proc, which only Linux has in this form.
func hostTable(string, func([]string) []string) (*table, error) {
	return nil, fmt.Errorf("the process agent runs on Linux only for now, not on %s", runtime.GOOS)
}
