package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/grpc"

	"github.com/amoskys/amoskys/internal/app/remote"
	"github.com/amoskys/amoskys/internal/cli"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TaskOptions say which task to run and what becomes of it.
type TaskOptions struct {
	Agent, Host, Task string
	Parameters        map[string]string
	Output            string // file for the result; "-" is stdout, empty leaves it with the agent
	JSON              bool
}

// taskLine is how a run is printed as JSON.
type taskLine struct {
	RunID       string `json:"run_id"`
	Agent       string `json:"agent_id"`
	Host        string `json:"host"`
	State       string `json:"state"`
	Done        uint64 `json:"done"`
	Total       uint64 `json:"total"`
	Text        string `json:"text,omitempty"`
	ResultBytes uint64 `json:"result_bytes"`
}

func taskLineOf(p *pb.TaskProgress) taskLine {
	return taskLine{
		RunID: p.GetRunId(), Agent: p.GetAgentId(), Host: p.GetHost(), State: taskState(p),
		Done: p.GetDone(), Total: p.GetTotal(), Text: p.GetText(), ResultBytes: p.GetResultBytes(),
	}
}

func taskState(p *pb.TaskProgress) string {
	return strings.ToLower(strings.TrimPrefix(p.GetState().String(), "TASK_STATE_"))
}

// ListTasks prints what an agent can be asked to do.
func ListTasks(ctx context.Context, e *cli.Env, agent, host string, asJSON bool) error {
	c, err := remote.Dial(e, "")
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // nothing more is asked
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	if agent, host, err = named(ctx, c, agent, host); err != nil {
		return err
	}
	r, err := c.Tasks.ListTasks(ctx, &pb.ListTasksRequest{AgentId: agent, Host: host})
	if err != nil {
		return fmt.Errorf("tasks of %s: %w", agent, c.Explain(err))
	}
	if asJSON {
		return cli.WriteJSON(e.Stdout, tasksJSON(r))
	}
	if len(r.GetTasks()) == 0 {
		fmt.Fprintf(e.Stdout, "%s on %s has no tasks\n", cli.Clean(r.GetAgentId()), cli.Clean(r.GetHost()))
		return nil
	}
	t := cli.NewTable("TASK", "PARAMETER", "DEFAULT", "RESULT", "WHAT")
	for _, task := range r.GetTasks() {
		t.Row(task.GetName(), "", "", task.GetResultType(), task.GetSummary())
		if why := task.GetUnavailable(); why != "" {
			t.Row("", "", "", "", "not now: "+why)
		}
		for _, p := range task.GetParameters() {
			t.Row("", p.GetName(), p.GetDefault(), "", p.GetSummary())
		}
	}
	return t.Write(e.Stdout)
}

// tasksJSON is the object that ListTasks prints.
func tasksJSON(r *pb.ListTasksResponse) map[string]any {
	list := make([]map[string]any, 0, len(r.GetTasks()))
	for _, task := range r.GetTasks() {
		parameters := make([]map[string]any, 0, len(task.GetParameters()))
		for _, p := range task.GetParameters() {
			parameters = append(parameters, map[string]any{
				"name": p.GetName(), "summary": p.GetSummary(), "default": p.GetDefault(), "required": p.GetRequired(),
				"type": strings.ToLower(strings.TrimPrefix(p.GetType().String(), "TASK_PARAMETER_TYPE_")),
			})
		}
		list = append(list, map[string]any{
			"name": task.GetName(), "summary": task.GetSummary(), "parameters": parameters, "result_type": task.GetResultType(),
			"max_result_bytes": task.GetMaxResultBytes(), "max_seconds": task.GetMaxDuration().AsDuration().Seconds(), "unavailable": task.GetUnavailable(),
		})
	}
	return map[string]any{"agent_id": r.GetAgentId(), "host": r.GetHost(), "tasks": list}
}

// RunTask runs a task, shows its progress and fetches its result. The task is
// cancelled when ctx ends. One that does not succeed is an error.
func RunTask(ctx context.Context, e *cli.Env, o TaskOptions) error {
	c, err := remote.Dial(e, "")
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // nothing more is asked
	if o.Agent, o.Host, err = named(ctx, c, o.Agent, o.Host); err != nil {
		return err
	}
	last, err := runToEnd(ctx, e, c, o)
	if err != nil {
		return err
	}
	if last.GetState() != pb.TaskState_TASK_STATE_SUCCEEDED {
		if o.JSON {
			return cli.ErrSilent // the last line says it
		}
		return fmt.Errorf("%s of %s: %s: %s", o.Task, o.Agent, taskState(last), last.GetText())
	}
	if o.Output != "" && last.GetResultBytes() > 0 {
		return fetchResult(ctx, e, c, o, last.GetRunId())
	}
	if o.JSON {
		return nil
	}
	fmt.Fprintf(e.Stdout, "%s of %s on %s has succeeded\n", o.Task, cli.Clean(last.GetAgentId()), cli.Clean(last.GetHost()))
	if n := last.GetResultBytes(); n > 0 {
		fmt.Fprintf(e.Stdout, "its result of %s is kept for an hour: amoskys agents result %s/%s %s --output FILE\n",
			cli.Bytes(n), cli.Clean(last.GetHost()), cli.Clean(last.GetAgentId()), last.GetRunId())
	}
	return nil
}

// runToEnd runs a task, shows its progress and returns the last.
func runToEnd(ctx context.Context, e *cli.Env, c *remote.Client, o TaskOptions) (*pb.TaskProgress, error) {
	stream, err := c.Tasks.RunTask(ctx, &pb.RunTaskRequest{AgentId: o.Agent, Host: o.Host, Task: o.Task, Parameters: o.Parameters, Actor: actor()})
	var last *pb.TaskProgress
	if err == nil {
		last, err = followTask(stream, e, o)
	}
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%s of %s is cancelled", o.Task, o.Agent)
	case err != nil:
		return nil, fmt.Errorf("%s of %s: %w", o.Task, o.Agent, c.Explain(err))
	}
	return last, nil
}

// followTask shows progress until the last.
func followTask(stream grpc.ServerStreamingClient[pb.TaskProgress], e *cli.Env, o TaskOptions) (*pb.TaskProgress, error) {
	line := cli.NewProgress(e.Stderr, e.Now)
	defer line.Done()
	var last *pb.TaskProgress
	for {
		p, err := stream.Recv()
		if errors.Is(err, io.EOF) && last != nil {
			return last, nil
		}
		if err != nil {
			return nil, err
		}
		last = p
		switch {
		case o.JSON && o.Output != "-":
			if err := cli.WriteJSONLine(e.Stdout, taskLineOf(p)); err != nil {
				return nil, err
			}
		default:
			line.Count(cli.Clean(o.Task+"  "+p.GetText()), p.GetDone(), p.GetTotal())
		}
	}
}

// Result fetches the result of a run that has succeeded within the hour.
func Result(ctx context.Context, e *cli.Env, o TaskOptions, runID string) error {
	c, err := remote.Dial(e, "")
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // nothing more is asked
	if o.Agent, o.Host, err = named(ctx, c, o.Agent, o.Host); err != nil {
		return err
	}
	return fetchResult(ctx, e, c, o, runID)
}

func fetchResult(ctx context.Context, e *cli.Env, c *remote.Client, o TaskOptions, runID string) error {
	stream, err := c.Tasks.TaskResult(ctx, &pb.TaskResultRequest{AgentId: o.Agent, Host: o.Host, RunId: runID, Actor: actor()})
	if err != nil {
		return fmt.Errorf("result of %s: %w", o.Agent, c.Explain(err))
	}
	if o.Output == "-" {
		_, err := receiveResult(stream, e, e.Stdout)
		return c.Explain(err)
	}
	// Whole or not at all: a file that is half there looks like a result.
	temp, err := os.CreateTemp(filepath.Dir(o.Output), ".result-*")
	if err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	defer os.Remove(temp.Name())
	n, err := receiveResult(stream, e, temp)
	if err = errors.Join(c.Explain(err), temp.Close()); err != nil {
		return fmt.Errorf("result of %s: %w", o.Agent, err)
	}
	if err := os.Rename(temp.Name(), o.Output); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	if !o.JSON {
		fmt.Fprintf(e.Stdout, "%s in %s\n", cli.Bytes(n), o.Output)
	}
	return nil
}

func receiveResult(stream grpc.ServerStreamingClient[pb.TaskChunk], e *cli.Env, w io.Writer) (int64, error) {
	line := cli.NewProgress(e.Stderr, e.Now)
	defer line.Done()
	var got, total int64
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return got, nil
		}
		if err != nil {
			return got, err
		}
		if chunk.GetInfo() != nil {
			total = int64(chunk.GetInfo().GetBytes())
		}
		n, err := w.Write(chunk.GetData())
		if err != nil {
			return got, fmt.Errorf("write result: %w", err)
		}
		got += int64(n)
		line.Update("result", got, total)
	}
}
