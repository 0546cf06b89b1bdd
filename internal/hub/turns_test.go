package hub

import (
	"context"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestCallsAreSharedByCertificate: one certificate has its share of subscriptions,
// on however many connections, and takes nothing from others.
func TestCallsAreSharedByCertificate(t *testing.T) {
	const share = 4
	h := startHub(t, "", func(o *Options, _ *StorageOptions) { o.Config.Server.Subscriptions = share })
	conns := []*grpc.ClientConn{h.dial(t, "operator"), h.dial(t, "operator")}
	subscribe := func(conn *grpc.ClientConn) (end func(), err error) {
		ctx, cancel := context.WithCancel(t.Context())
		s, err := pb.NewEventBusClient(conn).Subscribe(ctx, &pb.SubscribeRequest{})
		if err == nil {
			_, err = s.Recv()
		}
		return cancel, err
	}
	var ends []func()
	for i := range share {
		end, err := subscribe(conns[i%2])
		if err != nil {
			t.Fatalf("subscription %d: %v", i+1, err)
		}
		ends = append(ends, end)
	}
	for _, conn := range conns {
		if _, err := subscribe(conn); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("one beyond the share: %v", err)
		}
	}
	if n := h.metric(t, "eventbus_errors_total", "reason", refusedCall); n != 2 {
		t.Errorf("%v refusals were counted, want 2", n)
	}
	if _, err := subscribe(h.dial(t, "dashboard")); err != nil {
		t.Errorf("another certificate: %v", err)
	}
	ends[0]()
	eventually(t, "there is room again", func() bool {
		_, err := subscribe(conns[1])
		return err == nil
	})
}

// TestEveryMethodHasAShare: whatever a role may call, it may call more than once and
// not without bound.
func TestEveryMethodHasAShare(t *testing.T) {
	c := DefaultConfig()
	turns := newTurns(&c.Server)
	h := startHub(t, "")
	for service, info := range h.server.GetServiceInfo() {
		for _, m := range info.Methods {
			for _, role := range identity.Roles() {
				if most := turns.most(role, "/"+service+"/"+m.Name); most < 2 || most > 512 {
					t.Errorf("%s may have %d calls of %s/%s", role, most, service, m.Name)
				}
			}
		}
	}
}
