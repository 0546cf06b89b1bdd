package agent

import (
	"context"
	"errors"
	"net"

	"golang.org/x/sync/errgroup"

	"github.com/amoskys/amoskys/internal/agent/task"
	"github.com/amoskys/amoskys/internal/obs"
)

// tasked is an agent with a server for its tasks beside it.
type tasked struct {
	Agent
	server   *task.Server
	listener net.Listener
}

// withTasks returns a, with its tasks served while it runs if it has any. Where
// the socket cannot be opened the agent does its work without them.
func (r *runner) withTasks(ctx context.Context, a Agent, o Options) (Agent, error) {
	tasks := r.o.Definition.Tasks
	if len(tasks) == 0 {
		return a, nil
	}
	tasker, ok := a.(Tasker)
	if !ok {
		return nil, errors.New("its definition has tasks and the agent has no RunTask")
	}
	options := task.Options{AgentID: o.ID, Tasks: tasks, Run: tasker.RunTask, DataDir: o.DataDir, Logger: o.Logger, Now: o.Now}
	if l, ok := a.(TaskLimiter); ok {
		options.Unavailable = l.TaskUnavailable
	}
	server, err := task.NewServer(options)
	if err != nil {
		return nil, err
	}
	if err := o.Registerer.Register(server); err != nil {
		return nil, err
	}
	l, err := task.Listen(ctx, o.DataDir)
	if err != nil {
		r.log.Warn("tasks cannot be asked for", obs.KeyError, err)
		return a, nil
	}
	return &tasked{Agent: a, server: server, listener: l}, nil
}

// Run implements Agent. Tasks end with the agent.
func (t *tasked) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	life, end := context.WithCancel(ctx)
	group.Go(func() error { return t.server.Serve(life, t.listener) })
	group.Go(func() error {
		defer end()
		return t.Agent.Run(ctx)
	})
	return group.Wait()
}
