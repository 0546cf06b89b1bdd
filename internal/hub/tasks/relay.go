package tasks

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// transfer is one result on its way from a node to a reader.
type transfer struct {
	id    string
	asked chan struct{} // closed when the node has answered; then node is set
	node  *pb.NodeHello
	// chunks has no buffer: the node's stream waits for the reader.
	chunks chan *pb.TaskChunk
	taken  bool          // a node sends; guarded by Service.mu
	sent   chan error    // one value: how the sending ended
	over   chan struct{} // closed when the reader has left, or has everything
}

// TaskResult implements the Tasks service.
func (s *Service) TaskResult(req *pb.TaskResultRequest, stream grpc.ServerStreamingServer[pb.TaskChunk]) error {
	ctx, cancel := context.WithTimeout(stream.Context(), longestTransfer)
	defer cancel()
	t, err := s.addTransfer()
	if err != nil {
		return err
	}
	defer s.removeTransfer(t)
	if len(req.GetRunId()) > maxName {
		return status.Error(codes.InvalidArgument, "run_id is none")
	}
	_, found, err := s.o.Nodes.Ask(ctx, req.GetAgentId(), req.GetHost(), &pb.NodeCommand{
		Command: pb.AgentCommand_AGENT_COMMAND_SEND_RESULT,
		Task:    &pb.TaskCommand{RunId: req.GetRunId(), TransferId: t.id},
	})
	act := &pb.AuditActivity{Actor: req.GetActor(), Operation: "agent.task_result", Target: found.Host + "/" + found.AgentID}
	if err != nil {
		return err
	}
	t.node = &pb.NodeHello{NodeId: found.NodeID, Host: &pb.Host{Name: found.Host}}
	close(t.asked)
	bytes, err := t.relay(ctx, found.Gone, stream)
	s.audit(ctx, act, fmt.Sprintf("run %s, %d bytes", clip(req.GetRunId()), bytes), err)
	return err
}

// relay hands chunks on until all are there, and returns their bytes.
func (t *transfer) relay(ctx context.Context, gone <-chan struct{}, stream grpc.ServerStreamingServer[pb.TaskChunk]) (uint64, error) {
	var info *pb.TaskResultInfo
	var bytes uint64
	for {
		select {
		case chunk := <-t.chunks:
			if info == nil {
				if info = chunk.GetInfo(); info == nil || info.GetBytes() > maxResult {
					return 0, status.Error(codes.DataLoss, "the node sends no result that a task can have")
				}
			}
			if bytes += uint64(len(chunk.GetData())); bytes > info.GetBytes() {
				return bytes, status.Errorf(codes.DataLoss, "the result is larger than the %d bytes that were announced", info.GetBytes())
			}
			if err := stream.Send(chunk); err != nil {
				return bytes, err
			}
		case err := <-t.sent:
			switch {
			case err != nil:
				return bytes, status.Errorf(codes.Unavailable, "the node did not send the result to its end: %v", err)
			case info == nil || bytes != info.GetBytes():
				return bytes, status.Errorf(codes.DataLoss, "the result ended after %d of %d bytes", bytes, info.GetBytes())
			}
			return bytes, nil
		case <-gone:
			return bytes, status.Error(codes.Unavailable, "the node went away while it sent the result")
		case <-ctx.Done():
			return bytes, status.FromContextError(ctx.Err()).Err()
		}
	}
}

// SendResult implements the Tasks service.
func (s *Service) SendResult(stream grpc.ClientStreamingServer[pb.TaskChunk, pb.SendResultResponse]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	t := s.takeTransfer(first.GetTransferId())
	if t == nil {
		return status.Error(codes.NotFound, "nobody waits for this result any more")
	}
	err = s.receiveResult(t, first, stream)
	t.sent <- err
	if err != nil {
		return err
	}
	return stream.SendAndClose(&pb.SendResultResponse{})
}

// receiveResult takes a node's chunks, one at a time as they are read.
func (s *Service) receiveResult(t *transfer, chunk *pb.TaskChunk, stream grpc.ClientStreamingServer[pb.TaskChunk, pb.SendResultResponse]) error {
	ctx := stream.Context()
	select {
	case <-t.asked:
	case <-t.over:
		return errReaderLeft
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
	if s.o.Bind != nil {
		if err := s.o.Bind(ctx, t.node); err != nil {
			return status.Error(codes.PermissionDenied, err.Error())
		}
	}
	for {
		if len(chunk.GetData()) > maxChunk {
			return status.Errorf(codes.InvalidArgument, "a chunk of %d bytes, at most %d are possible", len(chunk.GetData()), maxChunk)
		}
		chunk.TransferId = ""
		select {
		case t.chunks <- chunk:
		case <-t.over:
			return errReaderLeft
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
		var err error
		chunk, err = stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if len(chunk.GetData()) == 0 { // no bound on bytes would end a stream of such
			return status.Error(codes.InvalidArgument, "an empty chunk, which only the first may be")
		}
	}
}

// errReaderLeft ends a stream that nobody reads any more.
var errReaderLeft = status.Error(codes.Canceled, "the reader has left")

func (s *Service) addTransfer() (*transfer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.transfers) >= maxTransfers {
		return nil, status.Errorf(codes.ResourceExhausted, "the hub hands on its most of %d results", maxTransfers)
	}
	t := &transfer{
		id: newName(), asked: make(chan struct{}), chunks: make(chan *pb.TaskChunk),
		sent: make(chan error, 1), over: make(chan struct{}),
	}
	s.transfers[t.id] = t
	return t, nil
}

// takeTransfer returns the transfer of this id to the first that asks.
func (s *Service) takeTransfer(id string) *transfer {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.transfers[id]
	if t == nil || t.taken {
		return nil
	}
	t.taken = true
	return t
}

func (s *Service) removeTransfer(t *transfer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.transfers, t.id)
	close(t.over)
}
