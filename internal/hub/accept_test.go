package hub

import (
	"errors"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"
)

// scripted is a listener that answers Accept from a list, then is closed.
type scripted struct {
	net.Listener
	answers []error // nil: a connection that sends one byte of plain HTTP
}

func (s *scripted) Accept() (net.Conn, error) {
	if len(s.answers) == 0 {
		return nil, net.ErrClosed
	}
	err := s.answers[0]
	if s.answers = s.answers[1:]; err != nil {
		return nil, err
	}
	ours, theirs := net.Pipe()
	go func() {
		_, _ = theirs.Write([]byte("G"))
		_ = theirs.Close()
	}()
	return ours, nil
}

// TestMetricsPortOutlivesShortage: a stranger can use up the descriptors of the
// process, and must not end it by that.
func TestMetricsPortOutlivesShortage(t *testing.T) {
	shortage := &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	secure, plain := newFeed(nil), newFeed(nil)
	done := make(chan error, 1)
	go func() {
		done <- splitFirstByte(&scripted{answers: []error{shortage, shortage, nil}}, secure, plain, 4)
	}()
	select {
	case c := <-plain.conns:
		_ = c.Close()
	case err := <-done:
		t.Fatalf("the port was given up: %v", err)
	}
	if err := <-done; err != nil {
		t.Errorf("end of the listener: %v", err)
	}
	broken := errors.New("broken")
	if err := splitFirstByte(&scripted{answers: []error{broken}}, secure, plain, 4); !errors.Is(err, broken) {
		t.Errorf("a listener that is broken: %v", err)
	}
}

// TestMetricsPortIsBounded: it is open to the network, and shares descriptors
// with the log.
func TestMetricsPortIsBounded(t *testing.T) {
	h := startHub(t, "")
	url := "http://" + h.MetricsAddr().String() + "/metrics"
	h.exporter.listener.open.Add(exporterMost)
	if code, body := h.get(t, url, ""); code != 0 {
		t.Errorf("above the bound: %d %s", code, body)
	}
	h.exporter.listener.open.Add(-exporterMost)
	if code, body := h.get(t, url, ""); code != http.StatusOK {
		t.Errorf("within the bound: %d %s", code, body)
	}
}
