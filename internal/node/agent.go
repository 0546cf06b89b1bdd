package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/agent/task"
	"github.com/amoskys/amoskys/internal/node/child"
	"github.com/amoskys/amoskys/internal/node/ports"
	"github.com/amoskys/amoskys/internal/node/usage"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// errDisabled keeps an agent that is switched off in its file from starting.
var errDisabled = fmt.Errorf("%w: switched off in its configuration; set agent.enabled to true and start it again", child.ErrStay)

// quietAfter is how many looks without an answer turn an agent yellow.
const quietAfter = 3

// managed is one agent and what the node knows of it.
type managed struct {
	spec    Agent
	child   *child.Child
	client  *http.Client
	tasks   *task.Client
	changed func()

	mu       sync.Mutex // guards what follows
	settings Settings
	off      bool      // it lacks a privilege, which is nobody's fault
	answered time.Time // last answer of /status
	report   report    // what it said
	problem  string    // why it did not answer
	sample   usage.Sample
	percent  float64
}

func newManaged(a Agent, o Options, changed func()) *managed {
	m := &managed{spec: a, changed: changed, client: newProbeClient(), tasks: task.NewClient(a.DataDir)}
	m.child = child.New(child.Options{
		Name: a.ID, Argv: a.Argv, Env: a.Env, Logger: o.Logger,
		StopTimeout: o.StopTimeout, BackoffMin: o.BackoffMin, BackoffMax: o.BackoffMax,
		Privileges: slices.Concat(a.Privileges, a.Uses), Before: m.before, Changed: changed,
	})
	return m
}

// restartable refuses to end an agent that runs for one that could not start, since its file
// has faults.
func (m *managed) restartable() error {
	if m.child.Status().State != child.Running {
		return nil
	}
	if _, err := m.spec.Settings(); err != nil {
		return fmt.Errorf("not restarted, it goes on as it was: %w", err)
	}
	return nil
}

// before checks what would make a start fail, to say it in better words.
func (m *managed) before(ctx context.Context) error {
	s, err := m.spec.Settings()
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.settings, m.answered, m.report, m.problem = s, time.Time{}, report{}, ""
	lacks := child.Missing(m.spec.Privileges)
	if s.WithoutPrivileges {
		lacks = nil
	}
	m.off = s.Enabled && len(lacks) > 0
	m.mu.Unlock()
	switch {
	case !s.Enabled:
		return errDisabled
	case len(lacks) > 0:
		return &lackError{lacks, m.spec.Uses}
	}
	return ports.Check(ctx, s.Addr)
}

// idle says why the agent takes no tasks: it does not run. It is nil where it does.
func (m *managed) idle() error {
	s := m.child.Status()
	if s.State == child.Running {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if state, _, detail := m.condition(s, time.Now(), time.Hour); detail != "" {
		word := strings.ToLower(strings.TrimPrefix(state.String(), "AGENT_STATE_"))
		return fmt.Errorf("the agent takes no tasks, it is %s: %s", word, detail)
	}
	return errors.New("the agent takes no tasks: it does not run")
}

// watch looks at the agent until ctx ends.
func (m *managed) watch(ctx context.Context, interval time.Duration) {
	defer m.client.CloseIdleConnections()
	// The first looks come fast, so that a fresh start shows at once.
	pause := interval / 8
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		s := m.child.Status()
		if s.State != child.Running {
			pause = interval / 8
			continue
		}
		if m.look(ctx, s) {
			pause = interval
		}
	}
}

// look reads the agent's status and use once.
func (m *managed) look(ctx context.Context, s child.Status) bool {
	m.mu.Lock()
	addr := m.settings.Addr
	m.mu.Unlock()
	r, err := probe(ctx, m.client, addr)
	sample, usageErr := usage.Of(s.PID)
	m.mu.Lock()
	if err == nil {
		m.answered, m.report, m.problem = time.Now(), r, ""
	} else {
		m.problem = err.Error()
	}
	if usageErr == nil {
		if sample.Start == m.sample.Start {
			m.percent = usage.Percent(m.sample, sample)
		} else {
			m.percent = 0
		}
		m.sample = sample
	}
	m.mu.Unlock()
	m.changed()
	return err == nil
}

// answersSince reports whether the agent has answered since it was started at t.
// An agent that is not watched counts as answering.
func (m *managed) answersSince(t time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, port, _ := net.SplitHostPort(m.settings.Addr)
	return port == "0" || m.answered.After(t)
}

// reason says why an agent does not run, with the last line it wrote.
func (m *managed) reason(s child.Status) string {
	reason := s.Reason
	if s.LastExit != nil && strings.HasPrefix(reason, "ended by itself") && s.Words != "" {
		reason += ": " + s.Words
	}
	if s.CrashLoop {
		reason = fmt.Sprintf("keeps crashing, started %d times: %s", s.Restarts, reason)
	}
	return reason
}

// status puts together what is known of the agent.
func (m *managed) status(now time.Time, interval time.Duration) *pb.AgentStatus {
	s := m.child.Status()
	m.mu.Lock()
	defer m.mu.Unlock()
	out := &pb.AgentStatus{
		Id: m.spec.ID, Kind: m.spec.Kind, Version: m.report.Version, Privileges: m.spec.Privileges,
		Pid: uint32(s.PID), Port: uint32(portOf(m.settings.Addr)), Restarts: uint32(s.Restarts),
	}
	if !s.Started.IsZero() {
		out.StartedTime = timestamppb.New(agent.Since(s.Started, now, now.Sub(s.Started)))
	}
	if c := s.LastCrash; c != nil {
		out.LastExitTime, out.LastExit = timestamppb.New(c.Time), strings.ToValidUTF8(c.Text, "·")
	}
	m.report.fill(out)
	if s.PID != 0 && m.sample.RSS > 0 {
		out.RssBytes, out.CpuPercent = m.sample.RSS, m.percent
	}
	if s.State != child.Running {
		out.EventsPerSecond = 0
	}
	out.State, out.Health, out.Detail = m.condition(s, now, interval)
	return out
}

// condition decides the state, the colour and its reason. The caller holds mu.
func (m *managed) condition(s child.Status, now time.Time, interval time.Duration) (pb.AgentState, pb.AgentHealthLevel, string) {
	const (
		green  = pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_GREEN
		yellow = pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_YELLOW
		red    = pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_RED
	)
	switch s.State {
	case child.Starting:
		return pb.AgentState_AGENT_STATE_STARTING, yellow, "is being started"
	case child.Stopping:
		return pb.AgentState_AGENT_STATE_STOPPING, yellow, "is writing out its spool"
	case child.Waiting:
		return pb.AgentState_AGENT_STATE_CRASHED, red, m.reason(s)
	case child.Running:
		return m.runningCondition(s, now, interval)
	case child.Stopped:
	}
	if s.Wanted {
		return pb.AgentState_AGENT_STATE_STARTING, yellow, "is about to start"
	}
	if m.off {
		return pb.AgentState_AGENT_STATE_STOPPED, pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_GREY, s.Reason
	}
	if s.Reason != "" {
		return pb.AgentState_AGENT_STATE_STOPPED, red, s.Reason
	}
	return pb.AgentState_AGENT_STATE_STOPPED, red, "was stopped"
}

// runningCondition is condition for an agent that runs. The caller holds mu.
func (m *managed) runningCondition(s child.Status, now time.Time, interval time.Duration) (pb.AgentState, pb.AgentHealthLevel, string) {
	if portOf(m.settings.Addr) == 0 {
		return pb.AgentState_AGENT_STATE_RUNNING, pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_GREEN, ""
	}
	since := m.answered
	if since.IsZero() {
		since = s.Started
	}
	switch quiet := now.Sub(since); {
	case quiet > quietAfter*interval:
		detail := fmt.Sprintf("runs, and has not answered for %s", quiet.Round(time.Second))
		if m.problem != "" {
			detail += ": " + m.problem
		}
		return pb.AgentState_AGENT_STATE_DEGRADED, pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_YELLOW, detail
	case m.answered.IsZero():
		return pb.AgentState_AGENT_STATE_STARTING, pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_YELLOW, "has not answered yet"
	case !m.report.healthy():
		return pb.AgentState_AGENT_STATE_DEGRADED, pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_YELLOW, m.report.why()
	}
	return pb.AgentState_AGENT_STATE_RUNNING, pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_GREEN, m.report.notes()
}
