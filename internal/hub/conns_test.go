package hub

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestCutEndsConnectionsOfOne: the calls of a peer that is cut off end at once,
// and those of others go on.
func TestCutEndsConnectionsOfOne(t *testing.T) {
	h := startHub(t, "")
	operator, dashboard := h.dial(t, "operator"), h.dial(t, "dashboard")
	defer operator.Close()
	defer dashboard.Close()
	theirs, err := pb.NewEventBusClient(operator).Subscribe(t.Context(), &pb.SubscribeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	others, err := pb.NewEventBusClient(dashboard).Subscribe(t.Context(), &pb.SubscribeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []interface{ Recv() (*pb.Delivery, error) }{theirs, others} {
		if _, err := s.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	if n := h.peers.len(); n != 2 {
		t.Errorf("%d connections are on the list, want 2", n)
	}
	looked := 0
	h.EachPeerOf(identity.ID{Domain: identity.DefaultDomain, Role: identity.RoleOperator, Name: ownHost.GetName()}, func(*x509.Certificate) { looked++ })
	if looked != 1 {
		t.Errorf("one identity has %d connections, want 1", looked)
	}
	if n := h.peers.cut(func(c *peerConn) bool { return c.ID.Role == identity.RoleOperator }); n != 1 {
		t.Errorf("%d connections were cut, want 1", n)
	}
	if _, err := theirs.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the subscription of the peer that was cut off: %v", err)
	}
	stream := publishStream(t, h.dial(t, "agent"), "")
	exchange(t, stream, &pb.PublishRequest{Events: [][]byte{makeEvent(t, "after the cut")}})
	if d, err := others.Recv(); err != nil || len(d.GetEvents()) != 1 {
		t.Errorf("the subscription of another: %v, %v", d, err)
	}
}

// TestOneCertificateDoesNotTakeAll: whoever has one certificate has its share of
// the connections, and all others are let in.
func TestOneCertificateDoesNotTakeAll(t *testing.T) {
	h := startHub(t, "", func(o *Options, _ *StorageOptions) {
		o.Config.Server.MaxConnections, o.Config.Server.AgentConnections = 32, 8
	})
	for range 8 {
		h.rawConn(t, "h2")
	}
	eventually(t, "the share is used up", func() bool { return h.Connections() == 8 })
	for range 32 {
		if !isClosed(h.rawConn(t, "h2"), 10*time.Second) {
			t.Fatal("a connection beyond the share was let in")
		}
	}
	if n := h.metric(t, "eventbus_errors_total", "reason", refusedOfIdentity); n != 32 {
		t.Errorf("%v refusals were counted, want 32", n)
	}
	if s := h.Status(); !strings.Contains(strings.Join(s.Reasons, "\n"), "agent/test-host are refused: it has as many as one certificate may, 8") {
		t.Errorf("the hub says %s: %q", s.Status, s.Reasons)
	}
	if got := healthOf(t, h.dial(t, "operator"), ""); got != "SERVING" {
		t.Errorf("another certificate: %s", got)
	}
}
