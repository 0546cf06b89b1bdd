//go:build !linux

package inside

import (
	"fmt"
	"net"
	"os"
)

// maxPath is what every system has room for in the address of a Unix socket.
const maxPath = 103

// shorten returns path when it fits into the address of a Unix socket.
func shorten(path string) (short string, done func(), err error) {
	if len(path) > maxPath {
		return "", nil, fmt.Errorf("the path of the socket has %d characters, at most %d are possible", len(path), maxPath)
	}
	return path, func() {}, nil
}

// callerOf is this process's own user: here the modes of socket and folder alone keep
// others out.
func callerOf(net.Conn) (uid int, err error) { return os.Geteuid(), nil }
