package app

import (
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/store/pick"
)

func uptime(since time.Time) *durationpb.Duration { return durationpb.New(time.Since(since)) }

func randomWord() string { return strings.ToLower(rand.Text()[:8]) }

// clustersStatus is the status of the cluster that answers, with all clusters in it. It is
// ok while all of them are: one that is not has no other behind it any more.
func clustersStatus(service *pick.Service, feeds []*clusterFeed) *pb.StoreStatus {
	best := service.Order()[0].Name
	var status *pb.StoreStatus
	clusters := make([]*pb.StoreCluster, 0, len(feeds))
	var reasons []string
	for _, f := range feeds {
		own := f.feed.Status()
		c := f.status(own)
		if c.Answers = c.GetName() == best; c.GetAnswers() {
			status = own
		}
		if c.GetState() != "ok" {
			reasons = append(reasons, fmt.Sprintf("cluster %s: %s", c.GetName(), c.GetReason()))
		}
		clusters = append(clusters, c)
	}
	if len(reasons) > 0 && status.GetState() == "ok" {
		status.State = "degraded"
	}
	status.Reason, status.Clusters = strings.Join(reasons, "; "), clusters
	return status
}

// status is how the cluster is; own is the state of what feeds it.
func (f *clusterFeed) status(own *pb.StoreStatus) *pb.StoreCluster {
	writer, writes := f.feed.Writer()
	absent := f.cluster.Absent()
	c := &pb.StoreCluster{
		Name: f.cluster.Name(), State: own.GetState(), Reason: own.GetReason(), Address: f.address,
		NextOffset: own.GetNextOffset(), LagEvents: own.GetLagEvents(), Events: own.GetEvents(), OldestTime: own.GetOldestTime(),
		Whole: absent == "" && f.cluster.Away() == "" && !f.feed.Filling() && f.feed.Lost() == 0, Writer: writer, Writes: writes,
	}
	if c.GetState() == "failed" && f.cluster.Away() == "" {
		c.State = "degraded" // it answers in part
	}
	for _, d := range own.GetDays() {
		if d.GetEvents() > 0 {
			c.Days++
		}
	}
	for _, n := range f.cluster.Nodes() {
		node := &pb.StoreNode{
			Address: n.Address, State: "ok", Reason: n.Reason, Version: n.Version, Bytes: n.Bytes, FreeBytes: n.FreeBytes, Rows: n.Rows, ReadOnly: n.ReadOnly,
		}
		switch {
		case !n.Up:
			node.State = "failed"
		case n.Reason != "":
			node.State = "degraded"
		}
		if !n.Since.IsZero() {
			node.StartTime = timestamppb.New(n.Since)
		}
		c.Bytes += n.Bytes
		c.Nodes = append(c.Nodes, node)
	}
	return c
}
