package hub

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/stream"
)

// Auditor records an administrative act; *audit.Trail does.
type Auditor interface {
	Audit(ctx context.Context, act *pb.AuditActivity)
}

// cursorService is the Cursors service.
type cursorService struct {
	pb.UnimplementedCursorsServer
	*bus

	auditor Auditor // nil: nothing is recorded
	own     func() []SubscriberStatus
}

// CommitCursor moves a cursor of the caller.
func (s *cursorService) CommitCursor(ctx context.Context, req *pb.CommitCursorRequest) (*pb.CommitCursorResponse, error) {
	c, err := callerOf(ctx)
	if err != nil {
		return nil, err
	}
	name, err := cursorName(c.ID, req.GetCursor())
	if err != nil {
		return nil, s.badSubscription("%v", err)
	}
	switch err := s.log.CommitCursor(ctx, name, req.GetOffset()); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, noCursor(name)
	case errors.Is(err, fs.ErrInvalid):
		return nil, status.Errorf(codes.OutOfRange, "offset %d is beyond the end of the log, which is %d", req.GetOffset(), s.log.Stat().NextOffset)
	case err != nil:
		s.limiter.Warn("cursor_commit", "cursor not moved", slog.String(obs.KeyCursor, name), slog.Any(obs.KeyError, err))
		return nil, logStatus(err)
	}
	return &pb.CommitCursorResponse{}, nil
}

// RemoveCursor removes a cursor for good: what is open of it could only fail to move
// it, and is refused here rather than surprised later.
func (s *cursorService) RemoveCursor(ctx context.Context, req *pb.RemoveCursorRequest) (*pb.RemoveCursorResponse, error) {
	c, err := callerOf(ctx)
	if err != nil {
		return nil, err
	}
	resp, err := s.remove(ctx, req.GetName())
	if s.auditor != nil {
		act := &pb.AuditActivity{Actor: c.Publisher, Operation: "cursor.remove", Target: req.GetName(), Success: err == nil}
		if err != nil {
			act.Detail = status.Convert(err).Message()
		} else {
			act.Detail = fmt.Sprintf("it stood at offset %d", resp.GetOffset())
		}
		s.auditor.Audit(ctx, act)
	}
	return resp, err
}

func (s *cursorService) remove(ctx context.Context, name string) (*pb.RemoveCursorResponse, error) {
	cursors := s.log.ListCursors()
	at := slices.IndexFunc(cursors, func(c stream.CursorInfo) bool { return c.Name == name })
	if at < 0 {
		return nil, noCursor(name)
	}
	if s.subscriptions.reads(name) || slices.ContainsFunc(s.own(), func(r SubscriberStatus) bool { return r.Name == name }) {
		return nil, status.Errorf(codes.FailedPrecondition, "the subscriber of cursor %s is connected: stop it first", name)
	}
	switch err := s.log.RemoveCursor(ctx, name); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, noCursor(name)
	case err != nil:
		return nil, logStatus(err)
	}
	return &pb.RemoveCursorResponse{Offset: cursors[at].Offset}, nil
}

func noCursor(name string) error {
	return status.Errorf(codes.NotFound, "there is no cursor %.200q", name)
}
