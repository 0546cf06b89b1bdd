package standalone

import (
	"fmt"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/app/remote"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/node/child"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// line is one row of the screen.
type line struct {
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
	uptime  time.Duration
	hub     remote.HubStatus
	lines   []line
	notes   []string // since the last snapshot
	readyIn time.Duration
}

func (m *model) snapshot(now time.Time) snapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := snapshot{phase: m.phase, url: m.plan.url(), home: string(m.e.Home), hub: m.hub, notes: m.notes, readyIn: m.readyIn}
	m.notes = nil
	for _, r := range m.roles {
		status := r.child.Status()
		l := line{name: r.name, pid: status.PID, port: m.portOf(r.name), state: string(status.State), health: healthOf(status)}
		if status.PID != 0 {
			l.rss, l.percent = m.samples[r.name].RSS, m.percent[r.name]
		}
		if r.name == "hub" {
			l.rate = cli.Rate(m.hub.EventsPerSecond)
			s.uptime = now.Sub(status.Started)
			if status.State == child.Running && m.hub.State != "" && m.hub.State != "down" && m.hub.State != "ok" {
				l.state, l.health, l.detail = m.hub.State, "yellow", strings.Join(m.hub.Reasons, "; ")
			}
		}
		if status.State == child.Stopped && m.phase == phaseStarting {
			l.state = "waiting"
		}
		if status.State == child.Waiting {
			l.state, l.detail = "crashed", fmt.Sprintf("%s; starts again in %s", lastWords(status), cli.Duration(max(0, status.Next.Sub(now)).Round(time.Second)))
		}
		s.lines = append(s.lines, l)
	}
	for _, a := range m.agents {
		if m.phase == phaseStopping && !a.GetNodeConnected() {
			a = &pb.AgentStatus{Id: a.GetId(), State: pb.AgentState_AGENT_STATE_STOPPED}
		}
		s.lines = append(s.lines, line{
			name: a.GetId(), state: remote.StateName(a.GetState()), health: remote.HealthName(a.GetHealth()),
			pid: int(a.GetPid()), port: int(a.GetPort()), rate: cli.Rate(a.GetEventsPerSecond()),
			rss: a.GetRssBytes(), percent: a.GetCpuPercent(), detail: a.GetDetail(),
		})
	}
	return s
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

func (m *model) portOf(role string) int {
	switch role {
	case "hub":
		return m.plan.hub.Server.Port
	case "dashboard":
		return m.plan.dashboard.Server.Port
	}
	return 0
}
