package snmp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/agent/task"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/snmp"
)

// Names of tasks and their parameters.
const (
	taskDiscover = "discover"
	taskPoll     = "poll"
	taskWalk     = "walk"
	paramSubnet  = "subnet"
	paramDevice  = "device"
	paramOID     = "oid"
)

// maxWalkBytes bounds the result of a walk.
const maxWalkBytes = 32 << 20

func tasks() []task.Task {
	device := task.Parameter{Name: paramDevice, Summary: "its address, with a port where that is not the usual one, its name or its uid", Type: task.String, Required: true}
	return []task.Task{
		{
			Name: taskDiscover, Summary: "looks for devices in snmp.scan_subnets now, those that were silent too",
			Parameters: []task.Parameter{{Name: paramSubnet, Summary: "only there, such as 10.0.0.0/24; empty is all of snmp.scan_subnets", Type: task.String}},
			ResultType: "application/jsonl", ResultBytes: 8 << 20, Duration: time.Hour,
		},
		{
			Name: taskPoll, Summary: "reads one device now, whole", Parameters: []task.Parameter{device},
			ResultType: "application/jsonl", ResultBytes: 8 << 20, Duration: 5 * time.Minute,
		},
		{
			Name: taskWalk, Summary: "reads everything below an object of one device",
			Parameters: []task.Parameter{device, {Name: paramOID, Summary: "the object, in numbers or by name, such as ifXTable", Type: task.String, Default: "1.3.6.1.2.1.1"}},
			ResultType: "text/plain", ResultBytes: maxWalkBytes, Duration: 10 * time.Minute,
		},
	}
}

// TaskUnavailable implements agent.TaskLimiter.
func (a *Agent) TaskUnavailable(name string) string {
	if name == taskDiscover && len(a.search.addresses) == 0 {
		return "no subnet is named: set snmp.scan_subnets"
	}
	return ""
}

// RunTask implements agent.Tasker.
func (a *Agent) RunTask(ctx context.Context, c *task.Call) error {
	switch c.Task {
	case taskDiscover:
		return a.discoverNow(ctx, c)
	case taskPoll:
		return a.pollNow(ctx, c)
	case taskWalk:
		return a.walkNow(ctx, c)
	default:
		return fmt.Errorf("there is no task %q", c.Task)
	}
}

var _ agent.Tasker = (*Agent)(nil)

// found is a line of the result of a search.
type found struct {
	IP         string `json:"ip"`
	Port       uint16 `json:"port"`
	Credential string `json:"credential"`
}

func (a *Agent) discoverNow(ctx context.Context, c *task.Call) error {
	list := a.search.addresses
	if text := c.Values.Text(paramSubnet); text != "" {
		within, err := config.ParseNetwork(text)
		if err != nil {
			return fmt.Errorf("subnet %q: it is neither a network nor an address", text)
		}
		var some []netip.Addr
		for _, addr := range list {
			if within.Contains(addr) {
				some = append(some, addr)
			}
		}
		list = some
	}
	if len(list) == 0 {
		return errors.New("no address of snmp.scan_subnets is meant: name subnets there first")
	}
	var mu sync.Mutex
	var failed error
	total := uint64(len(list))
	c.Progress(0, total, "asks addresses")
	a.search.sweep(ctx, list, true, func(done, devices int) {
		c.Progress(uint64(done), total, fmt.Sprintf("asks addresses, %d new devices", devices))
	}, func(d *device) {
		mu.Lock()
		defer mu.Unlock()
		d.mu.Lock()
		f := found{d.at.Addr().String(), d.at.Port(), d.Credential}
		d.mu.Unlock()
		if b, err := json.Marshal(f); err == nil && failed == nil {
			_, failed = c.Write(append(b, '\n'))
		}
	})
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("look for devices: %w", err)
	}
	return failed
}

// one is the known device that a caller means. Others are not asked for anybody: what the
// configuration does not name gets no packet and no credential.
func (a *Agent) one(text string) (*device, error) {
	list := a.book.find(text)
	switch len(list) {
	case 0:
		return nil, fmt.Errorf("no device %.80q is known: name it in snmp.targets, or its network in snmp.scan_subnets", text)
	case 1:
		return list[0], nil
	default:
		return nil, fmt.Errorf("%d devices are called %.80q: say which by address and port, such as %s", len(list), text, list[0].at)
	}
}

// pollNow polls a device as at its time, whole, and gives the events of it.
func (a *Agent) pollNow(ctx context.Context, c *task.Call) error {
	d, err := a.one(c.Values.Text(paramDevice))
	if err != nil {
		return err
	}
	c.Progress(0, 0, "reads "+d.at.String())
	if !d.work.TryLock() {
		return errors.New("it is being polled just now: its reading comes in a moment")
	}
	defer d.work.Unlock()
	a.search.trials.forgive(d.at) // a person asks, who may have mended a password
	d.mu.Lock()
	d.asked = time.Time{}
	d.inventory, d.placed = time.Time{}, time.Time{}
	d.mu.Unlock()
	began := a.o.Now()
	r, err := a.openFor(ctx, d, began)
	if ctx.Err() != nil {
		return fmt.Errorf("poll: %w", ctx.Err())
	}
	a.metrics.polled(err, a.o.Now().Sub(began))
	if err != nil {
		a.failed(ctx, d, a.o.Now(), err)
		return err
	}
	events := a.settle(d, r, began, a.o.Now())
	a.book.signal()
	told := make([]*pb.Event, len(events))
	for i, ev := range events {
		told[i] = proto.CloneOf(ev) // Publish gives the others their ids
	}
	// First what must not be lost, whatever becomes of who asked.
	if err := a.o.Publisher.Publish(context.WithoutCancel(ctx), events...); err != nil {
		return err //nolint:wrapcheck // it says itself what it was doing
	}
	return a.write(c, told)
}

// write puts events into the result, one a line.
func (a *Agent) write(c *task.Call, events []*pb.Event) error {
	origin := event.Origin{Now: a.o.Now, Observes: true}
	for _, ev := range events {
		if err := origin.Complete(ev); err != nil {
			return fmt.Errorf("write event: %w", err)
		}
		line, err := event.ToJSON(ev)
		if err != nil {
			return fmt.Errorf("write event: %w", err)
		}
		if _, err := c.Write(append(line, '\n')); err != nil {
			return fmt.Errorf("write event: %w", err)
		}
	}
	return nil
}

// walkNow reads everything below an object, a line each.
func (a *Agent) walkNow(ctx context.Context, c *task.Call) error {
	d, err := a.one(c.Values.Text(paramDevice))
	if err != nil {
		return err
	}
	root, err := a.surveyor.names.OID(c.Values.Text(paramOID))
	if err != nil {
		return fmt.Errorf("object: %w", err)
	}
	d.mu.Lock()
	name := d.Credential
	d.mu.Unlock()
	credential, known := a.credential(name)
	if !known {
		return errors.New("it has not answered to any credential yet")
	}
	client, err := snmp.Open(ctx, a.target(d, credential, a.o.Now()))
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer client.Close()
	rows := uint64(0)
	err = client.Walk(ctx, root, func(v snmp.Variable) error {
		if rows++; rows%100 == 0 {
			c.Progress(rows, 0, strconv.FormatUint(rows, 10)+" variables")
		}
		_, writeErr := fmt.Fprintf(c, "%s = %s: %s\n", v.OID, v.Type, text(v, 4096))
		return writeErr
	})
	if err != nil {
		return fmt.Errorf("walk: %w", err)
	}
	return nil
}
