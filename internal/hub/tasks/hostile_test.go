package tasks_test

import (
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// evil is a node that answers as its test wants.
func (w *world) evil(t *testing.T, id string, answer func(*pb.NodeCommand, func(*pb.NodeMessage)) *pb.CommandResult) {
	t.Helper()
	ctx := metadata.AppendToOutgoingContext(t.Context(), whoHeader, id)
	control, err := pb.NewFleetClient(dial(t, w.addr)).Control(ctx)
	if err != nil {
		t.Fatal(err)
	}
	say := func(m *pb.NodeMessage) { _ = control.Send(m) }
	say(&pb.NodeMessage{Message: &pb.NodeMessage_Hello{Hello: &pb.NodeHello{NodeId: id, Host: &pb.Host{Name: id}, Agents: []*pb.AgentStatus{{Id: "evil_agent"}}}}})
	go func() {
		for {
			c, err := control.Recv()
			if err != nil {
				return
			}
			r := answer(c, say)
			r.Id = c.GetId()
			say(&pb.NodeMessage{Message: &pb.NodeMessage_Result{Result: r}})
		}
	}()
	deadline := time.After(10 * time.Second)
	for {
		r, err := w.fleets.ListAgents(t.Context(), &pb.ListAgentsRequest{Host: id})
		if err == nil && len(r.GetAgents()) == 1 {
			return
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-deadline:
			t.Fatal("the node is not there")
		}
	}
}

// TestNodesSendAnything: progress of every form, and results that are none.
func TestNodesSendAnything(t *testing.T) {
	w := newWorld(t)
	progress := func(p *pb.TaskProgress) *pb.NodeMessage {
		return &pb.NodeMessage{Message: &pb.NodeMessage_Progress{Progress: p}}
	}
	w.evil(t, "evil-1", func(c *pb.NodeCommand, say func(*pb.NodeMessage)) *pb.CommandResult {
		id := c.GetTask().GetRunId()
		switch c.GetCommand() {
		case pb.AgentCommand_AGENT_COMMAND_LIST_TASKS:
			return &pb.CommandResult{Ok: true, Tasks: make([]*pb.Task, 1000)}
		case pb.AgentCommand_AGENT_COMMAND_RUN_TASK:
			for range 1000 {
				say(progress(&pb.TaskProgress{RunId: "none of yours"}))
				say(progress(&pb.TaskProgress{RunId: id, State: 77, Text: strings.Repeat("x", 100_000), Host: "web-1", AgentId: "test_agent"}))
			}
			say(progress(&pb.TaskProgress{RunId: id, State: pb.TaskState_TASK_STATE_SUCCEEDED, ResultBytes: 1 << 62}))
			say(progress(&pb.TaskProgress{RunId: id, State: pb.TaskState_TASK_STATE_FAILED}))
		default:
		}
		return &pb.CommandResult{Ok: true}
	})
	if r, err := w.tasks.ListTasks(t.Context(), &pb.ListTasksRequest{AgentId: "evil_agent"}); err != nil || len(r.GetTasks()) > 64 {
		t.Errorf("%d tasks, %v", len(r.GetTasks()), err)
	}
	s, err := w.tasks.RunTask(t.Context(), &pb.RunTaskRequest{AgentId: "evil_agent", Task: "x"})
	if err != nil {
		t.Fatal(err)
	}
	for {
		p, err := s.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(p.GetText()) > 1024 || p.GetHost() != "evil-1" || p.GetAgentId() != "evil_agent" || p.GetState() > pb.TaskState_TASK_STATE_SUCCEEDED {
			t.Errorf("handed on %.200v", p)
		}
	}
}

func TestResultsThatAreNone(t *testing.T) {
	info := func(n uint64) *pb.TaskResultInfo { return &pb.TaskResultInfo{Bytes: n} }
	for name, tt := range map[string]struct {
		who    string
		chunks []*pb.TaskChunk
		code   codes.Code
		text   string
	}{
		"another node":   {"web-1", []*pb.TaskChunk{{Info: info(1), Data: []byte("x")}}, codes.Unavailable, "is not node"},
		"no info":        {"evil-1", []*pb.TaskChunk{{Data: []byte("x")}}, codes.DataLoss, "no result that"},
		"too large":      {"evil-1", []*pb.TaskChunk{{Info: info(1 << 40)}}, codes.DataLoss, "no result that"},
		"more than said": {"evil-1", []*pb.TaskChunk{{Info: info(3)}, {Data: []byte("four")}}, codes.DataLoss, "larger than the 3"},
		"less than said": {"evil-1", []*pb.TaskChunk{{Info: info(3)}, {Data: []byte("xy")}}, codes.DataLoss, "ended after 2 of 3"},
		"an empty chunk": {"evil-1", []*pb.TaskChunk{{Info: info(1)}, {}, {Data: []byte("x")}}, codes.Unavailable, "empty chunk"},
		"a large chunk":  {"evil-1", []*pb.TaskChunk{{Info: info(1 << 20)}, {Data: make([]byte, 256<<10+1)}}, codes.Unavailable, "262145 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			var sending sync.WaitGroup
			defer sending.Wait()
			w.evil(t, "evil-1", func(c *pb.NodeCommand, _ func(*pb.NodeMessage)) *pb.CommandResult {
				sending.Go(func() {
					ctx := metadata.AppendToOutgoingContext(t.Context(), whoHeader, tt.who)
					up, err := w.tasks.SendResult(ctx)
					if err != nil {
						return
					}
					tt.chunks[0].TransferId = c.GetTask().GetTransferId()
					for _, chunk := range tt.chunks {
						_ = up.Send(chunk)
					}
					_, _ = up.CloseAndRecv()
				})
				return &pb.CommandResult{Ok: true}
			})
			s, err := w.tasks.TaskResult(t.Context(), &pb.TaskResultRequest{AgentId: "evil_agent", RunId: "x"})
			if err != nil {
				t.Fatal(err)
			}
			wantCode(t, func() error { _, err := s.Recv(); return err }, tt.code, tt.text)
		})
	}
	w := newWorld(t)
	up, err := w.tasks.SendResult(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = up.Send(&pb.TaskChunk{TransferId: "guessed"})
	if _, err := up.CloseAndRecv(); status.Code(err) != codes.NotFound {
		t.Errorf("a result that nobody asked for: %v", err)
	}
}
