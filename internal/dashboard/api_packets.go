package dashboard

import (
	"context"
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

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// packetsDescription is what callers must know of saved packets.
const packetsDescription = "For role analyst and up. A flow agent whose packets.ring_mb is set keeps the newest packets of its host; " +
	"the answer is those of one flow, or between two ends, as a file of the classic pcap format with times in nanoseconds, of at most 64 MiB. " +
	"It begins once the agent has searched. Packets-Saved says in words what is in it, and what the agent no longer has; " +
	"409 says that there is nothing, and why. Who asked for which packets, and how many they were, is in the audit trail."

// packetsTask is the task of an agent that saves packets, packetsType that of its result.
const (
	packetsTask = "packets_save"
	packetsType = "application/vnd.tcpdump.pcap"
)

type packetsInput struct {
	Body struct {
		Agent       string    `json:"agent" minLength:"1" maxLength:"256" doc:"Id of the agent that saw the flow, such as flow_agent."`
		Host        string    `json:"host,omitempty" maxLength:"256" doc:"Its host, where several have such an agent."`
		CommunityID string    `json:"community_id,omitempty" maxLength:"64" doc:"Of the flow. Without, an address is needed."`
		Address     string    `json:"address,omitempty" maxLength:"64" doc:"IP address of one end."`
		Peer        string    `json:"peer,omitempty" maxLength:"64" doc:"IP address of the other end."`
		Port        uint16    `json:"port,omitempty" doc:"Port at address; 0 is any."`
		PeerPort    uint16    `json:"peer_port,omitempty" doc:"Port at peer; 0 is any."`
		Protocol    string    `json:"protocol,omitempty" enum:"any,tcp,udp,icmp,icmpv6,sctp"`
		Since       time.Time `json:"since,omitzero" required:"false"`
		Until       time.Time `json:"until,omitzero" required:"false"`
	}
}

// parameters are those of the task.
func (in *packetsInput) parameters() map[string]string {
	b := &in.Body
	all := map[string]string{
		"community_id": b.CommunityID, "address": b.Address, "peer": b.Peer, "protocol": b.Protocol,
	}
	for name, port := range map[string]uint16{"port": b.Port, "peer_port": b.PeerPort} {
		if port != 0 {
			all[name] = strconv.Itoa(int(port))
		}
	}
	for name, at := range map[string]time.Time{"since": b.Since, "until": b.Until} {
		if !at.IsZero() {
			all[name] = at.UTC().Format(time.RFC3339Nano)
		}
	}
	for name, value := range all {
		if value == "" {
			delete(all, name)
		}
	}
	return all
}

// savePackets has an agent save packets, and hands the file on as it comes. Both end
// when the caller leaves.
func (s *Server) savePackets(ctx context.Context, in *packetsInput) (*huma.StreamResponse, error) {
	ctx, conn, end, err := s.taskStream(ctx)
	if err != nil {
		return nil, err
	}
	file, saved, err := s.packetFile(ctx, pb.NewTasksClient(conn), in)
	name := "amoskys-packets-" + s.o.Now().UTC().Format("2006-01-02T150405") + ".pcap"
	return resultFile(end, file, err, func(hc huma.Context, _ *pb.TaskResultInfo) {
		hc.SetHeader("Content-Type", packetsType)
		hc.SetHeader("Content-Disposition", fmt.Sprintf("attachment; filename=%q", name))
		hc.SetHeader("Packets-Saved", headerText(saved))
	})
}

// packetFile runs the task to its end and asks for its result. saved says what is in it.
func (s *Server) packetFile(
	ctx context.Context, tasks pb.TasksClient, in *packetsInput,
) (file grpc.ServerStreamingClient[pb.TaskChunk], saved string, err error) {
	actor := sessionOf(ctx).user
	run, err := tasks.RunTask(ctx, &pb.RunTaskRequest{
		AgentId: in.Body.Agent, Host: in.Body.Host, Task: packetsTask, Parameters: in.parameters(), Actor: actor,
	})
	if err != nil {
		return nil, "", err
	}
	var last *pb.TaskProgress
	for {
		p, err := run.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, "", err
		}
		last = p
	}
	if last.GetState() != pb.TaskState_TASK_STATE_SUCCEEDED {
		return nil, "", problem(http.StatusConflict, last.GetText())
	}
	file, err = tasks.TaskResult(ctx, &pb.TaskResultRequest{AgentId: last.GetAgentId(), Host: last.GetHost(), RunId: last.GetRunId(), Actor: actor})
	return file, last.GetText(), err
}

// headerText makes text of an agent fit for a header.
func headerText(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
}

// patience is how long an answer that is made by others may not have begun.
const patience = 15 * time.Minute

// patient serves a handler that may take longer to begin than others; signed in is who
// calls it by then.
func patient[In, Out any](handle func(*Server, context.Context, *In) (*Out, error)) func(*Server, huma.API, huma.Operation) {
	serve := responds(handle)
	return func(s *Server, api huma.API, op huma.Operation) {
		op.Middlewares = append(op.Middlewares, func(hc huma.Context, next func(huma.Context)) {
			_, w := humago.Unwrap(hc)
			c := http.NewResponseController(w)
			until := time.Now().Add(patience)
			// Where the connection takes no deadline, the usual ones hold.
			_ = errors.Join(c.SetReadDeadline(until), c.SetWriteDeadline(until))
			next(hc)
		})
		serve(s, api, op)
	}
}
