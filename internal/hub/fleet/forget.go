package fleet

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/identity/hostname"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// ForgetHost removes a host that is gone, its node and its agents, from what is
// shown and watched.
//
// INVALID_ARGUMENT: no host is named. NOT_FOUND: none is known of this name.
// FAILED_PRECONDITION: its node or one of its agents is connected.
func (s *Service) ForgetHost(ctx context.Context, req *pb.ForgetHostRequest) (*pb.ForgetHostResponse, error) {
	name := hostname.Normal(req.GetHost())
	if name == "" {
		return nil, status.Error(codes.InvalidArgument, "say which host to forget")
	}
	agents, err := s.forgetAbsent(name)
	s.audit(ctx, &pb.AuditActivity{Actor: req.GetActor(), Operation: "host.forget", Target: cut(name, maxText)}, err)
	if err != nil {
		return nil, err
	}
	return &pb.ForgetHostResponse{Agents: uint32(agents)}, nil
}

func (s *Service) forgetAbsent(name string) (agents int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.hosts.byName[name]
	if h == nil && len(s.byHost[name]) == 0 {
		return 0, status.Errorf(codes.NotFound, "there is no host %q; amoskys agents hosts lists them", cut(name, maxText))
	}
	if h != nil && h.away.IsZero() {
		return 0, status.Errorf(codes.FailedPrecondition, "host %s is connected: stop its node first, or it is shown again at once", name)
	}
	for k := range s.byHost[name] {
		if a := s.agents[k]; a.GetNodeConnected() || a.GetUnsupervised() {
			return 0, status.Errorf(codes.FailedPrecondition, "agent %s is connected: stop it first, or it is shown again at once", k)
		}
	}
	return s.forgetHost(name), nil
}

// audit records an act and whether it failed.
func (s *Service) audit(ctx context.Context, act *pb.AuditActivity, failed error) {
	if s.o.Auditor == nil {
		return
	}
	act.Success = failed == nil
	if failed != nil {
		act.Detail = status.Convert(failed).Message()
	}
	if s.o.Caller != nil {
		act.Actor = ActorBy(act.GetActor(), s.o.Caller(ctx))
	}
	s.o.Auditor.Audit(ctx, act)
}
