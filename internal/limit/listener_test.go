package limit_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amoskys/amoskys/internal/limit"
)

// dialFrom connects from one of the addresses that every machine has.
func dialFrom(t *testing.T, from, to string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.DialContext(t.Context(), "tcp", to)
	if err != nil {
		t.Skipf("this machine has no address %s: %v", from, err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// isOpen reports whether the other side has closed a connection.
func isOpen(t *testing.T, c net.Conn, within time.Duration) bool {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(within))
	_, err := c.Read(make([]byte, 1))
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// TestOneAddressDoesNotTakeAll: connections of one address give way to those of
// others, the oldest first.
func TestOneAddressDoesNotTakeAll(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var refused int
	var mu sync.Mutex // guards refused
	slots := limit.NewSlots(limit.SlotOptions{Slots: 4})
	l := limit.NewListener(inner, limit.ListenerOptions{Slots: slots, Refused: func(net.Addr, error) {
		mu.Lock()
		defer mu.Unlock()
		refused++
	}})
	accepted := make(chan net.Conn)
	go func() {
		defer close(accepted)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	var served []net.Conn
	connect := func(from string) net.Conn {
		c := dialFrom(t, from, inner.Addr().String())
		served = append(served, <-accepted)
		return c
	}
	greedy := []net.Conn{connect("127.0.0.2"), connect("127.0.0.2"), connect("127.0.0.2"), connect("127.0.0.2")}
	other := connect("127.0.0.3")
	if isOpen(t, greedy[0], 5*time.Second) {
		t.Error("the oldest connection of the address that has most is still open")
	}
	for name, c := range map[string]net.Conn{"a younger one": greedy[3], "the one that took its place": other} {
		if !isOpen(t, c, 20*time.Millisecond) {
			t.Errorf("%s was closed", name)
		}
	}
	one := dialFrom(t, "127.0.0.2", inner.Addr().String())
	if isOpen(t, one, 5*time.Second) {
		t.Error("the address that has most was let in again")
	}
	for _, c := range served {
		_ = c.Close()
	}
	if n := slots.Taken(); n != 0 {
		t.Errorf("%d slots are taken after all have been closed", n)
	}
	mu.Lock()
	defer mu.Unlock()
	if refused != 2 {
		t.Errorf("%d refusals were told, want 2", refused)
	}
	_ = l.Close()
	<-accepted
}

// scripted is a listener that answers Accept from a list, then is closed.
type scripted struct{ answers []error }

func (s *scripted) Accept() (net.Conn, error) {
	if len(s.answers) == 0 {
		return nil, net.ErrClosed
	}
	err := s.answers[0]
	s.answers = s.answers[1:]
	if err != nil {
		return nil, err
	}
	ours, theirs := net.Pipe()
	_ = theirs.Close()
	return ours, nil
}

func (s *scripted) Close() error   { return nil }
func (s *scripted) Addr() net.Addr { return nil }

// TestListenerOutlivesShortage: a lack of descriptors is told, waited out without
// spinning, and ends nothing.
func TestListenerOutlivesShortage(t *testing.T) {
	shortage := &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	broken := errors.New("broken")
	synctest.Test(t, func(t *testing.T) {
		told := 0
		l := limit.NewListener(&scripted{[]error{shortage, shortage, shortage, nil, broken}},
			limit.ListenerOptions{Shortage: func(error) { told++ }})
		began := time.Now()
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		if took := time.Since(began); took != 35*time.Millisecond || told != 3 {
			t.Errorf("after %s and %d tellings", took, told)
		}
		if _, err := l.Accept(); !errors.Is(err, broken) {
			t.Errorf("a listener that is broken: %v", err)
		}
		endless := limit.NewListener(&scripted{[]error{shortage, shortage}}, limit.ListenerOptions{})
		_ = endless.Close()
		if _, err := endless.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a listener that was closed meanwhile: %v", err)
		}
	})
}

// TestIdleConnectionsGiveWay: of an HTTP server's connections, those without a
// request make room, also for the same address.
func TestIdleConnectionsGiveWay(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	entered, leave := make(chan struct{}), make(chan struct{})
	slots := limit.NewSlots(limit.SlotOptions{Slots: 3, Grace: time.Nanosecond})
	server := &http.Server{ConnState: limit.ConnState, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/long" {
			entered <- struct{}{}
			<-leave
		}
	})}
	done := make(chan error, 1)
	go func() { done <- server.Serve(limit.NewListener(inner, limit.ListenerOptions{Slots: slots})) }()
	ask := func(path string) net.Conn {
		c := dialFrom(t, "127.0.0.2", inner.Addr().String())
		if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		return c
	}
	answered := func(c net.Conn) bool {
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		_, err := c.Read(make([]byte, 4096))
		return err == nil
	}
	long := ask("/long")
	<-entered
	for range 10 {
		if !answered(ask("/")) {
			t.Fatal("a connection was not served while others were idle")
		}
	}
	close(leave)
	if !answered(long) {
		t.Error("a request under way was cut off for idle ones")
	}
	_ = server.Close()
	<-done
}
