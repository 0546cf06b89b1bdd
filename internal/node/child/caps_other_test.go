//go:build unix && !linux

package child

func held() string    { return "" }
func runNode() string { return "" }
