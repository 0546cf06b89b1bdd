//go:build !linux

package limit

// Memory returns the bytes of memory that this process may use; 0 is unknown.
func Memory() int64 { return 0 }

// GroupMemory is not known here.
func GroupMemory() int64 { return 0 }
