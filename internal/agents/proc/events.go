package proc

import (
	"math"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// maxSampleCommand bounds the command line in readings, in bytes: they come often
// and the start event has it in full.
const maxSampleCommand = 256

// startTime is when a process that was found now has started: by the kernel, unless
// it was listed late or the clock was set.
func (t *table) startTime(p *process, now time.Time) time.Time {
	at := t.created(p)
	if now.Sub(at) > time.Minute || at.After(now) {
		return now
	}
	return at
}

// startEvent says that a process started, or another program in it.
func (t *table) startEvent(p *process, at time.Time) *pb.Event {
	return &pb.Event{
		Type: event.TypeProcessExecution, Time: timestamppb.New(at),
		Body: &pb.Event_Process{Process: &pb.ProcessActivity{
			Action: pb.ProcessAction_PROCESS_ACTION_LAUNCH, Process: t.describe(p), Parent: t.parent(p),
		}},
	}
}

// exitEvent says that a process is gone. Its status is known only if it was seen as a
// zombie and may be read; otherwise neither code nor signal is set.
func (t *table) exitEvent(p *process, now time.Time) *pb.Event {
	activity := &pb.ProcessActivity{
		Action: pb.ProcessAction_PROCESS_ACTION_TERMINATE, Process: t.describe(p), Parent: t.parent(p),
		Usage: t.usage(p),
	}
	activity.Usage.CpuPercent = 0
	if p.status {
		if signal := p.stat.exit & 0x7f; signal != 0 {
			activity.ExitSignal = &signal
		} else {
			code := p.stat.exit >> 8 & 0xff
			activity.ExitCode = &code
		}
	}
	return &pb.Event{
		Type: event.TypeProcessExit, Time: timestamppb.New(now),
		Body: &pb.Event_Process{Process: activity},
	}
}

// sampleEvent is a reading of a running process.
func (t *table) sampleEvent(p *process) *pb.Event {
	u := t.usage(p)
	u.FileDescriptors = t.src.descriptors(p.pid, p.stat.thread)
	u.ReadBytes, u.WriteBytes = t.src.io(p.pid)
	return &pb.Event{
		Type: event.TypeProcessSample, Time: timestamppb.New(p.read),
		Body: &pb.Event_Process{Process: &pb.ProcessActivity{
			Action: pb.ProcessAction_PROCESS_ACTION_SAMPLE, Usage: u,
			Process: &pb.Process{
				Pid: uint32(p.pid), Uid: p.uid, Ppid: uint32(max(p.stat.ppid, 0)), Name: p.stat.name, Executable: p.facts.exe,
				CmdLine: clean([]byte(p.facts.command), maxSampleCommand), User: p.facts.userMessage(),
				CreatedTime: timestamppb.New(t.created(p)), ContainerId: p.facts.container.id, PodUid: p.facts.container.pod,
			},
		}},
	}
}

func (t *table) usage(p *process) *pb.ProcessUsage {
	ticks := func(n uint64) *durationpb.Duration { return durationpb.New(t.span(n)) }
	return &pb.ProcessUsage{
		CpuPercent: hundredths(p.cpu), RssBytes: uint64(p.stat.rssPages) * t.page, VszBytes: p.stat.vsize,
		Threads: p.stat.threads, State: stateOf(p.stat.state),
		CpuUser: ticks(p.stat.utime), CpuSystem: ticks(p.stat.stime),
	}
}

// hundredths rounds to two digits behind the point: a reading of ten seconds in ticks of
// ten milliseconds knows no more than one. A number of sixteen digits is another one in
// each event, for nothing, and no store of numbers gives it back as it was.
func hundredths(x float64) float64 { return math.Round(x*100) / 100 }

// describe has everything known about a process.
func (t *table) describe(p *process) *pb.Process {
	out := &pb.Process{
		Pid: uint32(p.pid), Uid: p.uid, Ppid: uint32(max(p.stat.ppid, 0)), Name: p.stat.name,
		Executable: p.facts.exe, CmdLine: p.facts.command, Args: p.facts.args, WorkingDirectory: p.facts.cwd,
		CreatedTime: timestamppb.New(t.created(p)), User: p.facts.userMessage(),
		ContainerId: p.facts.container.id, PodUid: p.facts.container.pod, Cgroup: p.facts.cgroup, Tty: ttyName(p.stat.tty),
	}
	if p.stat.session > 0 {
		out.SessionId = strconv.Itoa(p.stat.session)
	}
	return out
}

// parent describes the parent in short; nil when it is not known.
func (t *table) parent(p *process) *pb.Process {
	if p.stat.ppid <= 0 {
		return nil
	}
	out := &pb.Process{Pid: uint32(p.stat.ppid)}
	if up, ok := t.byPID[p.stat.ppid]; ok {
		out.Uid, out.Name, out.Executable = up.uid, up.stat.name, up.facts.exe
		out.CmdLine, out.Ppid = up.facts.command, uint32(max(up.stat.ppid, 0))
	}
	return out
}

func (f *facts) userMessage() *pb.User {
	if f.uid == "" {
		return nil
	}
	return &pb.User{Name: f.user, Uid: f.uid, GroupName: f.group, Gid: f.gid}
}

// ttyName names the usual terminals by device number (Documentation/admin-guide/devices.txt).
func ttyName(dev int) string {
	major, minor := dev>>8&0xfff, dev&0xff|dev>>12&0xfff00
	switch {
	case major >= 136 && major <= 143:
		return "pts/" + strconv.Itoa((major-136)<<8+minor)
	case major == 4 && minor < 64:
		return "tty" + strconv.Itoa(minor)
	case major == 4:
		return "ttyS" + strconv.Itoa(minor-64)
	default:
		return ""
	}
}

// stateOf maps the letter of proc(5).
func stateOf(c byte) pb.ProcessState {
	switch c {
	case 'R':
		return pb.ProcessState_PROCESS_STATE_RUNNING
	case 'S':
		return pb.ProcessState_PROCESS_STATE_SLEEPING
	case 'D':
		return pb.ProcessState_PROCESS_STATE_DISK_SLEEP
	case 'T':
		return pb.ProcessState_PROCESS_STATE_STOPPED
	case 't':
		return pb.ProcessState_PROCESS_STATE_TRACED
	case 'Z':
		return pb.ProcessState_PROCESS_STATE_ZOMBIE
	case 'X', 'x':
		return pb.ProcessState_PROCESS_STATE_DEAD
	case 'I':
		return pb.ProcessState_PROCESS_STATE_IDLE
	default:
		return pb.ProcessState_PROCESS_STATE_UNSPECIFIED
	}
}

// stateName is the label of a state, in the words of the guide where it has one.
func stateName(c byte) string {
	switch c {
	case 'R':
		return "running"
	case 'S':
		return "sleeping"
	case 'D':
		return "disk_sleep"
	case 'T':
		return "stopped"
	case 't':
		return "traced"
	case 'Z':
		return "zombie"
	case 'X', 'x':
		return "dead"
	case 'I':
		return "idle"
	default:
		return "unknown"
	}
}
