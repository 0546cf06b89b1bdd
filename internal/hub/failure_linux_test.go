package hub

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/config"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// smallDisk mounts a tmpfs for the log, which only root may.
func smallDisk(t *testing.T, home config.Home, size string) (dir string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting a small file system needs root")
	}
	dir = home.WAL()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("no tmpfs to be had: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

// TestFullDisk: the hub refuses with a reason, keeps serving reads, and takes
// events again when there is room.
func TestFullDisk(t *testing.T) {
	home := newHome(t)
	dir := smallDisk(t, home, "24m")
	h := startHub(t, home, func(o *Options, _ *StorageOptions) { o.Config.WAL.RotationSizeMB = 4 })
	conn := h.dial(t, "agent")
	s := publishStream(t, conn, "")
	text := strings.Repeat("x", 100_000)
	stored := 0
	var refused *pb.PublishAck
	for sequence := uint64(1); refused == nil; sequence++ {
		ack := exchange(t, s, &pb.PublishRequest{
			ProducerId: sixteen(1), Sequence: sequence, Events: [][]byte{makeEvent(t, text), makeEvent(t, text)},
		})
		if ack.GetStatus() == pb.PublishAck_STATUS_OK {
			stored += 2
			continue
		}
		refused = ack
	}
	if refused.GetStatus() != pb.PublishAck_STATUS_RETRY || refused.GetBackoff().AsDuration() <= 0 || !strings.Contains(refused.GetReason(), "full") {
		t.Errorf("refused with %v", refused)
	}
	_, err := pb.NewEventBusClient(conn).PublishEvent(t.Context(), &pb.Event{Id: sixteen(1), Time: now(), Type: "a.b", Host: ownHost, Message: text})
	if st, _ := status.FromError(err); st.Code() != codes.ResourceExhausted || retryIn(st) <= 0 {
		t.Errorf("a single event: %v", err)
	}
	events, _, _ := h.readAll(t, &pb.SubscribeRequest{})
	if len(events) != stored {
		t.Errorf("%d of %d events can be read", len(events), stored)
	}
	code, body := h.get(t, "https://"+h.Addr().String()+"/health", "operator")
	if code != http.StatusServiceUnavailable || !strings.Contains(body, `"state":"full"`) {
		t.Errorf("health: %d %s", code, body)
	}
	eventually(t, "gRPC health follows", func() bool { return healthOf(t, conn, "amoskys.v1.EventBus") == "NOT_SERVING" })
	if h.metric(t, "eventbus_errors_total", "reason", "log_full") < 2 {
		t.Error("it is not counted")
	}

	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the hub is well again", func() bool { return h.Status().Status == StateOK })
	ack := exchange(t, s, &pb.PublishRequest{ProducerId: sixteen(1), Sequence: refused.GetSequence(), Events: [][]byte{makeEvent(t, "after")}})
	if ack.GetStatus() != pb.PublishAck_STATUS_OK || ack.GetDuplicate() || ack.GetFirstOffset() != uint64(stored) {
		t.Errorf("the refused batch, sent again: %v", ack)
	}
}

func retryIn(st *status.Status) time.Duration {
	for _, d := range st.Details() {
		if r, ok := d.(*errdetails.RetryInfo); ok {
			return r.GetRetryDelay().AsDuration()
		}
	}
	return 0
}

func TestReadOnlyDisk(t *testing.T) {
	home := newHome(t)
	dir := smallDisk(t, home, "64m")
	h := startHub(t, home)
	h.fill(t, letters('a', 'e'))
	if err := h.stopNow(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Skipf("remount: %v", err)
	}
	h = startHub(t, home)
	s := publishStream(t, h.dial(t, "agent"), "")
	ack := exchange(t, s, &pb.PublishRequest{ProducerId: sixteen(1), Sequence: 1, Events: [][]byte{makeEvent(t, "f")}})
	if ack.GetStatus() != pb.PublishAck_STATUS_RETRY || !strings.Contains(ack.GetReason(), "read-only") {
		t.Errorf("ack %v", ack)
	}
	events, _, _ := h.readAll(t, &pb.SubscribeRequest{})
	if got := strings.Join(messages(t, events), ""); got != "abcde" {
		t.Errorf("read %q", got)
	}
	if code, body := h.get(t, "https://"+h.Addr().String()+"/health", "operator"); code != http.StatusServiceUnavailable || !strings.Contains(body, "readonly") {
		t.Errorf("health: %d %s", code, body)
	}
	conn := h.dial(t, "operator")
	if code := subscribeCode(t, conn, &pb.SubscribeRequest{Cursor: "new"}); code != codes.Unavailable {
		t.Errorf("a new cursor: %s", code)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, ""); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the batch is taken", func() bool {
		ack := exchange(t, s, &pb.PublishRequest{ProducerId: sixteen(1), Sequence: 1, Events: [][]byte{makeEvent(t, "f")}})
		return ack.GetStatus() == pb.PublishAck_STATUS_OK
	})
	if s := h.Status(); s.Status != StateOK {
		t.Errorf("status: %+v", s)
	}
}
