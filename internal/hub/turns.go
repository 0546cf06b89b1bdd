package hub

import (
	"context"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/limit"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// callsOfIdentity is how many calls of a method one certificate may have at a time,
// on all its connections; the first row that fits decides. A stream lasts as long as
// its client likes, so most rows are about streams. All agents of a host may share
// one certificate, each with one stream.
func callsOfIdentity(c *ServerConfig) []callShare {
	return []callShare{
		{pb.EventBus_Publish_FullMethodName, "", 2 * c.AgentConnections},
		{pb.EventBus_Subscribe_FullMethodName, identity.RoleDashboard, 8 * c.Subscriptions},
		{pb.EventBus_Subscribe_FullMethodName, "", c.Subscriptions},
		{pb.Fleet_Control_FullMethodName, "", 8},
		{pb.Accounts_Login_FullMethodName, "", 32},
		{"/grpc.reflection.", "", 4},
		{"", identity.RoleDashboard, 256},
		{"", "", 64},
	}
}

// callsInAll is how many calls of all methods one certificate may have at a time: a
// goroutine each, and what it holds, while its client sends half a request.
const callsInAll = 1024

// callShare is one row: methods that begin so, callers of a role or any, and how
// many.
type callShare struct {
	method string
	role   identity.Role
	most   int
}

// turns bounds the calls that each certificate has under way.
type turns struct {
	shares []callShare
	slots  *limit.Slots // by certificate and method
}

func newTurns(c *ServerConfig) *turns {
	return &turns{shares: callsOfIdentity(c), slots: limit.NewSlots(limit.SlotOptions{})}
}

// most returns how many calls of a method a caller of a role may have.
func (t *turns) most(role identity.Role, method string) int {
	for _, s := range t.shares {
		if strings.HasPrefix(method, s.method) && (s.role == "" || s.role == role) {
			return s.most
		}
	}
	return 1
}

// begin checks who calls, and counts the call until end.
func (g *guard) begin(ctx context.Context, method string) (end func(), err error) {
	if err := g.authorise(ctx, method); err != nil {
		return nil, err
	}
	c, err := callerOf(ctx)
	if err != nil {
		return nil, err
	}
	all, err := g.turns.slots.Take(limit.Claim{Key: c.Publisher, Known: true, Most: callsInAll})
	if err != nil {
		g.refuse(ctx, method, refusedCall, c.Publisher)
		return nil, status.Errorf(codes.ResourceExhausted, "%s has %d calls under way, as many as one certificate may have", c.ID, callsInAll)
	}
	most := g.turns.most(c.ID.Role, method)
	slot, err := g.turns.slots.Take(limit.Claim{Key: c.Publisher + " " + method, Known: true, Most: most})
	if err != nil {
		all.Release()
		g.refuse(ctx, method, refusedCall, c.Publisher)
		return nil, status.Errorf(codes.ResourceExhausted, "%s has %d calls of %s under way, as many as one certificate may have", c.ID, most, method)
	}
	return func() {
		slot.Release()
		all.Release()
	}, nil
}
