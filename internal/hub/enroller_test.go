package hub

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/identity"
)

// enrolConn connects as a client that enrols does, without a certificate.
func enrolConn(t *testing.T, addr net.Addr, from string) (*tls.Conn, error) {
	t.Helper()
	c := tls.Client(dialFrom(t, from, addr.String()), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{identity.EnrollProto}})
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return nil, err
	}
	return c, c.HandshakeContext(t.Context())
}

// isClosed reports whether the hub closes a connection within a time, whatever it
// says before.
func isClosed(c net.Conn, within time.Duration) bool {
	_ = c.SetReadDeadline(time.Now().Add(within))
	_, err := io.Copy(io.Discard, c)
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// TestFewEnrolAtATime: strangers who connect and say nothing use no more than
// their share, keep nobody at another address from enrolling, and everybody who has
// joined is served.
func TestFewEnrolAtATime(t *testing.T) {
	h := startHub(t, "", func(o *Options, _ *StorageOptions) { o.Enroll = http.NotFoundHandler() })
	held := make([]*tls.Conn, 0, enrolConnections)
	for i := range enrolConnections {
		c, err := enrolConn(t, h.Addr(), "127.0.0.5")
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
		// A client is done with its handshake before the hub is: who comes next waits,
		// so that the first of them is the oldest.
		eventually(t, "it has its slot", func() bool { return h.enroller.slots.Taken() == i+1 })
	}
	for i := range 25 {
		c, err := enrolConn(t, h.Addr(), "127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, "POST /v1/enroll HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatalf("try %d of 25 at another address: %v", i+1, err)
		}
		if _ = answer.Body.Close(); answer.StatusCode != http.StatusNotFound {
			t.Errorf("try %d of 25 at another address: %s", i+1, answer.Status)
		}
		_ = c.Close()
	}
	if !isClosed(held[0], 5*time.Second) {
		t.Error("the oldest connection of the address that has most stays open")
	}
	if code, body := h.get(t, "https://"+h.Addr().String()+"/health", "agent"); code != http.StatusOK {
		t.Errorf("health meanwhile: %d %s", code, body)
	}
	if n := h.metric(t, "eventbus_errors_total", "reason", refusedEnrolment); n == 0 {
		t.Error("nothing was counted")
	}
	for _, c := range held {
		_ = c.Close()
	}
	eventually(t, "the slots are free again", func() bool { return h.enroller.slots.Taken() == 0 })
}

// TestOnlyTheHubsPortEnrols: the metrics port lets nobody in for it, nor does a hub
// without enrolment.
func TestOnlyTheHubsPortEnrols(t *testing.T) {
	with := startHub(t, "", func(o *Options, _ *StorageOptions) { o.Enroll = http.NotFoundHandler() })
	without := startHub(t, "")
	for name, addr := range map[string]net.Addr{"metrics": with.MetricsAddr(), "no enrolment": without.Addr()} {
		c, err := enrolConn(t, addr, "127.0.0.1")
		if err == nil {
			_, err = c.Read(make([]byte, 1))
			t.Errorf("%s: let in, then %v", name, err)
		}
	}
}
