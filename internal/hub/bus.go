package hub

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/hub/admit"
	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/wal"
)

// AgentIDHeader is the metadata key by which an agent names itself on a stream.
const AgentIDHeader = "amoskys-agent-id"

// maxSkew is how wrong an agent's clock may be before it is counted.
const maxSkew = 24 * time.Hour

// bus is the EventBus service.
type bus struct {
	pb.UnimplementedEventBusServer

	log     *wal.Log
	ledger  *admit.Ledger
	gate    *admit.Gate
	rules   admit.Rules // without AgentID
	metrics *metrics
	meter   *meter
	logger  *slog.Logger
	limiter *logLimiter
	now     func() time.Time

	maxInFlight int
	share       int64         // bytes of one stream that may be in the gate
	patience    time.Duration // how long a batch waits for the gate before RETRY

	subscriptions *subscriptions

	draining chan struct{}  // closed when publishing ends
	mu       sync.Mutex     // guards stopped, and receivers against Add after Wait
	stopped  bool           //
	working  sync.WaitGroup // receivers of streams and calls that the log has
}

// drain tells publishers to finish: what has been accepted is acknowledged.
func (b *bus) drain() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.stopped {
		b.stopped = true
		close(b.draining)
	}
}

// begin counts one worker, unless the hub stops. The worker calls working.Done.
func (b *bus) begin() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopped {
		return false
	}
	b.working.Add(1)
	return true
}

// describe is the service's description with the one method replaced whose
// request must not be decoded.
func (b *bus) describe() *grpc.ServiceDesc {
	desc := pb.EventBus_ServiceDesc
	desc.Methods = []grpc.MethodDesc{{MethodName: "PublishEvent", Handler: publishEventHandler}}
	return &desc
}

func publishEventHandler(srv any, ctx context.Context, dec func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) { //nolint:revive // gRPC's order
	in := new(message)
	if err := dec(in); err != nil {
		return nil, err
	}
	b := srv.(*bus) //nolint:forcetypeassert // registered with it
	if intercept == nil {
		return b.publishEvent(ctx, in)
	}
	info := &grpc.UnaryServerInfo{Server: srv, FullMethod: pb.EventBus_PublishEvent_FullMethodName}
	ack, err := intercept(ctx, in, info, func(ctx context.Context, _ any) (any, error) {
		return b.publishEvent(ctx, in)
	})
	return ack, err
}

// sender is who publishes, checked once for a stream.
type sender struct {
	publisher string
	rules     admit.Rules
}

// senderOf decides as which agent a caller may publish: the one its certificate
// is bound to, or the one it names where the certificate is a host's.
func (b *bus) senderOf(ctx context.Context) (sender, error) {
	c, err := callerOf(ctx)
	if err != nil {
		return sender{}, err
	}
	if len(c.Publisher) > wal.MaxPublisherBytes {
		return sender{}, status.Errorf(codes.PermissionDenied, "the identity in the certificate is longer than %d bytes", wal.MaxPublisherBytes)
	}
	s := sender{publisher: c.Publisher, rules: b.rules}
	if named := metadata.ValueFromIncomingContext(ctx, AgentIDHeader); len(named) > 0 {
		s.rules.AgentID = named[0]
	}
	if bound := agentOf(c.ID); bound != "" {
		if s.rules.AgentID != "" && s.rules.AgentID != bound {
			b.metrics.fail("agent_mismatch")
			return sender{}, status.Errorf(codes.PermissionDenied, "the certificate is for agent %q, the stream names %.64q", bound, s.rules.AgentID)
		}
		s.rules.AgentID = bound
	}
	return s, nil
}

// agentOf returns the agent that a certificate is bound to, if it is.
func agentOf(id identity.ID) string {
	for i := range len(id.Name) {
		if id.Name[i] == '/' {
			return id.Name[i+1:]
		}
	}
	return ""
}

// trouble says how a failure of the log looks to a publisher.
type trouble struct {
	reason  string // short word for the metric
	text    string // for people
	backoff time.Duration
	code    codes.Code // for a single event
}

func troubleOf(err error) trouble {
	switch {
	case errors.Is(err, admit.ErrGateTimeout), errors.Is(err, wal.ErrBusy):
		return trouble{"log_busy", "the log is busy", 250 * time.Millisecond, codes.ResourceExhausted}
	case errors.Is(err, wal.ErrDiskFull):
		return trouble{"log_full", "the hub's disk is full", 2 * time.Second, codes.ResourceExhausted}
	case errors.Is(err, wal.ErrReadOnly):
		return trouble{"log_readonly", "the hub's disk is read-only", 5 * time.Second, codes.Unavailable}
	case errors.Is(err, wal.ErrClosed):
		return trouble{"stopping", "the hub is stopping", time.Second, codes.Unavailable}
	default:
		return trouble{"log_failed", "the hub's log failed", 5 * time.Second, codes.Unavailable}
	}
}

// note counts and logs a failure of the log.
func (b *bus) note(t trouble, publisher string, err error) {
	b.metrics.retries.Inc()
	b.metrics.fail(t.reason)
	b.limiter.log(t.reason, "batch not stored",
		slog.String("reason", t.reason), slog.String("identity", publisher), slog.Any("error", err))
}
