package console

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/amoskys/amoskys/internal/app/remote"
	"github.com/amoskys/amoskys/internal/cli"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

func hostTable(nodes []remote.NodeStatus) *cli.Table {
	t := cli.NewTable("HOST", "NODE", "LAST SEEN", ">AGENTS", "VERSION", "NOTE")
	for _, n := range nodes {
		t.Row(n.Host, n.State, ago(n.LastSeen), n.Agents, n.Version, n.Detail)
	}
	return t
}

// ago says how long ago a time was.
func ago(t time.Time) string { return cli.Duration(max(time.Since(t), 0).Round(time.Second)) + " ago" }

// ListHosts prints every host that has or had a node.
func ListHosts(ctx context.Context, e *cli.Env, asJSON bool) error {
	s, err := ask(ctx, e)
	if err != nil {
		return err
	}
	if !asJSON {
		if len(s.Nodes) == 0 {
			fmt.Fprintln(e.Stdout, "no hosts: no node has connected yet")
			return nil
		}
		return hostTable(s.Nodes).Write(e.Stdout)
	}
	for _, n := range s.Nodes {
		if err := cli.WriteJSONLine(e.Stdout, n); err != nil {
			return err
		}
	}
	return nil
}

// ForgetHosts takes hosts that are gone, with their agents, off all lists. One that
// cannot be forgotten does not keep the others.
func ForgetHosts(ctx context.Context, e *cli.Env, hosts []string) error {
	c, err := remote.Dial(e, "")
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // nothing more is asked
	var failed error
	for _, host := range hosts {
		asking, cancel := context.WithTimeout(ctx, askTimeout)
		r, err := c.Fleet.ForgetHost(asking, &pb.ForgetHostRequest{Host: host, Actor: actor()})
		cancel()
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("forget %s: %w", host, c.Explain(err)))
			continue
		}
		fmt.Fprintf(e.Stdout, "%s is forgotten, with %s; its events and certificates stay (amoskys agents revoke %s keeps it out)\n",
			cli.Clean(host), cli.Counted(uint64(r.GetAgents()), "agent", "agents"), cli.Clean(host))
	}
	return failed
}
