//go:build unix

package identity

import "os"

// openBits returns the permission bits of a file.
func openBits(info os.FileInfo) os.FileMode { return info.Mode().Perm() }
