// Package console is what the commands that look and steer print: status, agents
// and configuration, as tables for people and JSON for scripts.
package console

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/app"
	"github.com/amoskys/amoskys/internal/app/remote"
	"github.com/amoskys/amoskys/internal/app/standalone"
	"github.com/amoskys/amoskys/internal/cli"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Times that commands wait for the hub.
const (
	askTimeout     = 5 * time.Second
	commandTimeout = 40 * time.Second // more than hub and node allow themselves
)

// Status prints the hub, the store and every agent. A hub that does not answer is an
// error; what needs no store works without one.
func Status(ctx context.Context, e *cli.Env, asJSON bool) error {
	s, err := ask(ctx, e)
	store, _ := askStore(ctx, e) // it says so itself
	s.Store = &store
	s.Roles, s.UpSince = standalone.Running(e.Home)
	if !asJSON {
		if err != nil {
			return errors.Join(printRoles(e, s), err)
		}
		return printStatus(e, s)
	}
	if writeErr := cli.WriteJSON(e.Stdout, s); writeErr != nil {
		return writeErr
	}
	return err
}

func ask(ctx context.Context, e *cli.Env) (remote.Status, error) {
	c, err := remote.Dial(e, "")
	if err != nil {
		return remote.Down(err), err
	}
	defer func() { _ = c.Close() }() // nothing more is asked
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return c.Status(ctx)
}

func printStatus(e *cli.Env, s remote.Status) error {
	h := s.Hub
	fmt.Fprintf(e.Stdout, "hub %s, version %s, up %s, %s ev/s, %s in %s of log, ack p99 %.1f ms, %s\n",
		h.State, cli.Clean(h.Version), cli.Duration(time.Duration(h.UptimeSeconds*float64(time.Second)).Round(time.Second)),
		cli.Rate(h.EventsPerSecond), cli.Counted(h.LogEvents, "event", "events"), cli.Bytes(h.LogBytes), h.AckP99Ms,
		cli.Counted(h.ErrorsTotal, "error", "errors"))
	if h.Proxy != "" {
		fmt.Fprintf(e.Stdout, "  at %s through the proxy %s\n", h.Address, cli.Clean(h.Proxy))
	}
	for _, r := range h.Reasons {
		fmt.Fprintf(e.Stdout, "  %s\n", cli.Clean(r))
	}
	fmt.Fprintln(e.Stdout, storeLine(s.Store))
	if b := h.LastBackup; b != nil {
		fmt.Fprintf(e.Stdout, "last backup %s ago, %s in %s\n", cli.Duration(e.Now().Sub(b.Time).Round(time.Second)), cli.Bytes(b.Bytes), cli.Clean(b.Place))
	}
	if err := printRoles(e, s); err != nil {
		return err
	}
	if gone := slices.DeleteFunc(slices.Clone(s.Nodes), func(n remote.NodeStatus) bool { return n.Connected }); len(gone) > 0 {
		fmt.Fprintln(e.Stdout)
		if err := hostTable(gone).Write(e.Stdout); err != nil {
			return err
		}
	}
	if len(s.Agents) == 0 {
		fmt.Fprintln(e.Stdout, noAgents(s))
		return nil
	}
	fmt.Fprintln(e.Stdout)
	return agentTable(s.Agents).Write(e.Stdout)
}

func noAgents(s remote.Status) string {
	if len(s.Nodes) == 0 {
		return "no agents: no node has connected yet"
	}
	return "no agents: the nodes run none"
}

// printRoles shows what up runs on this machine, if it does.
func printRoles(e *cli.Env, s remote.Status) error {
	if len(s.Roles) == 0 {
		return nil
	}
	t := cli.NewTable("ROLE", "STATE", ">PID", ">PORT", "NOTE")
	for _, r := range s.Roles {
		t.Row(r.Name, r.State, orBlank(r.PID), orBlank(r.Port), cli.FirstLine(r.Detail))
	}
	fmt.Fprintf(e.Stdout, "\nup since %s (%s), in %s\n", s.UpSince.Local().Format("2006-01-02 15:04:05"), cli.Duration(e.Now().Sub(*s.UpSince)), e.Home)
	return t.Write(e.Stdout)
}

// orBlank is n, or nothing for 0.
func orBlank(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func agentTable(agents []remote.AgentStatus) *cli.Table {
	t := cli.NewTable("AGENT", "HOST", "STATE", ">PID", ">PORT", ">EV/S", ">RSS", ">CPU", "NOTE")
	for _, a := range agents {
		pid, rate, rss, cpu := "", cli.Rate(a.EventsPerSecond), "", ""
		if a.PID != 0 {
			pid, rss, cpu = strconv.FormatUint(uint64(a.PID), 10), cli.Bytes(a.RSSBytes), fmt.Sprintf("%.1f%%", a.CPUPercent)
		}
		if a.Unsupervised { // nobody tells its figures
			rate, rss, cpu = "", "", ""
		}
		note := cli.FirstLine(a.Detail)
		if a.EventsDropped > 0 {
			note = strings.TrimPrefix(note+"; "+cli.Counted(a.EventsDropped, "event", "events")+" dropped", "; ")
		}
		if a.LastExitTime != nil && a.State != "crashed" {
			note = strings.TrimPrefix(note+"; restarted after a crash "+ago(*a.LastExitTime)+": "+a.LastExit, "; ")
		}
		if a.Warning != "" {
			note = strings.TrimPrefix(note+"; warning: "+a.Warning, "; ")
		}
		t.Row(a.ID, a.Host, a.State, pid, a.Port, rate, rss, cpu, note)
	}
	return t
}

// ListAgents prints every agent.
func ListAgents(ctx context.Context, e *cli.Env, asJSON bool) error {
	s, err := ask(ctx, e)
	if err != nil {
		return err
	}
	if !asJSON {
		if len(s.Agents) == 0 {
			fmt.Fprintln(e.Stdout, noAgents(s))
			return nil
		}
		return agentTable(s.Agents).Write(e.Stdout)
	}
	for _, a := range s.Agents {
		if err := cli.WriteJSONLine(e.Stdout, a); err != nil {
			return err
		}
	}
	return nil
}

// CommandAgent starts, stops or restarts one agent and waits for its node's answer.
func CommandAgent(ctx context.Context, e *cli.Env, name, agent, host string) error {
	commands := map[string]pb.AgentCommand{
		"start":   pb.AgentCommand_AGENT_COMMAND_START,
		"stop":    pb.AgentCommand_AGENT_COMMAND_STOP,
		"restart": pb.AgentCommand_AGENT_COMMAND_RESTART,
	}
	r, err := command(ctx, e, &pb.CommandAgentRequest{AgentId: agent, Host: host, Command: commands[name], Actor: actor()})
	if err != nil {
		return fmt.Errorf("%s %s: %w", name, agent, err)
	}
	a := remote.AgentOf(r.GetAgent())
	fmt.Fprintf(e.Stdout, "%s on %s is %s\n", cli.Clean(a.ID), cli.Clean(a.Host), a.State)
	return nil
}

// AgentLogs prints the last lines of an agent's log.
func AgentLogs(ctx context.Context, e *cli.Env, agent, host string, lines int) error {
	r, err := command(ctx, e, &pb.CommandAgentRequest{
		AgentId: agent, Host: host, Command: pb.AgentCommand_AGENT_COMMAND_LOGS, Lines: uint32(lines), Actor: actor(),
	})
	if err != nil {
		return fmt.Errorf("logs of %s: %w", agent, err)
	}
	for _, l := range r.GetLines() {
		fmt.Fprintln(e.Stdout, cli.Clean(l))
	}
	return nil
}

func command(ctx context.Context, e *cli.Env, req *pb.CommandAgentRequest) (*pb.CommandAgentResponse, error) {
	c, err := remote.Dial(e, "")
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }() // nothing more is asked
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	if req.AgentId, req.Host, err = named(ctx, c, req.GetAgentId(), req.GetHost()); err != nil {
		return nil, err
	}
	r, err := c.Fleet.CommandAgent(ctx, req)
	return r, c.Explain(err)
}

// actor names whoever types, for the audit trail.
func actor() string {
	u, err := user.Current()
	if err != nil {
		return "cli"
	}
	return "cli:" + u.Username
}

// ValidateConfig prints every fault of every file; any is an error.
func ValidateConfig(e *cli.Env, asJSON bool) error {
	v := app.ValidateConfig(e)
	if asJSON {
		if err := cli.WriteJSON(e.Stdout, v); err != nil {
			return err
		}
	} else {
		for _, f := range v.Faults {
			fmt.Fprintln(e.Stdout, cli.CleanLines(f.Error()))
		}
		switch {
		case !v.OK:
			fmt.Fprintf(e.Stdout, "%s in %s\n", cli.Counted(len(v.Faults), "fault", "faults"), cli.Counted(len(v.Files), "file", "files"))
		case len(v.Files) == 0:
			fmt.Fprintf(e.Stdout, "no files in %s: the defaults apply (amoskys up writes them with comments)\n", e.Home.Config())
		default:
			fmt.Fprintln(e.Stdout, cli.Counted(len(v.Files), "file is", "files are")+" right")
		}
	}
	if !v.OK {
		return cli.ErrSilent
	}
	return nil
}

// ShowConfig prints the settings in force.
func ShowConfig(e *cli.Env, name string, asJSON bool) error {
	files, err := app.ShowConfig(e, name)
	if err != nil {
		return err
	}
	if asJSON {
		return cli.WriteJSON(e.Stdout, map[string]any{"files": files})
	}
	for i, f := range files {
		if i > 0 {
			fmt.Fprintln(e.Stdout)
		}
		fmt.Fprintf(e.Stdout, "# %s: %s\n", f.Name, f.Path)
		t := cli.NewTable("KEY", "VALUE", "FROM")
		for _, s := range f.Settings {
			t.Row(s.Key, fmt.Sprint(s.Value), strings.TrimPrefix(s.Source, string(e.Home)+"/"))
		}
		err = errors.Join(err, t.Write(e.Stdout))
	}
	return err
}
