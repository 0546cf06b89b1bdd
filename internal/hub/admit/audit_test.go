package admit_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/hub/admit"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestAgentsCannotForgeTheAuditTrail: only the hub writes it.
func TestAgentsCannotForgeTheAuditTrail(t *testing.T) {
	for typ, refused := range map[string]bool{event.TypeAudit: true, "audit.other": true, "auditd.record": false, event.TypeAuthAttempt: false} {
		b, err := event.Encode(&pb.Event{Id: []byte("0123456789abcdef"), Time: timestamppb.New(time.Unix(1, 0)), Type: typ})
		if err != nil {
			t.Fatal(err)
		}
		_, refusal := admit.Judge(b, &admit.Rules{MaxEventBytes: 1 << 10})
		if (refusal != nil) != refused {
			t.Errorf("%s: %+v", typ, refusal)
		}
	}
}
