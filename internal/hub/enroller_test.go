package hub

import (
	"crypto/tls"
	"net/http"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/identity"
)

// enrolConn connects as a client that enrols does, without a certificate.
func enrolConn(t *testing.T, addr string) (*tls.Conn, error) {
	t.Helper()
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{identity.EnrollProto}}}
	c, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = c.Close() })
	return c.(*tls.Conn), c.SetDeadline(time.Now().Add(10 * time.Second))
}

// ended reports whether the hub has closed a connection within a moment.
func ended(c *tls.Conn, within time.Duration) bool {
	_ = c.SetReadDeadline(time.Now().Add(within))
	_, err := c.Read(make([]byte, 1))
	return identity.ClassifyHandshakeError(err) != identity.ReasonHandshakeTimeout
}

// TestFewEnrolAtATime: strangers who connect and say nothing use no more than
// their share, and everybody else is served.
func TestFewEnrolAtATime(t *testing.T) {
	h := startHub(t, "", func(o *Options, _ *StorageOptions) { o.Enroll = http.NotFoundHandler() })
	held := make([]*tls.Conn, 0, enrolConnections)
	for range enrolConnections {
		c, err := enrolConn(t, h.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	eventually(t, "all slots are taken", func() bool { return len(h.enroller.slots) == enrolConnections })
	c, err := enrolConn(t, h.Addr().String())
	if err == nil && !ended(c, 5*time.Second) {
		t.Error("one connection too many stays open")
	}
	if ended(held[0], 50*time.Millisecond) {
		t.Error("a connection within the bound was closed")
	}
	if code, body := h.get(t, "https://"+h.Addr().String()+"/health", "agent"); code != http.StatusOK {
		t.Errorf("health meanwhile: %d %s", code, body)
	}
	for _, c := range held {
		_ = c.Close()
	}
	eventually(t, "the slots are free again", func() bool { return len(h.enroller.slots) == 0 })
}

// TestOnlyTheHubsPortEnrols: the metrics port lets nobody in for it, nor does a hub
// without enrolment.
func TestOnlyTheHubsPortEnrols(t *testing.T) {
	with := startHub(t, "", func(o *Options, _ *StorageOptions) { o.Enroll = http.NotFoundHandler() })
	without := startHub(t, "")
	for name, addr := range map[string]string{"metrics": with.MetricsAddr().String(), "no enrolment": without.Addr().String()} {
		c, err := enrolConn(t, addr)
		if err == nil {
			_, err = c.Read(make([]byte, 1))
			t.Errorf("%s: let in, then %v", name, err)
		}
	}
}
