package hub

import (
	"cmp"
	"context"
	"net"

	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Operations of the audit trail for those who are refused. The trail counts them
// instead of keeping each.
const (
	operationConnect = "connection.refuse"
	operationCall    = "call.refuse"
)

// rejected notes a handshake that was refused. Who went away by themselves, as port
// scans and probes of health do all day, are counted alone.
func (h *Hub) rejected(r identity.Rejection) {
	h.metrics.fail(string(r.Reason))
	if r.Reason != identity.ReasonConnectionClosed {
		noteRefusal(context.Background(), h.options.Auditor, operationConnect, r.Subject, "", string(r.Reason), r.Remote)
	}
}

// noteRefusal records a refusal, where there is a trail.
func noteRefusal(ctx context.Context, trail Auditor, operation, who, what, reason, addr string) {
	if trail == nil {
		return
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	trail.Audit(ctx, &pb.AuditActivity{
		Actor: cmp.Or(who, "unknown"), Operation: operation, Target: what, Detail: reason, SrcIp: host,
	})
}
