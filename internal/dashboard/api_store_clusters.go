package dashboard

import (
	"time"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// StoreCluster is one cluster of VictoriaLogs that the store has the events in.
type StoreCluster struct {
	Name       string      `json:"name"`
	State      string      `json:"state" enum:"ok,degraded,failed" doc:"degraded: it is not whole, or behind; failed: it cannot be asked."`
	Reason     string      `json:"reason" doc:"Why the state is not ok."`
	Address    string      `json:"address" doc:"The vlselect that is asked."`
	Answers    bool        `json:"answers" doc:"Questions are answered out of it now."`
	Whole      bool        `json:"whole" doc:"All that the log had before next_offset is in it and can be asked for."`
	NextOffset uint64      `json:"next_offset" doc:"Its place in the log."`
	LagEvents  uint64      `json:"lag_events"`
	Events     uint64      `json:"events"`
	Bytes      uint64      `json:"bytes" doc:"On disk."`
	Days       uint32      `json:"days" doc:"That it has events of."`
	OldestTime *time.Time  `json:"oldest_time" nullable:"true"`
	Writer     string      `json:"writer" doc:"Which store writes into it; empty where that is not known."`
	Writes     bool        `json:"writes" doc:"The store that was asked is the one that writes."`
	Nodes      []StoreNode `json:"nodes" nullable:"false"`
}

// StoreNode is one storage node of a cluster.
type StoreNode struct {
	Address   string     `json:"address"`
	State     string     `json:"state" enum:"ok,degraded,failed"`
	Reason    string     `json:"reason" doc:"Why the state is not ok."`
	Version   string     `json:"version" doc:"Of VictoriaLogs; empty where it does not say."`
	Bytes     uint64     `json:"bytes" doc:"On disk."`
	FreeBytes uint64     `json:"free_bytes"`
	Rows      uint64     `json:"rows"`
	ReadOnly  bool       `json:"read_only" doc:"It takes no events, as its disk is nearly full."`
	StartTime *time.Time `json:"start_time" nullable:"true"`
}

func newStoreClusters(list []*pb.StoreCluster) []StoreCluster {
	all := make([]StoreCluster, 0, len(list))
	for _, c := range list {
		one := StoreCluster{
			Name: c.GetName(), State: c.GetState(), Reason: c.GetReason(), Address: c.GetAddress(), Answers: c.GetAnswers(), Whole: c.GetWhole(),
			NextOffset: c.GetNextOffset(), LagEvents: c.GetLagEvents(), Events: c.GetEvents(), Bytes: c.GetBytes(), Days: c.GetDays(),
			OldestTime: instant(c.GetOldestTime()), Writer: c.GetWriter(), Writes: c.GetWrites(), Nodes: []StoreNode{},
		}
		for _, n := range c.GetNodes() {
			one.Nodes = append(one.Nodes, StoreNode{
				Address: n.GetAddress(), State: n.GetState(), Reason: n.GetReason(), Version: n.GetVersion(), Bytes: n.GetBytes(),
				FreeBytes: n.GetFreeBytes(), Rows: n.GetRows(), ReadOnly: n.GetReadOnly(), StartTime: instant(n.GetStartTime()),
			})
		}
		all = append(all, one)
	}
	return all
}
