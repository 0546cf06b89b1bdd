// Package keeping is the hub's Log service: what operators decide about the log that
// the hub keeps. Each decision is audited.
package keeping

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/stream"
)

// Operations name in the audit trail what AcceptLoss and TrustClock do, and `amoskys wal
// rewrite`, which needs a log at rest.
const (
	OperationAccept  = "log.accept_loss"
	OperationTrust   = "log.trust_clock"
	OperationRewrite = "log.rewrite"
)

// Auditor records an administrative act; *audit.Trail does.
type Auditor interface {
	Audit(ctx context.Context, act *pb.AuditActivity)
}

// Clock is what age is told by; *clock.Clock is one.
type Clock interface {
	// Trust believes the wall clock; off is how far it was ahead.
	Trust() (off time.Duration, now time.Time, err error)
}

// Options are what a Service needs.
type Options struct {
	Losses  stream.Losses
	Clock   Clock
	Auditor Auditor
	// Caller names whoever makes a call.
	Caller func(context.Context) string
}

// Service implements the Log service.
type Service struct {
	pb.UnimplementedLogServer
	o Options
}

// New returns the service.
func New(o Options) *Service { return &Service{o: o} }

// AcceptLoss takes note of losses of the log.
func (s *Service) AcceptLoss(ctx context.Context, req *pb.AcceptLossRequest) (*pb.AcceptLossResponse, error) {
	accepted, err := s.o.Losses.AcceptLosses(ctx, req.GetIds())
	if err != nil || len(accepted) > 0 {
		s.o.Auditor.Audit(ctx, Act(s.o.Caller(ctx), req.GetIds(), accepted, req.GetNote(), err))
	}
	switch {
	case errors.Is(err, stream.ErrNoLoss):
		return nil, status.Errorf(codes.NotFound, "%v: amoskys wal verify lists the open ones", err)
	case errors.Is(err, stream.ErrFull), errors.Is(err, stream.ErrReadOnly):
		return nil, status.Errorf(codes.FailedPrecondition, "%v: make room on the disk of the log and try again", err)
	case err != nil:
		return nil, status.Errorf(codes.Unavailable, "%v", err)
	}
	resp := &pb.AcceptLossResponse{}
	for _, l := range accepted {
		resp.Accepted = append(resp.Accepted, Message(l))
	}
	return resp, nil
}

// TrustClock believes the wall clock at once.
func (s *Service) TrustClock(ctx context.Context, _ *pb.TrustClockRequest) (*pb.TrustClockResponse, error) {
	off, now, err := s.o.Clock.Trust()
	act := &pb.AuditActivity{
		Actor: s.o.Caller(ctx), Operation: OperationTrust, Success: true,
		Detail: fmt.Sprintf("it is %s, %s ahead of the time that the hub went by", now.UTC().Format(time.RFC3339), off.Round(time.Second)),
	}
	if err != nil { // it is believed, until the hub starts again
		act.Detail += fmt.Sprintf("; it could not be written down: %v", err)
	}
	s.o.Auditor.Audit(ctx, act)
	return &pb.TrustClockResponse{Jump: durationpb.New(off), Time: timestamppb.New(now)}, nil
}

// Message is a loss as it travels.
func Message(l stream.Loss) *pb.LogLoss {
	out := &pb.LogLoss{Id: l.ID, FromOffset: l.From, ToOffset: l.To, NoticedTime: timestamppb.New(l.Noticed), Reason: l.Reason}
	if l.Unknown {
		out.ToOffset = l.From
	}
	return out
}

// Act is the record of an acceptance: of the ids asked for, none meaning all, and of
// what became of them.
func Act(actor string, ids []uint64, accepted []stream.Loss, note string, err error) *pb.AuditActivity {
	act := &pb.AuditActivity{Actor: actor, Operation: OperationAccept, Success: err == nil}
	var names []string
	ranges := make([]string, 0, len(accepted))
	for _, l := range accepted {
		names = append(names, strconv.FormatUint(l.ID, 10))
		ranges = append(ranges, fmt.Sprintf("%d: %s", l.ID, l))
	}
	if len(accepted) == 0 {
		for _, id := range ids {
			names = append(names, strconv.FormatUint(id, 10))
		}
	}
	act.Target = strings.Join(names, ",")
	switch {
	case err != nil:
		act.Detail = err.Error()
	case note != "":
		act.Detail = note + " (" + strings.Join(ranges, "; ") + ")"
	default:
		act.Detail = strings.Join(ranges, "; ")
	}
	return act
}
