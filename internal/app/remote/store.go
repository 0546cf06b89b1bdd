package remote

import (
	"context"
	"time"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/store"
)

// Store is a connection to a store.
type Store struct {
	*line

	Query     pb.QueryClient
	Devices   pb.DevicesClient
	Metrics   pb.MetricsClient
	Snapshots pb.SnapshotsClient
	Addr      string // host:port

	own    *line   // the first one
	others []*line // that are asked while that is away (DialStores)
}

// StoreAddress is where the store of e.Home is reached from here: from the
// environment (STORE_HOST, STORE_PORT), else from the store's own configuration.
func StoreAddress(e *cli.Env) (string, error) {
	cfg := store.DefaultConfig()
	if err := config.Load(e.Home.StoreConfig(), &cfg, config.DecodeOptions{Env: e.Lookup}); err != nil {
		return "", err
	}
	return place(e, cfg.Server.Host, cfg.Server.Port, config.EnvStoreHost, config.EnvStorePort)
}

// DialStore prepares a connection to the store at addr; empty means StoreAddress.
// Nothing is sent yet: the first call finds out whether there is a store. The caller
// closes it.
func DialStore(e *cli.Env, addr string) (*Store, error) {
	if addr == "" {
		var err error
		if addr, err = StoreAddress(e); err != nil {
			return nil, err
		}
	}
	l, err := prepare(e, addr, storeEnd())
	if err != nil {
		return nil, err
	}
	return &Store{line: l, Query: pb.NewQueryClient(l.conn), Devices: pb.NewDevicesClient(l.conn), Metrics: pb.NewMetricsClient(l.conn), Snapshots: pb.NewSnapshotsClient(l.conn), Addr: addr, own: l}, nil
}

// StoreStatus is the store's part of `amoskys status --json`. State is ok, degraded,
// failed, or down when it does not answer; Error then says why. Keys are only ever
// added.
type StoreStatus struct {
	State          string     `json:"state"`
	Address        string     `json:"address,omitempty"` // as it was dialled
	Version        string     `json:"version"`
	Reasons        []string   `json:"reasons,omitempty"`
	Error          string     `json:"error,omitempty"`
	Events         uint64     `json:"events"`
	Bytes          uint64     `json:"bytes"`
	FreeBytes      uint64     `json:"free_bytes"`
	Days           int        `json:"days"` // that it has events of
	OldestTime     *time.Time `json:"oldest_time,omitempty"`
	LagEvents      uint64     `json:"lag_events"` // of the log, that are not stored yet
	NextOffset     uint64     `json:"next_offset"`
	SetAside       []string   `json:"set_aside,omitempty"`  // days whose files are damaged
	Rebuilding     []string   `json:"rebuilding,omitempty"` // days that are read again from the log
	EngineRestarts uint64     `json:"engine_restarts"`
	Thinned        uint64     `json:"thinned"` // readings left out, for the metrics alone
	RetentionDays  float64    `json:"retention_days"`
	RetentionBytes uint64     `json:"retention_bytes"` // 0: no bound
	Readings       *Readings  `json:"readings,omitempty"`
	Clusters       []Cluster  `json:"clusters,omitempty"` // that keep the events, each all of them
}

// Cluster is one cluster of VictoriaLogs that the store has the events in.
type Cluster struct {
	Name       string        `json:"name"`
	State      string        `json:"state"` // ok, degraded or failed
	Reason     string        `json:"reason,omitempty"`
	Answers    bool          `json:"answers"` // questions are answered out of it now
	Whole      bool          `json:"whole"`
	NextOffset uint64        `json:"next_offset"`
	LagEvents  uint64        `json:"lag_events"`
	Events     uint64        `json:"events"`
	Bytes      uint64        `json:"bytes"`
	Days       uint32        `json:"days"`
	Writer     string        `json:"writer,omitempty"` // the store that writes into it
	Writes     bool          `json:"writes"`           // it is the one that was asked
	Nodes      []ClusterNode `json:"nodes"`
}

// ClusterNode is a storage node of a cluster.
type ClusterNode struct {
	Address   string `json:"address"`
	State     string `json:"state"` // ok, degraded or failed
	Reason    string `json:"reason,omitempty"`
	Version   string `json:"version,omitempty"`
	Bytes     uint64 `json:"bytes"`
	FreeBytes uint64 `json:"free_bytes"`
	Rows      uint64 `json:"rows"`
	ReadOnly  bool   `json:"read_only"`
}

func clustersOf(list []*pb.StoreCluster) (all []Cluster) {
	for _, c := range list {
		one := Cluster{
			Name: c.GetName(), State: c.GetState(), Reason: c.GetReason(), Answers: c.GetAnswers(), Whole: c.GetWhole(), NextOffset: c.GetNextOffset(),
			LagEvents: c.GetLagEvents(), Events: c.GetEvents(), Bytes: c.GetBytes(), Days: c.GetDays(), Writer: c.GetWriter(), Writes: c.GetWrites(),
		}
		for _, n := range c.GetNodes() {
			one.Nodes = append(one.Nodes, ClusterNode{
				Address: n.GetAddress(), State: n.GetState(), Reason: n.GetReason(), Version: n.GetVersion(),
				Bytes: n.GetBytes(), FreeBytes: n.GetFreeBytes(), Rows: n.GetRows(), ReadOnly: n.GetReadOnly(),
			})
		}
		all = append(all, one)
	}
	return all
}

// Readings is what the store's database of readings holds.
type Readings struct {
	State      string     `json:"state"`
	Series     uint64     `json:"series"` // of the last hours
	Bytes      uint64     `json:"bytes"`
	OldestTime *time.Time `json:"oldest_time,omitempty"`
	LagEvents  uint64     `json:"lag_events"`
	SetAside   int        `json:"set_aside"` // parts that could not be used
}

func readingsOf(r *pb.ReadingsStatus) *Readings {
	if r == nil {
		return nil
	}
	out := &Readings{State: r.GetState(), Series: r.GetSeries(), Bytes: r.GetBytes(), LagEvents: r.GetLagEvents(), SetAside: len(r.GetSetAside())}
	if at := r.GetOldestTime(); at != nil {
		t := at.AsTime()
		out.OldestTime = &t
	}
	return out
}

// Status asks the store for itself. With an error, the StoreStatus says that it is
// down and why.
func (s *Store) Status(ctx context.Context) (StoreStatus, error) {
	r, err := s.Query.Status(ctx, &pb.StatusRequest{})
	if err != nil {
		err = s.Explain(err)
		return StoreStatus{State: "down", Address: s.Addr, Error: err.Error()}, err
	}
	out := StoreOf(r)
	out.Address = s.Addr
	return out, nil
}

// StoreOf is the store's answer as we print it.
func StoreOf(r *pb.StatusResponse) StoreStatus {
	s := r.GetStore()
	out := StoreStatus{
		State: s.GetState(), Version: r.GetVersion(), Reasons: r.GetReasons(), Events: s.GetEvents(), Bytes: s.GetBytes(),
		FreeBytes: s.GetFreeBytes(), LagEvents: s.GetLagEvents(), NextOffset: s.GetNextOffset(), EngineRestarts: s.GetEngineRestarts(), Thinned: s.GetThinned(),
		RetentionDays: s.GetRetention().AsDuration().Hours() / 24, RetentionBytes: s.GetRetentionBytes(),
		Readings: readingsOf(s.GetReadings()), Clusters: clustersOf(s.GetClusters()),
	}
	if at := s.GetOldestTime(); at != nil {
		t := at.AsTime()
		out.OldestTime = &t
	}
	for _, d := range s.GetDays() {
		switch d.GetState() {
		case "set_aside":
			out.SetAside = append(out.SetAside, d.GetDay())
		case "rebuilding":
			out.Rebuilding = append(out.Rebuilding, d.GetDay())
		}
		if d.GetEvents() > 0 {
			out.Days++
		}
	}
	return out
}
