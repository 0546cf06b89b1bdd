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

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/hub/admit"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/identity/hostname"
	"github.com/amoskys/amoskys/internal/limit"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/stream"
)

// maxSkew is how wrong an agent's clock may be before it is counted.
const maxSkew = 24 * time.Hour

// bus is the EventBus service.
type bus struct {
	pb.UnimplementedEventBusServer

	log     stream.Log
	ledger  *admit.Ledger
	rooms   rooms
	rules   admit.Rules // without what the sender's certificate says
	metrics *metrics
	meter   *meter
	logger  *slog.Logger
	limiter *limit.Log
	now     func() time.Time
	spans   *batchSpans // nil: no traces

	maxInFlight int

	subscriptions *subscriptions
	large         *largeBuffers                                       // of their Deliveries
	unsupervised  func(host, id string, claimed []byte) (gone func()) // see Options; may be nil

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

func publishEventHandler(srv any, ctx context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) { //nolint:revive // gRPC's order
	in := new(message)
	if err := dec(in); err != nil {
		return nil, err
	}
	return srv.(*bus).publishEvent(ctx, in) //nolint:forcetypeassert // registered with it
}

// sender is who publishes, checked once for a stream.
type sender struct {
	publisher string
	rules     admit.Rules
}

// UnsupervisedHeader is the metadata key under which an agent that no node runs
// says what it is, as an encoded AgentStatus.
const UnsupervisedHeader = "amoskys-unsupervised-bin"

// noteUnsupervised tells of an agent that no node runs; gone must be called when
// its stream ends.
func (b *bus) noteUnsupervised(ctx context.Context, s *sender) (gone func()) {
	claimed := metadata.ValueFromIncomingContext(ctx, UnsupervisedHeader)
	if b.unsupervised == nil || len(claimed) == 0 || s.rules.AgentID == "" || s.rules.Host == "" {
		return func() {}
	}
	return b.unsupervised(s.rules.Host, s.rules.AgentID, []byte(claimed[0]))
}

// senderOf decides for whom a caller may publish: the host in its certificate, as
// the one agent that the certificate is bound to, or the one that the stream names
// where the certificate is a host's. Findings are about whom they are about, so
// stores and analyses observe.
func (b *bus) senderOf(ctx context.Context) (sender, error) {
	c, err := callerOf(ctx)
	if err != nil {
		return sender{}, err
	}
	if len(c.Publisher) > stream.MaxPublisherBytes {
		return sender{}, status.Errorf(codes.PermissionDenied, "the identity in the certificate is longer than %d bytes", stream.MaxPublisherBytes)
	}
	s := sender{publisher: c.Publisher, rules: b.rules}
	s.rules.Host, s.rules.Observes = c.ID.Host(), c.Observes
	switch c.ID.Role {
	case identity.RoleStore:
		s.rules.Maker, s.rules.Observes = event.MakerStore, true
	case identity.RoleAnalysis:
		s.rules.Maker, s.rules.Observes = event.MakerAnalysis, true
	default:
	}
	if named := metadata.ValueFromIncomingContext(ctx, identity.MetadataAgent); len(named) > 0 {
		s.rules.AgentID = hostname.Normal(named[0])
	}
	if bound := c.ID.AgentID(); bound != "" {
		if s.rules.AgentID != "" && s.rules.AgentID != bound {
			b.metrics.fail("agent_mismatch")
			return sender{}, status.Errorf(codes.PermissionDenied, "the certificate is for agent %q, the stream names %.64q", bound, s.rules.AgentID)
		}
		s.rules.AgentID = bound
	}
	return s, nil
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
	case errors.Is(err, errUnpackBusy):
		return trouble{"unpack_busy", "the hub unpacks as much at once as it may", 250 * time.Millisecond, codes.ResourceExhausted}
	case errors.Is(err, admit.ErrGateTimeout), errors.Is(err, stream.ErrBusy):
		return trouble{"log_busy", "the log is busy", 250 * time.Millisecond, codes.ResourceExhausted}
	case errors.Is(err, stream.ErrFull):
		return trouble{"log_full", "the hub's disk is full", 2 * time.Second, codes.ResourceExhausted}
	case errors.Is(err, stream.ErrShown):
		return trouble{"log_readonly", "the hub is a copy restored from a backup, and takes no events", 5 * time.Second, codes.Unavailable}
	case errors.Is(err, stream.ErrReadOnly):
		return trouble{"log_readonly", "the hub's disk is read-only", 5 * time.Second, codes.Unavailable}
	case errors.Is(err, stream.ErrClosed):
		return trouble{"stopping", "the hub is stopping", time.Second, codes.Unavailable}
	default:
		return trouble{"log_failed", "the hub's log failed", 5 * time.Second, codes.Unavailable}
	}
}

// note counts and logs a failure of the log.
func (b *bus) note(t trouble, publisher string, err error) {
	b.metrics.retries.Inc()
	b.metrics.fail(t.reason)
	b.limiter.Warn(t.reason, "batch not stored",
		slog.String("reason", t.reason), slog.String("identity", publisher), slog.Any("error", err))
}
