package fleet_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

const (
	handHand  = "h1/a@ RUNNING GREEN false"
	handNode  = "h1/a@n1 RUNNING GREEN true"
	handGone  = "h1/a@n1 UNKNOWN UNSPECIFIED false"
	handEmpty = ""
)

// TestRunByHand walks through the table at byHand: n is the node coming, N going,
// h a stream by hand opening, H ending.
func TestRunByHand(t *testing.T) {
	claim, err := proto.Marshal(&pb.AgentStatus{Kind: "proc", Pid: 42, Version: "1", Host: "other", Id: "other", State: pb.AgentState_AGENT_STATE_CRASHED, Warning: "x"})
	if err != nil {
		t.Fatal(err)
	}
	for name, steps := range map[string][][2]string{
		"alone":                       {{"h", handHand}, {"H", handEmpty}, {"h", handHand}},
		"connects again":              {{"h", handHand}, {"h", handHand}, {"H", handHand}, {"H", handEmpty}},
		"its node runs it":            {{"n", handNode}, {"h", handNode}, {"H", handNode}},
		"its node comes":              {{"h", handHand}, {"n", handNode}, {"H", handNode}},
		"its node comes and goes":     {{"h", handHand}, {"n", handNode}, {"N", handHand}, {"H", handGone}},
		"its node has gone":           {{"n", handNode}, {"N", handGone}, {"h", handHand}, {"H", handGone}},
		"its node comes without it":   {{"n", handNode}, {"N", handGone}, {"h", handHand}, {"0", handHand}, {"H", handEmpty}},
		"the node drops it meanwhile": {{"n", handNode}, {"h", handNode}, {"0", handHand}, {"H", handEmpty}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, openState(t))
			var gone []func()
			var n *node
			for _, step := range steps {
				switch step[0] {
				case "h":
					gone = append(gone, f.service.Unsupervised("h1", "a", claim))
				case "H":
					gone[0]()
					gone = gone[1:]
				case "n":
					n = f.node(t, "n1", "h1", running("a"))
				case "0":
					n = f.node(t, "n1", "h1")
				case "N":
					n.cancel()
				}
				eventually(t, step[1], func() string { return f.list(t) })
			}
			for _, end := range gone {
				end()
			}
		})
	}
}

func TestRunByHandIsSaidAndNotSteered(t *testing.T) {
	db := openState(t)
	f := newFixture(t, db)
	claim, err := proto.Marshal(&pb.AgentStatus{Kind: strings.Repeat("k", 1000), Pid: 42})
	if err != nil {
		t.Fatal(err)
	}
	defer f.service.Unsupervised("h1", "a", claim)()
	got, err := f.client.ListAgents(t.Context(), &pb.ListAgentsRequest{})
	if err != nil || len(got.GetAgents()) != 1 {
		t.Fatal(got, err)
	}
	if a := got.GetAgents()[0]; !a.GetUnsupervised() || a.GetPid() != 42 || len(a.GetKind()) > 256 || a.GetDetail() != "run by hand, and connected" || a.GetWarning() != "" {
		t.Errorf("shown as %v", a)
	}
	for _, c := range []pb.AgentCommand{
		pb.AgentCommand_AGENT_COMMAND_START, pb.AgentCommand_AGENT_COMMAND_STOP, pb.AgentCommand_AGENT_COMMAND_RESTART, pb.AgentCommand_AGENT_COMMAND_LOGS,
	} {
		_, err := f.client.CommandAgent(t.Context(), &pb.CommandAgentRequest{AgentId: "a", Command: c})
		if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "started by hand") {
			t.Errorf("%s: %v", c, err)
		}
	}
	if err := f.service.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if known, err := db.Agents(t.Context()); err != nil || len(known) != 0 {
		t.Errorf("stored %v, %v", known, err)
	}
}

// TestHandsAreBounded: one certificate of a host may name any agent of it.
func TestHandsAreBounded(t *testing.T) {
	f := newFixture(t, openState(t))
	for i := range 100 {
		defer f.service.Unsupervised("h1", fmt.Sprint("a", i), nil)()
	}
	for _, bad := range [][]byte{{0xff}, make([]byte, 1<<20)} {
		f.service.Unsupervised("h2", "a", bad)()
		defer f.service.Unsupervised("h2", "a", bad)()
	}
	defer f.service.Unsupervised("h2", "a\nb", nil)()
	defer f.service.Unsupervised("h2", "a/b", nil)() // else h2/a/b could be nobody's
	if n := strings.Count(f.list(t), "\n") + 1; n != 32 {
		t.Errorf("%d agents are shown", n)
	}
}
