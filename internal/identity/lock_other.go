//go:build !unix

package identity

import "os"

const canSyncDirs = false

// tryLock always succeeds: on systems without flock the folder is filled by one
// process at a time.
func tryLock(*os.File) (bool, error) { return true, nil }
