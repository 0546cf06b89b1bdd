package standalone

import (
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/app/remote"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/node/child"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// line is one row of the screen.
type line struct {
	key                 string // of all lines its own: agents of several hosts have one name
	name, state, health string
	pid, port           int
	rate                string
	rss                 uint64
	percent             float64
	detail              string
}

// snapshot is what is to be shown.
type snapshot struct {
	phase   string
	url     string
	home    string
	uptime  time.Duration // of the whole, whatever was started again meanwhile
	hub     remote.HubStatus
	lines   []line
	notes   []string // since the last snapshot
	readyIn time.Duration
}

func (m *model) snapshot(now time.Time) snapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := snapshot{phase: m.phase, url: m.plan.url(), home: string(m.e.Home), hub: m.hub, notes: m.notes, readyIn: m.readyIn, uptime: now.Sub(m.started)}
	m.notes = nil
	for _, r := range m.roles {
		status := r.child.Status()
		own := r.status(m.phase)
		l := line{key: r.Name, name: r.Name, pid: own.PID, port: own.Port, state: own.State, health: own.Health, detail: own.Detail}
		if status.PID != 0 {
			l.rss, l.percent = m.samples[r.Name].RSS, m.percent[r.Name]
		}
		if status.State == child.Waiting {
			l.detail += "; starts again in " + cli.Duration(max(0, status.Next.Sub(now)).Round(time.Second))
		}
		if r.Name == "hub" { // whose own view of itself is asked for anyway
			l.rate = cli.Rate(m.hub.EventsPerSecond)
			if status.State == child.Running && m.hub.State != "" && m.hub.State != "down" && m.hub.State != "ok" {
				l.state, l.health, l.detail = m.hub.State, "yellow", strings.Join(m.hub.Reasons, "; ")
			}
		}
		s.lines = append(s.lines, l)
	}
	for _, a := range m.agents {
		if m.phase == phaseStopping && !a.GetNodeConnected() {
			a = &pb.AgentStatus{Host: a.GetHost(), Id: a.GetId(), State: pb.AgentState_AGENT_STATE_STOPPED}
		}
		s.lines = append(s.lines, line{
			key: a.GetHost() + "/" + a.GetId(), name: a.GetId(), state: remote.StateName(a.GetState()), health: remote.HealthName(a.GetHealth()),
			pid: int(a.GetPid()), port: int(a.GetPort()), rate: cli.Rate(a.GetEventsPerSecond()),
			rss: a.GetRssBytes(), percent: a.GetCpuPercent(), detail: a.GetDetail(),
		})
	}
	return s
}

// status is what is known of a role's process, without what changes by itself.
func (r *role) status(phase string) remote.RoleStatus {
	s := r.child.Status()
	out := remote.RoleStatus{
		Name: r.Name, State: string(s.State), Health: healthOf(s), PID: s.PID, Port: r.port(), Restarts: s.Restarts,
	}
	switch {
	case s.State == child.Stopped && phase == phaseStarting:
		out.State = "waiting"
	case s.State == child.Waiting:
		out.State, out.Detail = "crashed", lastWords(s)
	}
	return out
}

func healthOf(s child.Status) string {
	switch s.State {
	case child.Running:
		return "green"
	case child.Starting, child.Stopping:
		return "yellow"
	case child.Waiting:
		return "red"
	case child.Stopped:
	}
	return ""
}

// port is the one that a role's line shows, 0 for none.
func (r *role) port() int {
	if len(r.Ports) == 0 {
		return 0
	}
	_, text, err := net.SplitHostPort(r.Ports[0].Addr)
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return n
}
