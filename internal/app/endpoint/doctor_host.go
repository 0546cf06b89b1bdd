package endpoint

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/node/child"
	"github.com/amoskys/amoskys/internal/obs"
)

const (
	// maxSkew is how far the clocks of this host and of the hub may be apart: what is
	// asked for by time is then still found.
	maxSkew = 5 * time.Second
	// slowSync is how long a disk may take to have something for sure: with twice as long
	// a log that acknowledges in batches falls behind.
	slowSync = 50 * time.Millisecond
	// syncs is how many times that is measured.
	syncs = 9
)

// host looks at the machine: its kernel, its clock, and the disk of the home.
func (d *doctor) host(agents []agent.Loaded) {
	d.kernel(agents)
	if detail, fix, known := clockKept(); known {
		verdict := VerdictOK
		if fix != "" {
			verdict = VerdictWarn
		}
		d.add(verdict, "clock", detail, fix)
	}
	d.disk(existing(d.env.Home.Data()))
}

// kernel says what of the kernel each agent has a use for and does not find.
func (d *doctor) kernel(agents []agent.Loaded) {
	d.add(VerdictOK, "kernel", kernelName(), "")
	for _, a := range agents {
		for _, f := range features(d.kinds[a.Common.ID]) {
			if err := f.look(); err != nil {
				d.add(VerdictWarn, "kernel for "+a.Common.ID, f.name+": "+err.Error(), f.fix)
			}
		}
	}
}

// feature is something of the kernel that an agent has a use for.
type feature struct {
	name, fix string
	look      func() error
}

// privileges says which of the privileges that an agent asks for it has.
func (d *doctor) privileges(l *Local) {
	def, err := Find(l.Kind)
	wanted := slices.Concat(def.Privileges, def.Uses)
	if err != nil || len(wanted) == 0 || l.PID <= 0 {
		return
	}
	held, err := child.HeldBy(l.PID)
	if err != nil {
		return // of another user, whose processes this one does not see
	}
	lacks := slices.DeleteFunc(slices.Clone(wanted), func(name string) bool { return slices.Contains(held, name) })
	name := "privileges " + l.ID
	if len(lacks) == 0 {
		d.add(VerdictOK, name, "has "+strings.Join(wanted, ", "), "")
		return
	}
	d.add(VerdictWarn, name, "runs without "+strings.Join(lacks, ", ")+", and sees less", "grant them to who starts it, and restart it: amoskys-agent node --help; internal/agents/"+l.Kind+"/README.md says what is missing")
}

// versions says which program runs, and which agents run another.
func (d *doctor) versions(list []Local) {
	own := obs.ReadBuild()
	detail := own.Version
	if own.Revision != "" {
		detail += ", commit " + own.Revision[:min(12, len(own.Revision))]
	}
	var others []string
	for _, l := range list {
		if l.Version != "" && l.Version != own.Version {
			others = append(others, l.ID+" runs "+l.Version)
		}
	}
	if len(others) > 0 {
		d.add(VerdictWarn, "version", detail+"; "+strings.Join(others, ", "), "restart the node, so that all run one version")
		return
	}
	d.add(VerdictOK, "version", detail+", "+own.Go+", "+own.OS+"/"+own.Arch, "")
}

// drift says which agents run with other settings than their files have by now.
func (d *doctor) drift(agents []agent.Loaded, list []Local) {
	hubs := map[string][]string{}
	for _, a := range agents {
		hubs[a.Common.Hub.Addr()] = append(hubs[a.Common.Hub.Addr()], a.Common.ID)
	}
	if len(hubs) > 1 {
		said := make([]string, 0, len(hubs))
		for addr, ids := range hubs {
			said = append(said, addr+" ("+strings.Join(ids, ", ")+")")
		}
		slices.Sort(said)
		d.add(VerdictWarn, "drift", "agents of this host go to different hubs: "+strings.Join(said, "; "), "is that meant? hub.host and hub.port of their files")
	}
	for _, l := range list {
		at := slices.IndexFunc(agents, func(a agent.Loaded) bool { return a.Common.ID == l.ID })
		if at < 0 || l.StartedTime.IsZero() {
			continue
		}
		def, err := Find(l.Kind)
		if err != nil {
			continue
		}
		file := d.env.Home.AgentConfig(def.ConfigName)
		info, err := os.Stat(file)
		if err != nil || !info.ModTime().After(l.StartedTime.Add(time.Second)) {
			continue
		}
		d.add(VerdictWarn, "drift "+l.ID, fmt.Sprintf("%s was changed at %s, after the agent started at %s: it runs with what was there before",
			filepath.Base(file), info.ModTime().UTC().Format(time.RFC3339), l.StartedTime.UTC().Format(time.RFC3339)), "restart it: "+Called(d.env, d.command)+" agents restart "+l.ID)
	}
}

// skew compares the hub's clock, as its answer has it, with ours, both in the middle
// between question and answer.
func (d *doctor) skew(addr string, theirs time.Time, took time.Duration) {
	if theirs.IsZero() {
		return
	}
	// The answer has whole seconds.
	apart := theirs.Add(500 * time.Millisecond).Sub(d.env.Now().Add(-took / 2))
	name := "clock of the hub " + addr
	switch {
	case apart.Abs() <= maxSkew:
		d.add(VerdictOK, name, "agrees with this host's to within "+maxSkew.String(), "")
	case apart > 0:
		d.add(VerdictWarn, name, "is "+apart.Round(time.Second).String()+" ahead of this host's", "have both keep time by NTP: events are found by their time")
	default:
		d.add(VerdictWarn, name, "is "+(-apart).Round(time.Second).String()+" behind this host's", "have both keep time by NTP: events are found by their time")
	}
}

// disk measures how long it takes until some bytes are on the disk for sure, as the log
// and the spools wait for it. It writes a small file and removes it.
func (d *doctor) disk(dir string) {
	name := "disk of " + dir
	took, err := syncTimes(dir)
	if err != nil {
		d.add(VerdictFail, name, "cannot write: "+err.Error(), "run as the user who owns "+dir+", or look at its disk")
		return
	}
	detail := fmt.Sprintf("4 KiB are safe after %s (median of %d, worst %s)", took[len(took)/2].Round(10*time.Microsecond), len(took), took[len(took)-1].Round(10*time.Microsecond))
	inodes, known := freeInodes(dir)
	switch {
	case known && inodes < 1000:
		d.add(VerdictWarn, name, fmt.Sprintf("%s; only %s more can be made", detail, cli.Counted(inodes, "file", "files")), "remove some of the many small files on that disk")
	case took[len(took)/2] > slowSync:
		d.add(VerdictWarn, name, detail, "the log waits for that with each batch: put data on a faster disk")
	default:
		d.add(VerdictOK, name, detail, "")
	}
}

// syncTimes are in order, the shortest first.
func syncTimes(dir string) (took []time.Duration, err error) {
	f, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return nil, err
	}
	defer func() {
		_ = f.Close() // It is removed.
		if gone := os.Remove(f.Name()); err == nil {
			err = gone
		}
	}()
	block := make([]byte, 4<<10)
	for range syncs {
		began := time.Now()
		if _, err := f.Write(block); err != nil {
			return nil, err
		}
		if err := f.Sync(); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began))
		if time.Since(began) > time.Second {
			break // That is enough to know.
		}
	}
	slices.Sort(took)
	return took, nil
}

// running asks the agents, with what else can be told of those that run.
func (d *doctor) running(ctx context.Context, agents []agent.Loaded) (running map[string]bool, list []Local) {
	running, list = d.agents(ctx)
	for i := range list {
		if running[list[i].ID] {
			d.privileges(&list[i])
		}
	}
	d.versions(list)
	d.drift(agents, list)
	return running, list
}
