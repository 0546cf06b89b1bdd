package dashboard

import (
	"context"
	"time"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// StoreAnswer is how the store is, and what it holds.
type StoreAnswer struct {
	State   string      `json:"state" doc:"ok, degraded or failed; of the service."`
	Reasons []string    `json:"reasons" nullable:"false" doc:"Why the state is not ok, one sentence each."`
	Version string      `json:"version"`
	Store   StoreDetail `json:"store"`
	Time    time.Time   `json:"time" doc:"When it was so."`
}

// StoreDetail is StoreStatus with what an operator wants to know.
type StoreDetail struct {
	StoreStatus

	Bytes            uint64     `json:"bytes" doc:"On disk."`
	FreeBytes        uint64     `json:"free_bytes" doc:"Of the disk that it lies on."`
	RetentionSeconds *float64   `json:"retention_seconds" nullable:"true" doc:"How long events are kept; null: no limit by time."`
	RetentionBytes   uint64     `json:"retention_bytes" doc:"How many bytes are kept; 0: no limit by size."`
	EngineRestarts   uint64     `json:"engine_restarts" doc:"How often the engine was started again since the store began."`
	Days             []StoreDay `json:"days" nullable:"false" doc:"Newest first."`
	Readings         Readings   `json:"readings" doc:"The database of readings, which PromQL is asked of."`

	Clusters []StoreCluster `json:"clusters" nullable:"false" doc:"The clusters that keep the events, each all of them; none where the store keeps them itself."`
}

// Readings is what the database of readings holds.
type Readings struct {
	State            string     `json:"state" enum:"ok,degraded,none" doc:"none: the store keeps none."`
	Reason           string     `json:"reason" doc:"Why the state is not ok."`
	Series           uint64     `json:"series" doc:"Series of the last hours."`
	OldestTime       *time.Time `json:"oldest_time" nullable:"true" doc:"Of the oldest reading; null: there is none."`
	Bytes            uint64     `json:"bytes" doc:"On disk."`
	LagEvents        uint64     `json:"lag_events" doc:"Events of the log whose readings are not written yet."`
	RetentionSeconds float64    `json:"retention_seconds"`
	RetentionBytes   uint64     `json:"retention_bytes" doc:"How many bytes are kept; 0: no limit by size."`
	SetAside         int        `json:"set_aside" doc:"Parts that could not be used, ever."`
}

func newReadings(r *pb.ReadingsStatus) Readings {
	if r == nil {
		return Readings{State: "none"}
	}
	out := Readings{
		State: r.GetState(), Reason: r.GetReason(), Series: r.GetSeries(), Bytes: r.GetBytes(), LagEvents: r.GetLagEvents(),
		RetentionSeconds: r.GetRetention().AsDuration().Seconds(), RetentionBytes: r.GetRetentionBytes(), SetAside: len(r.GetSetAside()),
	}
	if at := r.GetOldestTime(); at != nil {
		t := at.AsTime()
		out.OldestTime = &t
	}
	return out
}

// StoreDay is what the store holds of one day (UTC).
type StoreDay struct {
	Day    string `json:"day" doc:"YYYY-MM-DD, UTC."`
	Events uint64 `json:"events"`
	Bytes  uint64 `json:"bytes"`
	State  string `json:"state" enum:"ok,rebuilding,set_aside" doc:"rebuilding from the log; set_aside: damaged, its folder is kept."`
	Reason string `json:"reason" doc:"Why the state is not ok."`
}

// store answers GET /api/store.
func (s *Server) store(ctx context.Context, _ *struct{}) (*StoreAnswer, error) {
	ctx, cancel := s.hub.call(ctx)
	defer cancel()
	found, err := s.stored().Status(ctx, &pb.StatusRequest{})
	if err != nil {
		return nil, s.storeProblem(err)
	}
	st := found.GetStore()
	detail := StoreDetail{
		StoreStatus: newStoreStatus(st), Bytes: st.GetBytes(), FreeBytes: st.GetFreeBytes(),
		RetentionBytes: st.GetRetentionBytes(), EngineRestarts: st.GetEngineRestarts(), Days: []StoreDay{}, Readings: newReadings(st.GetReadings()),
		Clusters: newStoreClusters(st.GetClusters()),
	}
	if keep := st.GetRetention(); keep != nil {
		seconds := keep.AsDuration().Seconds()
		detail.RetentionSeconds = &seconds
	}
	for _, d := range st.GetDays() {
		detail.Days = append(detail.Days, StoreDay{d.GetDay(), d.GetEvents(), d.GetBytes(), d.GetState(), d.GetReason()})
	}
	return &StoreAnswer{
		State: found.GetState(), Reasons: append([]string{}, found.GetReasons()...), Version: found.GetVersion(), Store: detail, Time: s.o.Now().UTC(),
	}, nil
}
