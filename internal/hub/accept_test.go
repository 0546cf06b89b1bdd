package hub

import (
	"errors"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"

	"github.com/amoskys/amoskys/internal/limit"
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
		in := limit.NewListener(&scripted{answers: []error{shortage, shortage, nil}}, limit.ListenerOptions{})
		done <- splitFirstByte(in, secure, plain)
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
	if err := splitFirstByte(&scripted{answers: []error{broken}}, secure, plain); !errors.Is(err, broken) {
		t.Errorf("a listener that is broken: %v", err)
	}
}

// TestMetricsPortIsShared: it is open to the network, and shares descriptors with
// the log. Whoever takes all of it keeps nobody else from scraping.
func TestMetricsPortIsShared(t *testing.T) {
	h := startHub(t, "")
	for range exporterMost + 8 {
		dialFrom(t, "127.0.0.5", h.MetricsAddr().String())
	}
	eventually(t, "some were refused", func() bool {
		return h.metric(t, "eventbus_errors_total", "reason", refusedScrape) > 0
	})
	url := "http://" + h.MetricsAddr().String() + "/metrics"
	if code, body := h.get(t, url, ""); code != http.StatusOK {
		t.Errorf("a scrape of another address: %d %s", code, body)
	}
}
