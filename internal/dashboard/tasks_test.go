package dashboard_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc"

	"github.com/amoskys/amoskys/internal/dashboard"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// answerTask is what the fake node does with a command about tasks. A task named
// wait ends when it is cancelled.
func answerTask(conn *grpc.ClientConn, say func(*pb.NodeMessage), c *pb.NodeCommand, result *pb.CommandResult) {
	progress := func(state pb.TaskState, done, bytes uint64) {
		say(&pb.NodeMessage{Message: &pb.NodeMessage_Progress{Progress: &pb.TaskProgress{
			RunId: c.GetTask().GetRunId(), State: state, Done: done, Total: 2, Text: "at work", ResultBytes: bytes,
		}}})
	}
	switch c.GetCommand() {
	case pb.AgentCommand_AGENT_COMMAND_LIST_TASKS:
		result.Tasks = []*pb.Task{{Name: "snapshot", Summary: "all", ResultType: "application/jsonl", Parameters: []*pb.TaskParameter{
			{Name: "measure", Type: pb.TaskParameterType_TASK_PARAMETER_TYPE_DURATION, Default: "1s"},
		}}}
	case pb.AgentCommand_AGENT_COMMAND_RUN_TASK:
		switch c.GetTask().GetTask() {
		case "wait":
			progress(pb.TaskState_TASK_STATE_RUNNING, 1, 0)
		case "snapshot":
			progress(pb.TaskState_TASK_STATE_SUCCEEDED, 2, 6)
		case "packets_save":
			if c.GetTask().GetParameters()["community_id"] == "1:gone" {
				say(&pb.NodeMessage{Message: &pb.NodeMessage_Progress{Progress: &pb.TaskProgress{
					RunId: c.GetTask().GetRunId(), State: pb.TaskState_TASK_STATE_FAILED, Text: "the ring has no packet of it",
				}}})
				return
			}
			progress(pb.TaskState_TASK_STATE_SUCCEEDED, 2, 6)
		case "choosy":
			result.Ok, result.Error, result.BadRequest = false, `parameter rate: "many" is no number`, true
		default:
			result.Ok, result.Error = false, "there is no such task"
		}
	case pb.AgentCommand_AGENT_COMMAND_CANCEL_TASK:
		progress(pb.TaskState_TASK_STATE_CANCELLED, 1, 0)
	case pb.AgentCommand_AGENT_COMMAND_SEND_RESULT:
		up, err := pb.NewTasksClient(conn).SendResult(context.Background())
		if err != nil {
			return
		}
		go func() {
			_ = up.Send(&pb.TaskChunk{TransferId: c.GetTask().GetTransferId(), Info: &pb.TaskResultInfo{Task: "snap\"shot/..", ResultType: "application/jsonl", Bytes: 6}})
			_ = up.Send(&pb.TaskChunk{Data: []byte("<b>hi\n")})
			_, _ = up.CloseAndRecv()
		}()
	default:
	}
}

func TestTasks(t *testing.T) {
	s := newSite(t)
	s.hub.node(t, "h1")
	c := s.signedIn(t, "analyst")
	var list dashboard.AgentTasks
	eventually(t, "the agent is known", func() bool { return c.do("GET", "/api/agents/proc_agent/tasks", nil, &list) == 200 })
	if len(list.Tasks) != 1 || !list.Tasks[0].HasResult || list.Tasks[0].Parameters[0].Type != "duration" {
		t.Errorf("tasks %+v", list)
	}
	resp := c.send("POST", "/api/agents/proc_agent/tasks/snapshot", map[string]any{"parameters": map[string]string{"measure": "1s"}})
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("run: %s", resp.Status)
	}
	var last dashboard.TaskProgress
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if err := json.Unmarshal(lines.Bytes(), &last); err != nil {
			t.Fatal(err)
		}
	}
	if last.State != "succeeded" || last.ResultBytes != 6 || last.RunID == "" {
		t.Errorf("ended as %+v", last)
	}
	file := c.send("GET", "/api/agents/proc_agent/results/"+last.RunID, nil)
	defer file.Body.Close()
	text, err := io.ReadAll(file.Body)
	if err != nil || string(text) != "<b>hi\n" || file.Header.Get("Content-Disposition") != `attachment; filename="snapshot.jsonl"` ||
		file.Header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("result %q, %v, headers %v", text, err, file.Header)
	}
	var p dashboard.Problem
	if code := c.do("POST", "/api/agents/proc_agent/tasks/choosy", map[string]any{}, &p); code != http.StatusBadRequest || p.Detail != `parameter rate: "many" is no number` {
		t.Errorf("a parameter that is wrong: %d %q", code, p.Detail)
	}
	if code := c.do("POST", "/api/agents/proc_agent/tasks/other", map[string]any{}, nil); code != http.StatusBadGateway && code != http.StatusConflict {
		t.Errorf("no such task: %d", code)
	}
	if code := s.signedIn(t, "viewer").do("POST", "/api/agents/proc_agent/tasks/snapshot", map[string]any{}, nil); code != http.StatusForbidden {
		t.Errorf("a viewer ran a task: %d", code)
	}
	if code := s.signedIn(t, "viewer").do("GET", "/api/agents/proc_agent/results/"+last.RunID, nil, nil); code != http.StatusForbidden {
		t.Errorf("a viewer fetched a result: %d", code)
	}
}

// TestTaskEndsWithItsReader: who closes the page has cancelled the task.
func TestTaskEndsWithItsReader(t *testing.T) {
	s := newSite(t)
	s.hub.node(t, "h1")
	c := s.signedIn(t, "admin")
	eventually(t, "the agent is known", func() bool { return c.do("GET", "/api/agents/proc_agent/tasks", nil, nil) == 200 })
	before := s.hub.streams.Load()
	resp := c.send("POST", "/api/agents/proc_agent/tasks/wait", map[string]any{})
	line, err := bufio.NewReader(resp.Body).ReadString('\n')
	if err != nil || !strings.Contains(line, `"state":"running"`) {
		t.Fatalf("%q, %v", line, err)
	}
	resp.Body.Close()
	eventually(t, "the run is over at the hub", func() bool { return s.hub.streams.Load() <= before })
}

// TestTasksAreShared: one user's tasks take no streams of the hub from others.
func TestTasksAreShared(t *testing.T) {
	s := newSite(t)
	s.hub.node(t, "h1")
	c, other := s.signedIn(t, "analyst"), s.signedIn(t, "admin")
	eventually(t, "the agent is known", func() bool { return c.do("GET", "/api/agents/proc_agent/tasks", nil, nil) == 200 })
	// open starts a task and returns the answer's code; end leaves it.
	open := func(c *client) (code int, end func()) {
		resp := c.send("POST", "/api/agents/proc_agent/tasks/wait", map[string]any{})
		t.Cleanup(func() { resp.Body.Close() })
		return resp.StatusCode, func() { resp.Body.Close() }
	}
	_, end := open(c)
	for range 7 {
		if code, _ := open(c); code != http.StatusOK {
			t.Fatalf("within the share: %d", code)
		}
	}
	if code, _ := open(c); code != http.StatusTooManyRequests {
		t.Errorf("beyond the share: %d", code)
	}
	if code, _ := open(other); code != http.StatusOK {
		t.Errorf("another user: %d", code)
	}
	end()
	eventually(t, "there is room again", func() bool { code, _ := open(c); return code == http.StatusOK })
}

// TestPackets: an analyst gets a flow's packets as a file, or is told why there are none.
func TestPackets(t *testing.T) {
	s := newSite(t)
	s.hub.node(t, "h1")
	c := s.signedIn(t, "analyst")
	eventually(t, "the agent is known", func() bool { return c.do("GET", "/api/agents/proc_agent/tasks", nil, nil) == 200 })
	wish := map[string]any{"agent": "proc_agent", "host": "h1", "community_id": "1:x", "since": "2026-01-02T03:04:05Z"}
	file := c.send("POST", "/api/packets", wish)
	defer file.Body.Close()
	body, err := io.ReadAll(file.Body)
	if err != nil || file.StatusCode != http.StatusOK || string(body) != "<b>hi\n" || file.Header.Get("Content-Type") != "application/vnd.tcpdump.pcap" ||
		file.Header.Get("Packets-Saved") != "at work" || !strings.HasPrefix(file.Header.Get("Content-Disposition"), `attachment; filename="amoskys-packets-`) {
		t.Errorf("%s: %q, %v, headers %v", file.Status, body, err, file.Header)
	}
	var p dashboard.Problem
	if code := c.do("POST", "/api/packets", map[string]any{"agent": "proc_agent", "community_id": "1:gone"}, &p); code != http.StatusConflict || p.Detail != "the ring has no packet of it" {
		t.Errorf("packets that are gone: %d %q", code, p.Detail)
	}
	if code := c.do("POST", "/api/packets", map[string]any{"agent": "none"}, nil); code != http.StatusNotFound {
		t.Errorf("no such agent: %d", code)
	}
	if code := s.signedIn(t, "viewer").do("POST", "/api/packets", wish, nil); code != http.StatusForbidden {
		t.Errorf("a viewer: %d", code)
	}
}
