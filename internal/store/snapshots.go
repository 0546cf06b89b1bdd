package store

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Kept is one of the things that a store keeps, of which snapshots can be taken.
type Kept struct {
	Name string // as SnapshotPart has it
	// Take takes a snapshot and returns its folder, behind which event of the log it
	// stands, and what removes it.
	Take func(context.Context) (folder string, offset uint64, release func() error, err error)
}

// Snapshots implements the Snapshots service. One snapshot is held at a time.
type Snapshots struct {
	pb.UnimplementedSnapshotsServer

	kept   []Kept
	logger *slog.Logger
	one    sync.Mutex // held while a snapshot is
}

// NewSnapshots returns the service for what a store keeps.
func NewSnapshots(logger *slog.Logger, kept ...Kept) *Snapshots {
	return &Snapshots{kept: kept, logger: logger}
}

// HoldSnapshot takes a snapshot, answers, and removes it when the call ends.
func (s *Snapshots) HoldSnapshot(_ *pb.HoldSnapshotRequest, call grpc.ServerStreamingServer[pb.HoldSnapshotResponse]) error {
	ctx := call.Context()
	if !s.one.TryLock() {
		return status.Error(codes.ResourceExhausted, "another backup is being made of this store: wait until it is done")
	}
	defer s.one.Unlock()
	answer := &pb.HoldSnapshotResponse{}
	for _, k := range s.kept {
		part := &pb.SnapshotPart{Name: k.Name}
		folder, offset, release, err := k.Take(ctx)
		if err == nil {
			defer s.release(k.Name, release) // when the call ends
			part.Offset = offset
			part.Folder, err = filepath.Abs(folder)
		}
		if ctx.Err() != nil {
			return status.FromContextError(ctx.Err()).Err()
		}
		if err != nil {
			s.logger.WarnContext(ctx, "no snapshot could be taken for a backup", "what", k.Name, obs.KeyError, err)
			part.Folder, part.Missing = "", err.Error()
		}
		answer.Parts = append(answer.Parts, part)
	}
	s.logger.InfoContext(ctx, "a snapshot is held for a backup", obs.KeyIdentity, CallerOf(ctx).ID.String())
	if err := call.Send(answer); err != nil {
		return err //nolint:wrapcheck // it is gRPC's
	}
	<-ctx.Done()
	return nil
}

// release removes a snapshot.
func (s *Snapshots) release(name string, how func() error) {
	if err := how(); err != nil {
		s.logger.Warn("a snapshot for a backup cannot be removed: the next one removes it", "what", name, obs.KeyError, err)
	}
}
