package scanner

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/amoskys/amoskys/internal/agent/task"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/scan"
)

// The tasks.
const (
	taskScan     = "device_scan"
	taskIdentify = "device_identify"
	taskForget   = "device_forget"
	linesType    = "application/x-ndjson"
)

func tasks() []task.Task {
	return []task.Task{
		{
			Name: taskScan, Summary: "scan now: find hosts, their open ports and what listens there", ResultType: linesType, Duration: time.Hour,
			Parameters: []task.Parameter{
				{Name: "targets", Type: task.String, Summary: "networks, addresses or ranges with commas between, such as 10.0.0.0/24; empty is discovery.subnets, or the segment where there are none"},
				{Name: "ports", Type: task.String, Summary: "TCP ports such as 22,80,8000-8100; empty is discovery.port_range"},
			},
		},
		{
			Name: taskIdentify, Summary: "look at one host closely", ResultType: linesType, Duration: 10 * time.Minute,
			Parameters: []task.Parameter{
				{Name: "address", Type: task.String, Required: true, Summary: "IP address of the host"},
				{Name: "ports", Type: task.String, Summary: "TCP ports such as 22,80,8000-8100; empty is discovery.port_range"},
			},
		},
		{
			Name: taskForget, Summary: "forget a device; it is new when it is seen again",
			Parameters: []task.Parameter{{Name: "uid", Type: task.String, Required: true, Summary: "uid of the device, such as mac-00005e005301"}},
		},
	}
}

// TaskUnavailable implements agent.TaskLimiter.
func (a *Agent) TaskUnavailable(name string) string {
	if name == taskForget || a.cfg.Discovery.Methods.ARPSweep || a.cfg.Discovery.Methods.PortScan {
		return ""
	}
	return "discovery.methods has neither arp_sweep nor port_scan: set one in its device_scanner_config.yaml, and restart it"
}

// RunTask implements agent.Tasker.
func (a *Agent) RunTask(ctx context.Context, c *task.Call) error {
	if why := a.TaskUnavailable(c.Task); why != "" {
		return errors.New(why)
	}
	switch c.Task {
	case taskForget:
		return a.forget(c.Values.Text("uid"))
	case taskIdentify:
		ip, err := netip.ParseAddr(strings.TrimSpace(c.Values.Text("address")))
		if err != nil {
			return fmt.Errorf("%.64q is no IP address", c.Values.Text("address"))
		}
		return a.scanNow(ctx, c, ip.String())
	}
	return a.scanNow(ctx, c, c.Values.Text("targets"))
}

func (a *Agent) forget(uid string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.book.Forget(strings.TrimSpace(uid)) {
		return fmt.Errorf("no device has the uid %.64q", uid)
	}
	return nil
}

// scanNow scans targets and writes each host as a line of JSON.
func (a *Agent) scanNow(ctx context.Context, c *task.Call, targets string) error {
	plan, err := a.taskPlan(targets, c.Values.Text("ports"))
	if err != nil {
		return err
	}
	var writing error
	err = a.scan(ctx, plan, true, func(d *pb.DeviceInventory) {
		line, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(d)
		if err == nil {
			_, err = c.Write(append(line, '\n'))
		}
		writing = errors.Join(writing, err)
	}, func(p scan.Progress) { report(c, p) })
	return errors.Join(err, writing)
}

// report tells how far a scan is.
func report(c *task.Call, p scan.Progress) {
	switch p.Phase {
	case scan.PhasePaused:
		c.Progress(p.Looked, p.Addresses, "waits until "+p.Resume.Format("15:04")+", as discovery.hours has it")
	case scan.PhaseHosts:
		c.Progress(p.Looked, p.Addresses, fmt.Sprintf("looks for hosts: %d so far", p.Hosts))
	default:
		c.Progress(p.Answered, p.Answered+p.Left, fmt.Sprintf("asks ports of %d hosts", p.Hosts))
	}
}

// taskPlan is that of a task: within discovery.subnets where there are some, else within
// private and local networks; what is excluded stays so.
func (a *Agent) taskPlan(targets, ports string) (scan.Plan, error) {
	plan, err := a.cfg.Discovery.plan()
	if err != nil {
		return plan, err
	}
	if ports != "" {
		if !a.cfg.Discovery.Methods.PortScan {
			return plan, errors.New("ports are given, and discovery.methods.port_scan is false: leave them out, or set it to true in device_scanner_config.yaml")
		}
		if plan.Ports, err = scan.ParsePorts(ports); err != nil {
			return plan, err
		}
	}
	words := strings.FieldsFunc(targets, func(r rune) bool { return r == ',' || r == ' ' })
	switch {
	case len(words) > 256:
		return plan, errors.New("more than 256 targets: name a network instead")
	case len(words) > 0:
		wanted, err := scan.ParseTargets(words...)
		if err != nil {
			return plan, err
		}
		if err := a.within(plan.Targets, wanted); err != nil {
			return plan, err
		}
		plan.Targets = wanted
	case plan.Targets.Empty():
		plan.Targets = scan.TargetsOf(a.segments()...)
		if plan.Targets.Empty() {
			return plan, errors.New("no targets are given, discovery.subnets has none, and the segment that is heard has no IPv4 network of /20 or smaller")
		}
	}
	return plan, plan.Validate()
}

// within reports targets outside of the subnets, where there are some.
func (a *Agent) within(allowed, wanted scan.Targets) error {
	if allowed.Empty() {
		return nil
	}
	if wanted.Count() > uint64(a.cfg.Discovery.MaxAddresses) {
		return fmt.Errorf("%d addresses: discovery.max_addresses allows %d", wanted.Count(), a.cfg.Discovery.MaxAddresses)
	}
	for ip := range wanted.All() {
		if !allowed.Contains(ip) {
			return fmt.Errorf("%s is not in discovery.subnets, which are all that this agent may scan", ip)
		}
	}
	return nil
}
