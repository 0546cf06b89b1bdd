package keeping_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/hub/keeping"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/stream/streamtest"
)

// trail keeps the acts in order.
type trail struct{ acts []string }

func (t *trail) Audit(_ context.Context, a *pb.AuditActivity) {
	t.acts = append(t.acts, fmt.Sprintf("%s %s %q %v: %s", a.GetActor(), a.GetOperation(), a.GetTarget(), a.GetSuccess(), a.GetDetail()))
}

func TestAcceptLoss(t *testing.T) {
	noticed := time.Unix(1_700_000_000, 0)
	tests := map[string]struct {
		req      *pb.AcceptLossRequest
		accepted string // "id from-to"
		code     codes.Code
		act      string
		open     int
	}{
		"one, with a note": {
			req: &pb.AcceptLossRequest{Ids: []uint64{1}, Note: "disk replaced"}, accepted: "1 0-500", open: 1,
			act: `ada log.accept_loss "1" true: disk replaced (1: offsets 0 to 499: gone)`,
		},
		"all": {
			req: &pb.AcceptLossRequest{}, accepted: "1 0-500 2 900-900",
			act: `ada log.accept_loss "1,2" true: 1: offsets 0 to 499: gone; 2: what began at offset 900, how much is not known: gone`,
		},
		"one that is not there, with one that is": {
			req: &pb.AcceptLossRequest{Ids: []uint64{1, 7}}, code: codes.NotFound, open: 2,
			act: `ada log.accept_loss "1,7" false: no such open loss`,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			log := streamtest.NewModel()
			log.Lose(stream.Loss{ID: 1, From: 0, To: 500, Noticed: noticed, Reason: "gone"})
			log.Lose(stream.Loss{ID: 2, From: 900, To: 5000, Unknown: true, Noticed: noticed, Reason: "gone"})
			var audited trail
			s := keeping.New(keeping.Options{Losses: log, Auditor: &audited, Caller: func(context.Context) string { return "ada" }})
			resp, err := s.AcceptLoss(t.Context(), tt.req)
			if status.Code(err) != tt.code {
				t.Fatal(err)
			}
			var got []string
			for _, l := range resp.GetAccepted() {
				got = append(got, fmt.Sprintf("%d %d-%d", l.GetId(), l.GetFromOffset(), l.GetToOffset()))
			}
			if s := strings.Join(got, " "); s != tt.accepted {
				t.Errorf("accepted %s", s)
			}
			if len(audited.acts) != 1 || audited.acts[0] != tt.act {
				t.Errorf("audited %q", audited.acts)
			}
			if n := len(log.Stat().Losses); n != tt.open {
				t.Errorf("%d are open", n)
			}
		})
	}
}

// TestNothingToAccept: it is no act when there is nothing to take note of.
func TestNothingToAccept(t *testing.T) {
	var audited trail
	s := keeping.New(keeping.Options{Losses: streamtest.NewModel(), Auditor: &audited, Caller: func(context.Context) string { return "ada" }})
	if resp, err := s.AcceptLoss(t.Context(), &pb.AcceptLossRequest{}); err != nil || len(resp.GetAccepted()) > 0 || len(audited.acts) > 0 {
		t.Error(resp, err, audited.acts)
	}
}
