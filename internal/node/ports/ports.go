// Package ports tells whether a TCP port can be listened on, and which process
// holds it when not.
package ports

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"

	"github.com/amoskys/amoskys/internal/obs"
)

// Holder is the process that listens on a port.
type Holder struct {
	PID  int    // 0 when it cannot be seen, as for another user's process
	Name string // as in the kernel's process list
}

// String names the holder for people.
func (h Holder) String() string {
	if h.PID == 0 {
		return "another process (run as root to see which)"
	}
	return fmt.Sprintf("%s (pid %d)", h.Name, h.PID)
}

// TakenError says that an address cannot be listened on because another process does.
type TakenError struct {
	Port   int
	Holder Holder
}

func (e *TakenError) Error() string {
	return fmt.Sprintf("port %d is already in use by %s", e.Port, e.Holder)
}

// Explain puts a *TakenError in the place of the system's words for a port that is
// taken, and returns any other error as it is.
func Explain(err error) error {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || !errors.Is(err, syscall.EADDRINUSE) {
		return err
	}
	tcp, ok := op.Addr.(*net.TCPAddr)
	if !ok {
		return err
	}
	return &TakenError{Port: tcp.Port, Holder: Find(tcp.Port)}
}

// Fix is what to do about an error of Check or of listening: key is the setting of the
// port, such as "http.port in FILE". Where nobody holds the port this machine lacks the
// address, as one with IPv6 alone lacks 127.0.0.1, and the setting beside it is to change.
func Fix(err error, key string) string {
	if _, taken := errors.AsType[*TakenError](err); taken {
		return "stop that, or change " + key
	}
	if errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT) {
		return "this machine has no such address: change " + strings.Replace(key, ".port", ".host", 1) + ", for instance to ::1"
	}
	return "change " + key
}

// Check tries to listen on addr (host:port) and lets go at once. Port 0 is
// always free. The error is a *TakenError when another process listens there.
func Check(ctx context.Context, addr string) error {
	_, portText, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("check port: %w", err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return fmt.Errorf("check port: %w", err)
	}
	l, err := obs.Listen(ctx, addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return &TakenError{Port: port, Holder: Find(port)}
	}
	if err != nil {
		return fmt.Errorf("check port: %w", err)
	}
	return l.Close()
}
