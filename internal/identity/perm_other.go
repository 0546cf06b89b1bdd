//go:build !unix

package identity

import "os"

// openBits returns the owner's bits only: permission bits say nothing about other
// users on this system, access lists do.
func openBits(info os.FileInfo) os.FileMode { return info.Mode().Perm() & 0o700 }
