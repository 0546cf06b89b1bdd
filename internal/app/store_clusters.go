package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/amoskys/amoskys/internal/clock"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/limit"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/spans"
	"github.com/amoskys/amoskys/internal/store"
	"github.com/amoskys/amoskys/internal/store/answers"
	"github.com/amoskys/amoskys/internal/store/cluster"
	"github.com/amoskys/amoskys/internal/store/ingest"
	"github.com/amoskys/amoskys/internal/store/pick"
	"github.com/amoskys/amoskys/internal/store/vlogs"
)

// clusterFeed is one cluster with what feeds it.
type clusterFeed struct {
	cluster *cluster.Cluster
	turn    *cluster.Turn
	feed    *ingest.Ingest
	address string // of its vlselect
}

// newClusters returns what keeps the events in clusters: each has a place of its own in
// the log, and questions are answered out of the best.
func newClusters(
	conn *grpc.ClientConn, home config.Home, cfg *store.Config, folder string, believed *clock.Clock, registry *prometheus.Registry, logger *slog.Logger, traces *spans.Recorder,
) (*eventKeeper, error) {
	owner, err := ownerName(folder)
	if err != nil {
		return nil, err
	}
	k := &eventKeeper{end: func() error { return nil }}
	var feeds []*clusterFeed
	var sources []pick.Source
	var service *pick.Service
	var memory *limit.Budget
	for i := range cfg.Store.Clusters {
		f, err := newClusterFeed(conn, home, cfg, i, filepath.Join(folder, "clusters"), owner, believed, registry, logger, traces)
		if err != nil {
			return nil, err
		}
		feeds = append(feeds, f)
		name := f.cluster.Name()
		options := answersOptions(conn, f.cluster.Client(), f.feed, f.cluster.Away)
		options.Memory = memory
		options.Lacks = func(since, until time.Time) []*pb.Lack {
			return append(append(f.feed.Lacks(since, until), f.lacks()...), service.Lacks(name, since)...)
		}
		options.Status = f.feed.Status
		one := answers.New(options)
		memory = one.Memory()
		sources = append(sources, pick.Source{Name: name, Query: one, Standing: f.standing})
		k.parts = append(k.parts, part{"cluster " + name, f.cluster.Run}, part{"reading the log for cluster " + name, f.run})
	}
	began := time.Now()
	service = pick.New(func() *pb.StatusResponse { return statusOf(k.status(), began) }, sources...)
	k.query, k.earlier, k.memory = service, service, memory
	k.status = func() *pb.StoreStatus { return clustersStatus(service, feeds) }
	k.ready = func() bool {
		for _, f := range feeds {
			if f.cluster.Away() == "" {
				return true
			}
		}
		return false
	}
	return k, nil
}

// newClusterFeed returns the i-th cluster of the configuration.
func newClusterFeed(
	conn *grpc.ClientConn, home config.Home, cfg *store.Config, i int, folder, owner string, believed *clock.Clock, registry *prometheus.Registry, logger *slog.Logger, traces *spans.Recorder,
) (*clusterFeed, error) {
	c := &cfg.Store.Clusters[i]
	logger = logger.With("cluster", c.Name)
	f := &clusterFeed{address: c.Select}
	o := cluster.Options{
		Name: c.Name, Keeps: cfg.Store.Retention(), Logger: logger, Events: func() map[string]uint64 { p := f.feed.Place(); return p.Days },
	}
	var err error
	if o.Select, err = clusterAddress(home, c, c.Select); err != nil {
		return nil, err
	}
	o.Select.Wrap = traces.Transport
	for _, node := range c.Nodes {
		n, err := clusterAddress(home, c, node)
		if err != nil {
			return nil, err
		}
		o.Nodes = append(o.Nodes, n)
	}
	if f.cluster, err = cluster.New(o); err != nil {
		return nil, err
	}
	f.turn = f.cluster.Turn()
	f.feed, err = ingest.New(ingest.Options{
		Engine: f.cluster.Engine(), Source: reader.NewRemote(conn), Path: filepath.Join(folder, c.Name), Logger: logger,
		Registerer: prometheus.WrapRegistererWith(prometheus.Labels{"cluster": c.Name}, registry), ReaderRegisterer: registry, Now: believed.Now,
		Cursor: "store-" + c.Name, Refill: true, Free: f.cluster.Free,
		AtOnce: min(len(c.Nodes), mostAtOnce),
		Turn:   ingest.TurnOptions{Turn: f.turn, Owner: owner, Standby: !cfg.Store.Writes},
		// How full the disks of others are is theirs to see to: nodes take no rows then.
		Retention: ingest.Retention{Days: cfg.Store.RetentionDays, Bytes: int64(cfg.Store.RetentionSizeMB) << 20, ByType: cfg.Store.RetentionByType},
	})
	return f, err
}

// mostAtOnce is how many batches are given to a cluster at the same time at most: each is a
// few MiB of memory.
const mostAtOnce = 16

// run feeds the cluster until ctx ends.
func (f *clusterFeed) run(ctx context.Context) error {
	defer f.turn.Close()
	return f.feed.Run(ctx)
}

// ownerName is the name of this store among those that may feed a cluster: that of its
// machine and a word that it keeps in its folder.
func ownerName(folder string) (string, error) {
	name := filepath.Join(folder, "owner")
	text, err := os.ReadFile(name)
	if err == nil && len(text) > 0 && len(text) < 200 {
		return string(text), nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("read the store's name: %w", err)
	}
	owner := hostName() + "-" + randomWord()
	if err := os.WriteFile(name, []byte(owner), 0o600); err != nil {
		return "", fmt.Errorf("keep the store's name: %w", err)
	}
	return owner, nil
}

func hostName() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "store"
	}
	return name
}

// clusterAddress is how a server of a cluster is spoken to.
func clusterAddress(home config.Home, c *store.ClusterConfig, address string) (vlogs.Options, error) {
	o := vlogs.Options{Address: address, Timeout: c.Timeout()}
	if c.Username != "" || c.Bearer != "" {
		o.Authorization = func() (string, error) { return authorization(home, c) }
		if _, err := o.Authorization(); err != nil { // said at the start, not at the first event
			return o, fmt.Errorf("store.clusters, %s: %w", c.Name, err)
		}
	}
	if c.TLS == (store.ClusterTLSConfig{}) {
		return o, nil
	}
	o.TLS = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.TLS.ServerName}
	if c.TLS.CACert != "" {
		text, err := os.ReadFile(home.Path(c.TLS.CACert))
		if err != nil {
			return o, fmt.Errorf("read tls.ca_cert of cluster %s: %w", c.Name, err)
		}
		o.TLS.RootCAs = x509.NewCertPool()
		if !o.TLS.RootCAs.AppendCertsFromPEM(text) {
			return o, fmt.Errorf("read tls.ca_cert of cluster %s: %s holds no certificate", c.Name, c.TLS.CACert)
		}
	}
	if c.TLS.CertFile != "" {
		cert, key := home.Path(c.TLS.CertFile), home.Path(c.TLS.KeyFile)
		if _, err := tls.LoadX509KeyPair(cert, key); err != nil {
			return o, fmt.Errorf("read the certificate for cluster %s: %w", c.Name, err)
		}
		o.TLS.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(cert, key) // it may have been renewed
			return &pair, err
		}
	}
	return o, nil
}

// authorization is the header that shows who the store is; secrets are read anew each time.
func authorization(home config.Home, c *store.ClusterConfig) (string, error) {
	if c.Bearer != "" {
		token, err := c.Bearer.RevealIn(home)
		return "Bearer " + token, err
	}
	password, err := c.Password.RevealIn(home)
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(c.Username+":"+password)), err
}

// standing is how well the cluster can answer.
func (f *clusterFeed) standing() pick.Standing {
	s := pick.Standing{
		Away: f.cluster.Away() != "", Partial: f.cluster.Absent() != "", Filling: f.feed.Filling(), Lost: f.feed.Lost(),
		Log: f.feed.Log(), Next: f.feed.Inserted(), Oldest: f.feed.Oldest(),
	}
	return s
}

// lacks are the events of storage nodes that are away.
func (f *clusterFeed) lacks() []*pb.Lack {
	if absent := f.cluster.Absent(); absent != "" {
		return []*pb.Lack{{Place: "store", Reason: "storage nodes of cluster " + f.cluster.Name() + " are away, with a part of the events: " + absent}}
	}
	return nil
}

// statusOf is the answer of the Query service about the store.
func statusOf(s *pb.StoreStatus, began time.Time) *pb.StatusResponse {
	r := &pb.StatusResponse{State: s.GetState(), Version: obs.ReadBuild().Version, Uptime: uptime(began), EventsTotal: s.GetEvents(), Store: s}
	if s.GetReason() != "" {
		r.Reasons = []string{s.GetReason()}
	}
	return r
}
