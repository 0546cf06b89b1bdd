//go:build !linux

package task

import "fmt"

// maxSocketPath is what every system has room for in the address of a Unix socket.
const maxSocketPath = 103

// shorten returns path when it fits into the address of a Unix socket.
func shorten(path string) (short string, done func(), err error) {
	if len(path) > maxSocketPath {
		return "", nil, fmt.Errorf("the path of the socket has %d characters, at most %d are possible: use a home folder with a shorter path", len(path), maxSocketPath)
	}
	return path, func() {}, nil
}
