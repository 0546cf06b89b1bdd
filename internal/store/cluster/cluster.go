// Package cluster keeps events in a cluster of VictoriaLogs (v1.52,
// docs.victoriametrics.com/victorialogs/cluster) that others run, as package keeper does
// in a process of ours: rows go to its storage nodes, questions to a vlselect, and what
// is asked for only there, flushes, snapshots, counters and deletions, to each node.
//
// Rows are given to the storage nodes themselves. A vlinsert says yes before any node has
// them, keeps them in memory, gives them to another node where it did not hear an answer,
// and gives out late what it could not before: behind it no barrier is exact, and rows
// would be lost or there twice (docs/decisions/0020).
//
//	what happens                      what is done
//	a node is away, or slow           no rows are given to any node, and the log keeps them;
//	                                  answers lack its rows, and say so (Client.Query)
//	a node was started again          as when the engine of one machine ends: what is behind
//	                                  the last barrier is deleted on all nodes and given again
//	a node has fewer rows than it had whoever feeds the cluster fills it again (ingest.Options)
//	a node takes no rows (disk full)  the others do; where none does, the log keeps them
//	an address is something else      its words say what is wrong, and nothing is given
package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/store/keeper"
	"github.com/amoskys/amoskys/internal/store/vlogs"
)

// Options say where a cluster is. Name, Select and Nodes are required.
type Options struct {
	Name   string
	Select vlogs.Options   // who answers questions: a vlselect that knows all Nodes
	Nodes  []vlogs.Options // storage nodes
	// Keeps is for how long each node must keep rows by its own flags; 0: they are not
	// looked at.
	Keeps time.Duration
	// Events are how many rows each day has, by which the bytes of days are told (Days).
	Events func() map[string]uint64
	Logger *slog.Logger // nil logs nowhere
	// LookEvery is how often it is looked how the nodes are, 2 s.
	LookEvery time.Duration
}

// Cluster is one of them. Run must be called once.
type Cluster struct {
	o      Options
	logger *slog.Logger
	query  *vlogs.Client
	nodes  []*node
	urgent chan struct{} // something failed: it is looked at once

	looking sync.Mutex // one look at a time
	late    int        // looks, one after the other, that the vlselect did not answer in time; looking guards it
	// still is full while a barrier waits until nothing is in the nodes' memory: what is
	// written down of turns meanwhile would be, and have the barrier begin again.
	still chan struct{}

	mu      sync.Mutex // guards what follows
	state   keeper.State
	changed chan struct{} // closed at each change of state
	next    int           // node that is given the next rows
	asked   string        // why questions cannot be asked, "" where they can
	lacked  time.Time     // when an answer may last have lacked rows of a node
}

// New returns a cluster that nobody looks at yet.
func New(o Options) (*Cluster, error) {
	if o.Name == "" || o.Select.Address == "" || len(o.Nodes) == 0 {
		return nil, errors.New("make a cluster: name, select and nodes are required")
	}
	if o.Logger == nil {
		o.Logger = obs.Discard()
	}
	if o.LookEvery <= 0 {
		o.LookEvery = 2 * time.Second
	}
	if o.Events == nil {
		o.Events = func() map[string]uint64 { return nil }
	}
	o.Select.Cluster = true
	c := &Cluster{
		o: o, logger: o.Logger.With("cluster", o.Name), query: vlogs.NewClient(o.Select), changed: make(chan struct{}), urgent: make(chan struct{}, 1), still: make(chan struct{}, 1),
		state: keeper.State{Reason: "it was not looked at yet"}, asked: "it was not looked at yet",
	}
	for _, n := range o.Nodes {
		c.nodes = append(c.nodes, &node{client: vlogs.NewClient(n), state: Node{Address: n.Address, Reason: "it was not looked at yet"}})
	}
	return c, nil
}

// Name is the cluster's.
func (c *Cluster) Name() string { return c.o.Name }

// Client gives rows and asks. It is good for as long as the cluster is.
func (c *Cluster) Client() *Client { return &Client{c: c} }

// Run looks how the nodes are until ctx ends.
func (c *Cluster) Run(ctx context.Context) error {
	defer c.query.Close()
	for _, n := range c.nodes {
		defer n.client.Close()
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-c.urgent:
		}
		c.look(ctx, false)
		timer.Reset(c.o.LookEvery)
	}
}

// State is what is known of the cluster now: it runs while all of its nodes do, and
// Starts counts how often one of them was started since Run.
func (c *Cluster) State() keeper.State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// Wait returns the state once the cluster runs and one of its nodes was started after the
// first `after` times (0 for any), or the error of ctx.
func (c *Cluster) Wait(ctx context.Context, after uint64) (keeper.State, error) {
	for {
		c.mu.Lock()
		s, changed := c.state, c.changed
		c.mu.Unlock()
		if s.Running && s.Starts > after {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return s, fmt.Errorf("wait for cluster %s (%s): %w", c.o.Name, s.Reason, context.Cause(ctx))
		case <-changed:
		}
	}
}

// Mended says that what was behind the last barrier is deleted, as keeper.Keeper.Mended.
func (c *Cluster) Mended(_ context.Context, s keeper.State) error {
	c.update(func(now *keeper.State) { now.Unclean = now.Unclean && now.Starts != s.Starts })
	return nil
}

// Rebuilt is for days that were set aside, which a cluster has none of.
func (c *Cluster) Rebuilt(folder string) error {
	return fmt.Errorf("nothing was set aside as %s in cluster %s", folder, c.o.Name)
}

func (c *Cluster) update(change func(*keeper.State)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.state)
	close(c.changed)
	c.changed = make(chan struct{})
}

// Away says why nothing can be asked of the cluster, "" where some of its nodes answer.
func (c *Cluster) Away() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked != "" {
		return "cluster " + c.o.Name + ": " + c.asked
	}
	return ""
}

// lackedFor is how long after its end an absence of a node is told in answers: those that
// began before lack its rows.
const lackedFor = time.Minute

// Absent are the nodes that are away, or were a moment ago, for people; "" where all are
// there and were.
func (c *Cluster) Absent() string {
	var away []string
	for _, n := range c.Nodes() {
		if !n.Up {
			away = append(away, n.Address+" ("+n.Reason+")")
		}
	}
	if len(away) > 0 {
		return strings.Join(away, ", ")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.lacked.IsZero() && time.Since(c.lacked) < lackedFor {
		return "one that is back since"
	}
	return ""
}

// soon has the cluster looked at without delay.
func (c *Cluster) soon() {
	select {
	case c.urgent <- struct{}{}:
	default:
	}
}
