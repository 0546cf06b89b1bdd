package console

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/app/endpoint"
	"github.com/amoskys/amoskys/internal/app/remote"
	"github.com/amoskys/amoskys/internal/cli"
)

// askStore is the store's state; one that cannot be asked is down.
func askStore(ctx context.Context, e *cli.Env) (remote.StoreStatus, error) {
	s, err := remote.DialStore(e, "")
	if err != nil {
		return remote.StoreStatus{State: "down", Error: err.Error()}, err
	}
	defer func() { _ = s.Close() }() // nothing more is asked
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return s.Status(ctx)
}

// storeLine says how a store is in one line, and why in more.
func storeLine(s *remote.StoreStatus) string {
	if s.State == "down" {
		return "store down: " + cli.Clean(s.Error)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "store %s, %s of %s in %s, %s", s.State, cli.Counted(s.Events, "event", "events"),
		cli.Counted(s.Days, "day", "days"), cli.Bytes(s.Bytes), lagText(s.LagEvents))
	for _, part := range []struct {
		days []string
		what string
	}{{s.SetAside, "set aside"}, {s.Rebuilding, "being rebuilt"}} {
		if len(part.days) > 0 {
			fmt.Fprintf(&b, ", %s %s (%s)", cli.Counted(len(part.days), "day", "days"), part.what, strings.Join(part.days, ", "))
		}
	}
	if s.EngineRestarts > 0 {
		fmt.Fprintf(&b, ", engine restarted %s", cli.Counted(s.EngineRestarts, "time", "times"))
	}
	if r := s.Readings; r != nil && r.OldestTime != nil {
		fmt.Fprintf(&b, "; readings of %s since %s in %s", cli.Counted(r.Series, "series", "series"), r.OldestTime.UTC().Format(time.DateOnly), cli.Bytes(r.Bytes))
	}
	if s.Thinned > 0 {
		fmt.Fprintf(&b, ", %s in the metrics alone", cli.Counted(s.Thinned, "reading", "readings"))
	}
	for _, r := range s.Reasons {
		b.WriteString("\n  " + cli.Clean(r))
	}
	for i := range s.Clusters {
		b.WriteString("\n  " + clusterLine(&s.Clusters[i]))
	}
	return b.String()
}

// clusterLine says how a cluster is, with its nodes.
func clusterLine(c *remote.Cluster) string {
	var b strings.Builder
	fmt.Fprintf(&b, "cluster %s %s", cli.Clean(c.Name), c.State)
	for _, what := range []struct {
		so   bool
		text string
	}{{c.Answers, "answers"}, {!c.Whole, "not whole"}, {c.Writes, "written by this store"}, {!c.Writes && c.Writer != "", "written by " + cli.Clean(c.Writer)}} {
		if what.so {
			b.WriteString(", " + what.text)
		}
	}
	fmt.Fprintf(&b, ": %s of %s, at offset %d, %s", cli.Counted(c.Events, "event", "events"), cli.Counted(uint64(c.Days), "day", "days"), c.NextOffset, lagText(c.LagEvents))
	for _, n := range c.Nodes {
		fmt.Fprintf(&b, "\n    %s %s, %s", cli.Clean(n.Address), n.State, cli.Bytes(n.Bytes))
		if n.FreeBytes > 0 {
			b.WriteString(", " + cli.Bytes(n.FreeBytes) + " free")
		}
		if n.Reason != "" {
			b.WriteString(": " + cli.Clean(n.Reason))
		}
	}
	return b.String()
}

func lagText(events uint64) string {
	if events == 0 {
		return "no lag"
	}
	return cli.Counted(events, "event", "events") + " behind the log"
}

// CheckStore is what the doctor says of the store; nothing on a host that has no
// configuration of one, as those that only joined.
func CheckStore(ctx context.Context, e *cli.Env) []endpoint.Check {
	if _, err := os.Stat(e.Home.StoreConfig()); err != nil {
		return nil
	}
	s, err := askStore(ctx, e)
	c := endpoint.Check{Name: "store", Verdict: endpoint.VerdictOK, Detail: storeLine(&s)}
	switch {
	case errors.Is(err, remote.ErrStoreNotRunning):
		c.Verdict, c.Detail = endpoint.VerdictWarn, "nothing answers at "+s.Address+", so that events cannot be searched; the bus and live tail do without"
		c.Fix = "amoskys up starts it; logs/store.log says why it ended"
	case err != nil:
		c.Verdict, c.Fix = endpoint.VerdictWarn, "logs/store.log on its machine says more"
	case s.State != "ok":
		c.Verdict, c.Detail = endpoint.VerdictWarn, strings.ReplaceAll(c.Detail, "\n  ", "; ")
		c.Fix = "docs/operations.md says what to do; logs/store.log says more"
	}
	return []endpoint.Check{c}
}
