//go:build !unix

package limit

// MaxDescriptors returns how many files and connections the process may have open,
// or 0 when that is not known or not bounded.
func MaxDescriptors() int { return 0 }

// OpenDescriptors returns how many are open, or 0 when that is not known.
func OpenDescriptors() int { return 0 }
