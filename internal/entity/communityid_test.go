package entity_test

import (
	"net/netip"
	"testing"

	"github.com/amoskys/amoskys/internal/entity"
)

// TestCommunityID compares with ids that other implementations publish, and holds
// that both directions have one.
func TestCommunityID(t *testing.T) {
	for name, tt := range map[string]struct {
		src, dst string
		id       entity.FlowID
		want     string
	}{
		"tcp":  {"128.232.110.120", "66.35.250.204", entity.FlowID{Protocol: 6, HasPorts: true, SrcPort: 34855, DstPort: 80}, "1:LQU9qZlK+B5F3KDmev6m5PMibrg="},
		"seed": {"128.232.110.120", "66.35.250.204", entity.FlowID{Protocol: 6, HasPorts: true, SrcPort: 34855, DstPort: 80, Seed: 1}, "1:3V71V58M3Ksw/yuFALMcW0LAHvc="},
	} {
		tt.id.Src, tt.id.Dst = netip.MustParseAddr(tt.src).As16(), netip.MustParseAddr(tt.dst).As16()
		if got := tt.id.CommunityID(); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
		back := tt.id
		back.Src, back.Dst, back.SrcPort, back.DstPort = tt.id.Dst, tt.id.Src, tt.id.DstPort, tt.id.SrcPort
		if got := back.CommunityID(); got != tt.want {
			t.Errorf("%s, back: %s, want %s", name, got, tt.want)
		}
	}
}
