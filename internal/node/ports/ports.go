// Package ports tells whether a TCP port can be listened on, and which process
// holds it when not.
package ports

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
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
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return &TakenError{Port: port, Holder: Find(port)}
	}
	if err != nil {
		return fmt.Errorf("check port: %w", err)
	}
	return l.Close()
}
