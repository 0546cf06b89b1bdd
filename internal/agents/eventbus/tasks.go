package eventbus

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/agent/task"
)

// taskProbe is the one task of this agent.
const taskProbe = "probe"

func tasks() []task.Task {
	return []task.Task{{
		Name: taskProbe, Summary: "looks at the hub now and publishes what it found",
		ResultType: "application/json", ResultBytes: 1 << 20,
	}}
}

var _ agent.Tasker = (*Agent)(nil)

// RunTask implements agent.Tasker. A hub that is not well is what the task was to
// find, and no error of it.
func (a *Agent) RunTask(ctx context.Context, c *task.Call) error {
	if c.Task != taskProbe {
		return fmt.Errorf("there is no task %q", c.Task)
	}
	c.Progress(0, 1, "looks at "+a.cfg.addr())
	m, err := a.look(ctx, true)
	if err != nil {
		return err
	}
	c.Progress(1, 1, "the hub is "+m.state())
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m.message(a.cfg.addr()))
	if err != nil {
		return fmt.Errorf("print what was found: %w", err)
	}
	_, err = c.Write(append(text, '\n'))
	return err
}
