package certificates

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/identity/revoked"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
)

// LoadRevocations reads what the store keeps.
func LoadRevocations(ctx context.Context, store interface {
	Revocations(ctx context.Context) ([]state.Revocation, error)
},
) (*revoked.List, error) {
	list, err := store.Revocations(ctx)
	if err != nil {
		return nil, fmt.Errorf("load revocations: %w", err)
	}
	return revoked.New(entries(list)...), nil
}

func entries(list []state.Revocation) []revoked.Entry {
	out := make([]revoked.Entry, len(list))
	for i, r := range list {
		out[i] = revoked.Entry(r)
	}
	return out
}

// maxWatched bounds the revocations of one message.
const maxWatched = 1_000

// WatchRevoked tells what is revoked, and what is from now on.
func (s *Service) WatchRevoked(_ *pb.WatchRevokedRequest, out grpc.ServerStreamingServer[pb.WatchRevokedResponse]) error {
	ctx := out.Context()
	told, all := 0, false
	for {
		list, more := s.o.Revocations.After(told)
		for len(list) > 0 || !all {
			n := min(len(list), maxWatched)
			response := &pb.WatchRevokedResponse{Complete: n == len(list)}
			for _, e := range list[:n] {
				response.Revocations = append(response.Revocations, &pb.Revocation{
					Target: e.Target, Time: timestamppb.New(e.Time), Reason: e.Reason,
				})
			}
			if err := out.Send(response); err != nil {
				return err
			}
			list, told, all = list[n:], told+n, response.GetComplete()
		}
		select {
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		case <-more:
		}
	}
}
