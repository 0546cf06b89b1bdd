package proc

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/agent/task"
	"github.com/amoskys/amoskys/internal/event"
)

// taskSnapshot is the one task of this agent.
const taskSnapshot = "snapshot"

func tasks() []task.Task {
	return []task.Task{{
		Name: taskSnapshot, Summary: "every process now, with all that is known of it, as one event a line",
		ResultType: "application/jsonl", Duration: 2 * time.Minute,
		Parameters: []task.Parameter{{
			Name: "measure", Summary: "how long CPU use is measured", Type: task.Duration, Default: "1s", Min: 0, Max: 60,
		}},
	}}
}

var _ agent.Tasker = (*Agent)(nil)

// RunTask implements agent.Tasker. It reads a table of its own, beside Run.
func (a *Agent) RunTask(ctx context.Context, c *task.Call) error {
	if c.Task != taskSnapshot {
		return fmt.Errorf("there is no task %q", c.Task)
	}
	t, err := a.fresh()
	if err != nil {
		return err
	}
	var found change
	c.Progress(0, 0, "reads every process")
	if err := t.scan(&found); err != nil {
		return err
	}
	if span := c.Values.Span("measure"); span > 0 {
		c.Progress(0, 0, "measures CPU use for "+span.String())
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(span):
		}
		t.refresh(&found)
	}
	return a.write(ctx, t, c)
}

// write puts each process that the lists of the configuration allow into the
// result, by process id.
func (a *Agent) write(ctx context.Context, t *table, c *task.Call) error {
	var list []*process
	for _, p := range t.byPID {
		if p.watched {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(x, y *process) int { return x.pid - y.pid })
	origin := event.Origin{Now: a.o.Now}
	var lines bytes.Buffer
	for i, p := range list {
		if err := ctx.Err(); err != nil {
			return err
		}
		ev := t.sampleEvent(p)
		body := ev.GetProcess()
		body.Process, body.Parent = t.describe(p), t.parent(p)
		if err := origin.Complete(ev); err != nil {
			return err
		}
		line, err := event.ToJSON(ev)
		if err != nil {
			return err
		}
		lines.Write(append(line, '\n'))
		if lines.Len() >= 64<<10 || i == len(list)-1 {
			c.Progress(uint64(i+1), uint64(len(list)), "writes processes")
			if _, err := lines.WriteTo(c); err != nil {
				return err
			}
		}
	}
	return nil
}
