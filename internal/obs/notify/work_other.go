//go:build !unix

package notify

// worked says nothing: only Linux has a service manager that asks.
func worked() (work, bool) { return work{}, false }
