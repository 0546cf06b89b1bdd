package store

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Starting answers for a store without an engine: its status, and nothing about
// events.
type Starting struct {
	pb.UnimplementedQueryServer

	Config KeepConfig
}

// Status says that nothing can be searched.
func (s Starting) Status(context.Context, *pb.StatusRequest) (*pb.StatusResponse, error) {
	const reason = "the engine is not running"
	return &pb.StatusResponse{
		State: "degraded", Reasons: []string{reason}, Version: obs.ReadBuild().Version,
		Store: &pb.StoreStatus{
			State: "starting", Reason: reason,
			Retention:      durationpb.New(time.Duration(s.Config.RetentionDays) * 24 * time.Hour),
			RetentionBytes: uint64(s.Config.RetentionSizeMB) << 20,
		},
	}, nil
}
