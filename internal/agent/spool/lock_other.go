//go:build !unix

package spool

import "os"

// acquireLock only makes the file: this system has no advisory lock that ends
// with the process, so running an agent twice is not noticed here.
func acquireLock(name string) (*os.File, error) {
	return os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
}
