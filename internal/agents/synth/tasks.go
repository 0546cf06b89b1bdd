package synth

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/agent/task"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// taskBurst is the one task of this agent.
const taskBurst = "burst"

// maxBurst bounds the events of one burst.
const maxBurst = 1_000_000

func tasks() []task.Task {
	return []task.Task{{
		Name: taskBurst, Summary: "publishes events at once, beside the usual ones", Duration: 10 * time.Minute,
		Parameters: []task.Parameter{
			{Name: "events", Summary: "how many", Type: task.Integer, Default: "1000", Min: 1, Max: maxBurst},
			{Name: "rate", Summary: "how many a second", Type: task.Integer, Default: "1000", Min: 1, Max: 100_000},
		},
	}}
}

var _ agent.Tasker = (*Agent)(nil)

// burstStep is the time between groups of a burst.
const burstStep = 50 * time.Millisecond

// RunTask implements agent.Tasker: it publishes the events of a generator of its
// own, as of now.
func (a *Agent) RunTask(ctx context.Context, c *task.Call) error {
	if c.Task != taskBurst {
		return fmt.Errorf("there is no task %q", c.Task)
	}
	total, rate := c.Values.Int("events"), c.Values.Int("rate")
	g := NewGenerator(a.cfg, a.o.Now())
	g.kind = a.o.Kind
	tick := time.NewTicker(burstStep)
	defer tick.Stop()
	begin, sent := a.o.Now(), int64(0)
	for sent < total {
		due := min(total, 1+int64(a.o.Now().Sub(begin).Seconds()*float64(rate)))
		for sent < due {
			group := make([]*pb.Event, 0, min(due-sent, maxGroup))
			for range cap(group) {
				ev := g.Next()
				ev.Time = timestamppb.New(a.o.Now())
				ev.Labels["task"] = taskBurst
				group = append(group, ev)
			}
			if err := a.publish(ctx, group); err != nil {
				return err
			}
			sent += int64(len(group))
		}
		c.Progress(uint64(sent), uint64(total), "publishes events")
		if sent == total {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}
