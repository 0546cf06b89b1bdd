//go:build !linux

package agent

import "strings"

func isAddrInUse(err error) bool {
	text := err.Error()
	return strings.Contains(text, "address already in use") || strings.Contains(text, "Only one usage of each socket address")
}

// portHolder is not known on this system.
func portHolder(int) string { return "" }
