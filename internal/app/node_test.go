package app

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// node opens the control stream with a certificate of a host and says hello under
// the names given; the answer comes from receive.
func (h *enrolHub) node(t *testing.T, certificate, id, host string, agents ...string) pb.Fleet_ControlClient {
	t.Helper()
	pair, err := h.ca.Issue(identity.IssueOptions{ID: identity.ID{Domain: h.ca.Domain(), Role: identity.RoleNode, Name: certificate}})
	if err != nil {
		t.Fatal(err)
	}
	files := identity.FilesFor(t.TempDir(), "node")
	files.CA = filepath.Join(h.home.Certs(), "ca.crt")
	for file, data := range map[string][]byte{files.Cert: pair.CertPEM, files.Key: pair.KeyPEM} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stream, err := pb.NewFleetClient(h.dial(t, files)).Control(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	hello := &pb.NodeHello{NodeId: id, Host: &pb.Host{Name: host}}
	for _, a := range agents {
		hello.Agents = append(hello.Agents, &pb.AgentStatus{Id: a, Host: host, State: pb.AgentState_AGENT_STATE_RUNNING})
	}
	if err := stream.Send(&pb.NodeMessage{Message: &pb.NodeMessage_Hello{Hello: hello}}); err != nil {
		t.Fatal(err)
	}
	return stream
}

// listed is what the hub lists, as HOST/ID by NODE.
func (h *enrolHub) listed(t *testing.T) []string {
	t.Helper()
	people := pb.NewFleetClient(h.dial(t, identity.FilesFor(h.home.Certs(), "operator")))
	list, err := people.ListAgents(t.Context(), &pb.ListAgentsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, a := range list.GetAgents() {
		out = append(out, a.GetHost()+"/"+a.GetId()+" by "+a.GetNodeId())
	}
	return out
}

// TestNodesSpeakForTheirOwnHost: no node takes over the agents of another, its
// stop and its logs, whatever it calls itself.
func TestNodesSpeakForTheirOwnHost(t *testing.T) {
	h := startEnrolHub(t, false)
	vm := h.node(t, "vm", "vm", "vm", "proc_agent")
	await(t, func() bool { return slices.Equal(h.listed(t), []string{"vm/proc_agent by vm"}) })
	for _, tt := range []struct{ name, id, host string }{
		{"the other's node and host", "vm", "vm"},
		{"the other's host", "evilhost", "vm"},
		{"the other's node", "vm", "evilhost"},
		{"the other's host in capitals", "evilhost", "VM"},
		{"the other's host with a dot", "evilhost", "vm."},
		{"the other's host with a blank", "evilhost", "vm "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := h.node(t, "evilhost", tt.id, tt.host, "proc_agent").Recv()
			if status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), `set node.id to "evilhost"`) {
				t.Errorf("got %v", err)
			}
		})
	}
	h.node(t, "evilhost", "EVILHOST", "evilhost.", "proc_agent")
	await(t, func() bool {
		return slices.Equal(h.listed(t), []string{"evilhost/proc_agent by evilhost", "vm/proc_agent by vm"})
	})
	// What people ask of the agent goes to its own node, however they spell it.
	people := pb.NewFleetClient(h.dial(t, identity.FilesFor(h.home.Certs(), "operator")))
	asked := make(chan error, 1)
	go func() {
		_, err := people.CommandAgent(t.Context(), &pb.CommandAgentRequest{
			AgentId: "proc_agent", Host: "VM.", Command: pb.AgentCommand_AGENT_COMMAND_LOGS,
		})
		asked <- err
	}()
	command, err := vm.Recv()
	if err != nil {
		t.Fatal(err)
	}
	result := &pb.CommandResult{Id: command.GetId(), Ok: true, Lines: []string{"line"}}
	if err := vm.Send(&pb.NodeMessage{Message: &pb.NodeMessage_Result{Result: result}}); err != nil {
		t.Fatal(err)
	}
	if err := <-asked; err != nil {
		t.Error(err)
	}
}

// await polls until ok, since the hub tells nobody when it has read a hello.
func await(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatal("waited in vain")
		}
	}
}
