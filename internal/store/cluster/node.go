package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/amoskys/amoskys/internal/store/keeper"
	"github.com/amoskys/amoskys/internal/store/vlogs"
)

// Node is what is known of a storage node.
type Node struct {
	Address   string
	Up        bool   // it answers, and can be used
	Reason    string // why not, for people; where it is up, what is to be told all the same
	Version   string // of VictoriaLogs, "" where it does not say
	ReadOnly  bool   // it takes no rows, as its disk is nearly full
	Bytes     uint64 // of its data
	FreeBytes uint64 // of its disk
	Rows      uint64
	Since     time.Time // when it was started, to the second
}

// node is one, with what tells its process from the one before.
type node struct {
	client *vlogs.Client

	mu       sync.Mutex // guards what follows
	state    Node
	tested   float64 // start of the process that was asked whether it takes rows; 0: none
	started  float64 // start of the process, seconds since 1970; 0: none was seen
	ingested float64 // rows that it was ever given, by its own count when it was looked at last
	base     float64 // the same when given was 0
	given    uint64  // rows that we gave since
	failures int     // looks in vain, one after the other
}

// lookTimeout is how long a node may take to tell how it is, and patientLooks how many
// looks may be in vain before it is away: a busy one may need a moment.
const (
	lookTimeout  = 4 * time.Second
	patientLooks = 2
)

// Nodes are how the nodes are, in the order in which they were given.
func (c *Cluster) Nodes() []Node {
	list := make([]Node, 0, len(c.nodes))
	for _, n := range c.nodes {
		n.mu.Lock()
		list = append(list, n.state)
		n.mu.Unlock()
	}
	return list
}

// look asks all nodes and the vlselect how they are. With settled nobody gives rows to the
// nodes meanwhile, nor did a moment before. It reports whether all nodes told.
func (c *Cluster) look(ctx context.Context, settled bool) bool {
	c.looking.Lock()
	defer c.looking.Unlock()
	var asking sync.WaitGroup
	fresh, seen := make([]bool, len(c.nodes)), make([]bool, len(c.nodes))
	for i, n := range c.nodes {
		asking.Go(func() { fresh[i], seen[i] = n.look(ctx, c.o.Keeps, settled) })
	}
	var asked string
	asking.Go(func() { asked = c.tryAsking(ctx) })
	asking.Wait()
	if ctx.Err() != nil {
		return false
	}
	c.conclude(fresh, asked)
	return !slices.Contains(seen, false)
}

// conclude makes the state of what was seen.
func (c *Cluster) conclude(fresh []bool, asked string) {
	var reasons []string
	up, restarted := 0, false
	for i, n := range c.Nodes() {
		restarted = restarted || fresh[i]
		if n.Up {
			up++
		} else {
			reasons = append(reasons, fmt.Sprintf("storage node %s: %s", n.Address, n.Reason))
		}
	}
	if asked != "" {
		reasons = append(reasons, asked)
	}
	if up == 0 && asked == "" {
		asked = "none of its storage nodes can be used: " + strings.Join(reasons, "; ")
	}
	was := c.State()
	c.update(func(s *keeper.State) {
		s.Running = len(reasons) == 0
		s.Reason = strings.Join(reasons, "; ")
		if restarted {
			s.Starts++
			s.Unclean = true
		}
		c.asked = asked
		if !s.Running {
			c.lacked = time.Now()
		}
	})
	switch now := c.State(); {
	case was.Running && !now.Running:
		c.logger.Warn("the cluster is not whole: it takes no events until it is", "reason", now.Reason)
	case !was.Running && now.Running:
		c.logger.Info("the cluster is whole")
	case !now.Running && was.Reason != now.Reason:
		c.logger.Warn("the cluster is not whole", "reason", now.Reason)
	}
}

// tryAsking reports why questions cannot be asked, "" where they can.
func (c *Cluster) tryAsking(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	found := false
	// A time without events: nobody has to look for any.
	q := vlogs.Query{Text: "_time:[1980-01-01Z, 1980-01-02Z) | stats count() n", Partial: true, Timeout: lookTimeout}
	err := c.query.Query(ctx, q, func(row []vlogs.Field) error {
		found = len(row) == 1 && row[0].Name == "n"
		return nil
	})
	refused := &vlogs.RefusedError{}
	late := errors.Is(err, context.DeadlineExceeded)
	if !late {
		c.late = 0
	}
	switch {
	case errors.Is(err, vlogs.ErrNodeAway), errors.Is(err, vlogs.ErrBusy): // it is there, and tells of others
		return ""
	case late && c.Away() == "" && c.late+1 < patientLooks: // others may ask much of it
		c.late++
		return ""
	case errors.As(err, &refused):
		return fmt.Sprintf("%s answers no questions, and is no vlselect (%.200s)", c.o.Select.Address, err)
	case err != nil:
		return fmt.Sprintf("vlselect %s: %v", c.o.Select.Address, err)
	case !found:
		return c.o.Select.Address + " answers something else than VictoriaLogs"
	}
	return ""
}

// look asks a node how it is. fresh says that its process is another one than before: it
// was started at another second, or counts fewer rows than it was given. Its page may be
// a second old, so that what was given lately tells only where it is settled. seen says
// that it told.
func (n *node) look(ctx context.Context, keeps time.Duration, settled bool) (fresh, seen bool) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	m, err := n.client.Metrics(ctx)
	s := Node{Address: n.known().Address}
	if err == nil {
		s.read(m, keeps)
		err = n.test(ctx, &s, m[startMetric])
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case err == nil:
		n.failures = 0
	case errors.Is(err, syscall.ECONNREFUSED):
		n.failures = patientLooks
	default:
		n.failures++
	}
	if err != nil {
		if n.failures >= patientLooks || !n.state.Up {
			n.state.Up, n.state.Reason = false, plain(err)
		}
		return false, false
	}
	n.state = s
	if !s.Up {
		return false, true
	}
	started, ingested := m[startMetric], m[ingestedMetric]
	fresh = started != n.started || ingested < n.ingested || settled && ingested < n.base+float64(n.given)
	if fresh {
		n.started, n.base, n.given = started, ingested, 0
	}
	n.ingested = ingested
	return fresh, true
}

func (n *node) known() Node {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.state
}

// test asks a process that was not asked before whether it takes rows of ours, without any.
func (n *node) test(ctx context.Context, s *Node, started float64) error {
	n.mu.Lock()
	tested := n.tested == started
	n.mu.Unlock()
	if !s.Up || tested {
		return nil
	}
	err := n.client.TakesRows(ctx)
	refused := &vlogs.RefusedError{}
	switch {
	case err == nil, errors.Is(err, vlogs.ErrReadOnly):
	case errors.As(err, &refused):
		s.Up, s.Reason = false, fmt.Sprintf("it takes no rows of ours; its version may be another than ours, %s (%.300s)", ourVersion, refused.Text)
		return nil
	default:
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tested = started
	return nil
}

// ourVersion is the version of VictoriaLogs that we know.
const ourVersion = "v1.52.1"

// Metrics of a storage node.
const (
	startMetric      = "process_start_time_seconds"
	partitionsMetric = "vl_partitions"
	ingestedMetric   = `vl_rows_ingested_total{type="nativeinsert"}`
)

// read takes a node's metrics.
func (s *Node) read(m map[string]float64, keeps time.Duration) {
	if _, ok := m[partitionsMetric]; !ok {
		s.Reason = "it is no storage node of VictoriaLogs: its page /metrics has no " + partitionsMetric + " (a vlinsert or vlselect keeps nothing itself)"
		return
	}
	s.Up = true
	s.Since = time.Unix(int64(m[startMetric]), 0).UTC()
	for name, value := range m {
		switch kind, _, _ := strings.Cut(name, "{"); kind {
		case "vl_storage_rows":
			s.Rows += uint64(max(value, 0))
		case "vl_data_size_bytes":
			s.Bytes += uint64(max(value, 0))
		case "vl_free_disk_space_bytes":
			s.FreeBytes = uint64(max(value, 0))
		case "vl_storage_is_read_only":
			s.ReadOnly = value == 1
		case "vm_app_version":
			s.Version = label(name, "short_version")
		case "flag":
			s.readFlag(label(name, "name"), label(name, "value"), keeps)
		}
	}
	if s.Reason == "" && s.ReadOnly {
		s.Reason = "it takes no rows, as its disk is nearly full"
	}
	if s.Reason == "" && newer(s.Version, ourVersion) {
		s.Reason = "it is of version " + s.Version + ", and this program was tried with " + ourVersion
	}
}

// readFlag looks at a flag of VictoriaLogs' own server, which shows them as metrics.
func (s *Node) readFlag(name, value string, keeps time.Duration) {
	switch {
	case name == "delete.enable" && value == "false":
		s.Up, s.Reason = false, "it deletes nothing, which a store must: start it with -delete.enable"
	case name == "retentionPeriod" && keeps > 0:
		if d, ok := parseRetention(value); ok && d < keeps {
			s.Up = false
			s.Reason = fmt.Sprintf("it keeps events for %s, which is shorter than the store's retention_days (%d): start it with -retentionPeriod=100y",
				value, int(keeps/(24*time.Hour)))
		}
	}
}

// parseRetention reads a duration as VictoriaMetrics' flags have it: a number of months,
// or with a unit h, d, w or y (lib/flagutil).
func parseRetention(text string) (time.Duration, bool) {
	const dayLong = 24 * time.Hour
	unit := 31 * dayLong
	for suffix, d := range map[string]time.Duration{"h": time.Hour, "d": dayLong, "w": 7 * dayLong, "y": 365 * dayLong} {
		if number, ok := strings.CutSuffix(text, suffix); ok {
			text, unit = number, d
			break
		}
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n < 0 {
		return 0, false
	}
	const longest = 280 * 365 * dayLong
	if n > float64(longest/unit) {
		return longest, true
	}
	return time.Duration(n * float64(unit)), true
}

// label is the value of a label in a metric's name, without what is escaped in it.
func label(metric, name string) string {
	_, rest, ok := strings.Cut(metric, name+`="`)
	if !ok {
		return ""
	}
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// newer compares versions such as v1.52.1.
func newer(a, b string) bool {
	x, okA := parseVersion(a)
	y, okB := parseVersion(b)
	if !okA || !okB {
		return false
	}
	for i := range x {
		if x[i] != y[i] {
			return x[i] > y[i]
		}
	}
	return false
}

func parseVersion(text string) (v [3]int, ok bool) {
	parts := strings.SplitN(strings.TrimPrefix(text, "v"), ".", 3)
	if len(parts) != 3 {
		return v, false
	}
	for i, p := range parts {
		n, err := strconv.Atoi(p)
		if err != nil {
			return v, false
		}
		v[i] = n
	}
	return v, true
}

// plain is what an error says, without what the place that shows it says already.
func plain(err error) string {
	return fmt.Sprintf("%.300s", strings.TrimPrefix(err.Error(), "read the metrics of the store's engine: "))
}
