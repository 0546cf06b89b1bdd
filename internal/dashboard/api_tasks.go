package dashboard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/limit"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// AgentTasks are what an agent can be asked to do.
type AgentTasks struct {
	Tasks []AgentTask `json:"tasks" nullable:"false"`
}

// AgentTask is one of them.
type AgentTask struct {
	Name       string          `json:"name"`
	Summary    string          `json:"summary"`
	Parameters []TaskParameter `json:"parameters" nullable:"false"`
	HasResult  bool            `json:"has_result"`
	MaxSeconds float64         `json:"max_seconds"`
	// Unavailable is for people.
	Unavailable string `json:"unavailable" doc:"Why the agent cannot do it as it is set up, and what helps; empty where it can."`
}

// TaskParameter is one thing that a task can be told, as text.
type TaskParameter struct {
	Name     string   `json:"name"`
	Summary  string   `json:"summary"`
	Type     string   `json:"type" enum:"string,integer,number,boolean,duration"`
	Default  string   `json:"default"`
	Required bool     `json:"required"`
	Values   []string `json:"values" nullable:"false" doc:"The only ones allowed; none for all."`
}

// TaskProgress is one line of a run's answer.
type TaskProgress struct {
	RunID       string `json:"run_id"`
	State       string `json:"state" enum:"running,succeeded,failed,cancelled,timed_out,stuck"`
	Done        uint64 `json:"done"`
	Total       uint64 `json:"total"`
	Text        string `json:"text"`
	ResultBytes uint64 `json:"result_bytes"`
}

type runTaskInput struct {
	ID   string `path:"id" maxLength:"256" doc:"Agent id, such as proc_agent."`
	Task string `path:"task" maxLength:"64" doc:"Name of the task."`
	Host string `query:"host" maxLength:"256" doc:"Its host, where several have such an agent."`
	Body struct {
		Parameters map[string]string `json:"parameters,omitempty" maxProperties:"16"`
	}
}

type resultInput struct {
	ID   string `path:"id" maxLength:"256" doc:"Agent id, such as proc_agent."`
	Run  string `path:"run" maxLength:"64" doc:"Id of a run that has succeeded."`
	Host string `query:"host" maxLength:"256" doc:"Its host, where several have such an agent."`
}

// wordOf is the last part of the name of an enum's value, in small letters.
func wordOf(name, prefix string) string { return strings.ToLower(strings.TrimPrefix(name, prefix)) }

func (s *Server) agentTasks(ctx context.Context, in *agentInput) (AgentTasks, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	list, err := pb.NewTasksClient(s.hub.conn).ListTasks(ctx, &pb.ListTasksRequest{AgentId: in.ID, Host: in.Host})
	if err != nil {
		return AgentTasks{}, err
	}
	out := AgentTasks{Tasks: []AgentTask{}}
	for _, t := range list.GetTasks() {
		task := AgentTask{
			Name: t.GetName(), Summary: t.GetSummary(), Parameters: []TaskParameter{},
			HasResult: t.GetResultType() != "", MaxSeconds: t.GetMaxDuration().AsDuration().Seconds(), Unavailable: t.GetUnavailable(),
		}
		for _, p := range t.GetParameters() {
			task.Parameters = append(task.Parameters, TaskParameter{
				Name: p.GetName(), Summary: p.GetSummary(), Type: wordOf(p.GetType().String(), "TASK_PARAMETER_TYPE_"),
				Default: p.GetDefault(), Required: p.GetRequired(), Values: append([]string{}, p.GetValues()...),
			})
		}
		out.Tasks = append(out.Tasks, task)
	}
	return out, nil
}

// Bounds on runs and results that are followed at once, each by a stream of the hub:
// all together, and of one user.
const (
	maxTaskStreams      = 64
	maxTaskStreamsOfOne = 8
)

// taskStream returns a connection for a stream of the user's share, and the context
// of that, until end is called.
func (s *Server) taskStream(ctx context.Context) (_ context.Context, conn *grpc.ClientConn, end func(), err error) {
	slot, err := s.taskSlots.Take(limit.Claim{Key: sessionOf(ctx).user, Known: true, Most: maxTaskStreamsOfOne})
	switch {
	case errors.Is(err, limit.ErrShare):
		return nil, nil, nil, status.Errorf(codes.ResourceExhausted, "you follow %d tasks and results, which is the most: wait for one to end", maxTaskStreamsOfOne)
	case err != nil:
		return nil, nil, nil, status.Errorf(codes.ResourceExhausted, "all users together follow %d tasks and results, which is the most", maxTaskStreams)
	}
	conn, done := s.hub.stream()
	ctx, cancel := context.WithCancel(ctx)
	return ctx, conn, func() { cancel(); done(); slot.Release() }, nil
}

// runTask answers with lines of TaskProgress while the task runs. It is cancelled
// when the caller leaves.
func (s *Server) runTask(ctx context.Context, in *runTaskInput) (*huma.StreamResponse, error) {
	ctx, conn, end, err := s.taskStream(ctx)
	if err != nil {
		return nil, err
	}
	stream, err := pb.NewTasksClient(conn).RunTask(ctx, &pb.RunTaskRequest{
		AgentId: in.ID, Host: in.Host, Task: in.Task, Parameters: in.Body.Parameters, Actor: sessionOf(ctx).user,
	})
	var first *pb.TaskProgress
	if err == nil {
		first, err = stream.Recv()
	}
	if err != nil {
		end()
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		defer end()
		hc.SetHeader("Content-Type", "application/jsonl")
		_, w := humago.Unwrap(hc)
		relayProgress(w, first, stream)
	}}, nil
}

func relayProgress(w http.ResponseWriter, p *pb.TaskProgress, stream grpc.ServerStreamingClient[pb.TaskProgress]) {
	flush, lines := unhurried(w), json.NewEncoder(w)
	for {
		line := TaskProgress{
			RunID: p.GetRunId(), State: wordOf(p.GetState().String(), "TASK_STATE_"), Done: p.GetDone(), Total: p.GetTotal(),
			Text: p.GetText(), ResultBytes: p.GetResultBytes(),
		}
		if lines.Encode(line) != nil || flush() != nil {
			return // the caller has left
		}
		next, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			next = &pb.TaskProgress{RunId: p.GetRunId(), State: pb.TaskState_TASK_STATE_FAILED, Text: status.Convert(err).Message()}
			stream = ended{stream}
		}
		p = next
	}
}

// ended is a stream that has.
type ended struct {
	grpc.ServerStreamingClient[pb.TaskProgress]
}

// Recv says so.
func (ended) Recv() (*pb.TaskProgress, error) { return nil, io.EOF }

// taskResult hands a result on as it comes; the dashboard keeps nothing of it.
func (s *Server) taskResult(ctx context.Context, in *resultInput) (*huma.StreamResponse, error) {
	ctx, conn, end, err := s.taskStream(ctx)
	if err != nil {
		return nil, err
	}
	stream, err := pb.NewTasksClient(conn).TaskResult(ctx, &pb.TaskResultRequest{
		AgentId: in.ID, Host: in.Host, RunId: in.Run, Actor: sessionOf(ctx).user,
	})
	return resultFile(end, stream, err, func(hc huma.Context, info *pb.TaskResultInfo) {
		// As a file, whatever the agent calls it: nothing of it is shown or run here.
		hc.SetHeader("Content-Type", "application/octet-stream")
		hc.SetHeader("Content-Disposition", fmt.Sprintf("attachment; filename=%q", fileOf(info)))
	})
}

// resultFile answers with a result as it comes, if there was no fault in asking for it;
// label says in headers what it is. The stream of the user's share ends with the answer.
func resultFile(
	end func(), file grpc.ServerStreamingClient[pb.TaskChunk], fault error, label func(huma.Context, *pb.TaskResultInfo),
) (*huma.StreamResponse, error) {
	var chunk *pb.TaskChunk
	if fault == nil {
		chunk, fault = file.Recv()
	}
	if fault != nil {
		end()
		return nil, fault
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		defer end()
		label(hc, chunk.GetInfo())
		hc.SetHeader("Content-Length", strconv.FormatUint(chunk.GetInfo().GetBytes(), 10))
		_, w := humago.Unwrap(hc)
		relayFile(w, chunk, file)
	}}, nil
}

// relayFile writes a result as it comes.
func relayFile(w http.ResponseWriter, chunk *pb.TaskChunk, file grpc.ServerStreamingClient[pb.TaskChunk]) {
	flush := unhurried(w)
	for {
		if _, err := w.Write(chunk.GetData()); err != nil || flush() != nil {
			return // the caller has left
		}
		var err error
		if chunk, err = file.Recv(); err != nil {
			return // whole, or shorter than its length, which the browser tells
		}
	}
}

// fileOf is a file name of letters and digits for a result.
func fileOf(info *pb.TaskResultInfo) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' {
			return r
		}
		return -1
	}, info.GetTask())
	switch info.GetResultType() {
	case "application/jsonl":
		return name + ".jsonl"
	case "application/json":
		return name + ".json"
	case "text/plain":
		return name + ".txt"
	case packetsType:
		return name + ".pcap"
	}
	return name + ".bin"
}

// unhurried lets an answer take as long as its reader; each part has writeTime. The
// time for reading the request would end it as well.
func unhurried(w http.ResponseWriter) (flush func() error) {
	const writeTime = time.Minute
	c := http.NewResponseController(w)
	unread := c.SetReadDeadline(time.Time{})
	return func() error {
		if unread != nil {
			return unread
		}
		return errors.Join(c.SetWriteDeadline(time.Now().Add(writeTime)), c.Flush())
	}
}
