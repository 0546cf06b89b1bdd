package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// acts gathers what is audited.
type acts struct {
	mu   sync.Mutex
	list []*pb.AuditActivity
}

func (a *acts) Audit(_ context.Context, act *pb.AuditActivity) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.list = append(a.list, act)
}

// TestCursorsAreBoundedAtOnce: however many are opened at the same time, one
// certificate has no more than its bound.
func TestCursorsAreBoundedAtOnce(t *testing.T) {
	h := startHub(t, "")
	siem := dialFiles(t, h.Addr().String(), issue(t, h.home, identity.ID{Role: identity.RoleSubscriber, Name: "siem"}, 2*time.Hour))
	var opened atomic.Int32
	var group sync.WaitGroup
	for i := range 2 * maxCursorsOfOne {
		group.Go(func() {
			s, err := pb.NewEventBusClient(siem).Subscribe(t.Context(), &pb.SubscribeRequest{Cursor: fmt.Sprint("c", i), NoFollow: true})
			for err == nil {
				_, err = s.Recv()
			}
			if errors.Is(err, io.EOF) {
				opened.Add(1)
			} else if status.Code(err) != codes.ResourceExhausted {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := len(h.bus.log.ListCursors()); n != maxCursorsOfOne || int(opened.Load()) != n {
		t.Errorf("%d cursors, %d opened, want %d", n, opened.Load(), maxCursorsOfOne)
	}
}

// TestCursorsAreMovedAndRemoved: a subscriber that stays connected moves its cursor, nobody else's; a
// cursor that was removed is not brought back by whoever still commits it.
func TestCursorsAreMovedAndRemoved(t *testing.T) {
	trail := &acts{}
	h := startHub(t, "", func(o *Options, _ *StorageOptions) { o.Auditor = trail })
	h.fill(t, []string{"a"}, []string{"b"}, []string{"c"})
	siem := dialFiles(t, h.Addr().String(), issue(t, h.home, identity.ID{Role: identity.RoleSubscriber, Name: "siem"}, 2*time.Hour))
	operator := h.dial(t, "operator")
	commit := func(want codes.Code, cursor string, offset uint64) {
		t.Helper()
		_, err := pb.NewCursorsClient(siem).CommitCursor(t.Context(), &pb.CommitCursorRequest{Cursor: cursor, Offset: offset})
		if status.Code(err) != want {
			t.Errorf("commit %s to %d: %v, want %s", cursor, offset, err, want)
		}
	}
	remove := func(want codes.Code, name string) *pb.RemoveCursorResponse {
		t.Helper()
		resp, err := pb.NewCursorsClient(operator).RemoveCursor(t.Context(), &pb.RemoveCursorRequest{Name: name})
		if status.Code(err) != want {
			t.Errorf("remove %q: %v, want %s", name, err, want)
		}
		return resp
	}
	commit(codes.NotFound, "main", 1)
	ctx, leave := context.WithCancel(t.Context())
	s, err := pb.NewEventBusClient(siem).Subscribe(ctx, &pb.SubscribeRequest{Cursor: "main", Hold: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); err != nil {
		t.Fatal(err)
	}
	commit(codes.OK, "main", 2)
	commit(codes.OutOfRange, "main", 4)
	commit(codes.InvalidArgument, "../main", 1)
	commit(codes.NotFound, "other", 1)
	const name = "subscriber@siem@main"
	if list := h.Status().Subscribers; len(list) != 1 || list[0].Name != name || list[0].Offset != 2 || !list[0].Hold {
		t.Errorf("subscribers %+v", list)
	}
	remove(codes.FailedPrecondition, name)
	leave()
	eventually(t, "the subscriber has gone", func() bool { return h.subscriptions.len() == 0 })
	remove(codes.NotFound, "subscriber@siem@other")
	remove(codes.NotFound, "../HEAD")
	if resp := remove(codes.OK, name); resp.GetOffset() != 2 {
		t.Errorf("it stood at %d", resp.GetOffset())
	}
	commit(codes.NotFound, "main", 3)
	if list := h.Status().Subscribers; len(list) > 0 {
		t.Errorf("subscribers %+v", list)
	}
	if _, err := os.Stat(filepath.Join(h.home.WAL(), "cursors", name)); !os.IsNotExist(err) {
		t.Errorf("its file: %v", err)
	}
	if n := len(trail.list); n != 4 || trail.list[n-1].GetOperation() != "cursor.remove" || trail.list[n-1].GetTarget() != name ||
		!trail.list[n-1].GetSuccess() || trail.list[0].GetSuccess() || trail.list[n-1].GetActor() == "" {
		t.Errorf("audited %v", trail.list)
	}
}
