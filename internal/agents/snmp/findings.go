package snmp

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TypePrefix is what the type of each finding's event begins with: agents of kind snmp
// may publish finding.snmp.*, as the hub's admission has it.
const TypePrefix = "finding.snmp."

// findingCommunity is the name of the one finding.
const findingCommunity = "default_community"

// exposed is the finding that a device answers a community that everybody knows; nil where
// it does not, or where it was told within a day. d is locked.
func (a *Agent) exposed(d *device, now time.Time) *pb.Event {
	c, known := a.credential(d.Credential)
	if told := now.Sub(d.Exposed); !a.cfg.Findings.Enabled || !known || !c.isPublic() || told >= 0 && told < refreshEvery { // below 0 the clock was set back
		return nil
	}
	status := event.FindingNew
	if !d.Exposed.IsZero() {
		status = event.FindingUpdate
	}
	d.Exposed = now
	if d.ExposedAs == "" {
		sum := sha256.Sum256([]byte(findingCommunity + "\x00" + d.UID))
		d.ExposedAs = hex.EncodeToString(sum[:16])
	}
	ip := d.at.Addr().Unmap().WithZone("").String()
	f := &pb.DetectionFinding{
		Uid: d.ExposedAs, Title: "A default SNMP community opens a device", RuleId: "snmp." + findingCommunity,
		RuleName: "A default SNMP community opens a device",
		Description: fmt.Sprintf("%s at %s answers the community %q, which everybody knows: its configuration, neighbours and addresses can be read by anybody who reaches it. Set a community of your own, or SNMPv3, and allow only the addresses that poll it.",
			d.word(), d.at, c.Community),
		Tactics: []string{"Collection", "Discovery"}, Techniques: []string{"T1602.001"},
		Confidence: 1, RiskScore: 60, Status: status,
		FalsePositives: []string{"A device that answers only the addresses that poll it: keep it, and mark the finding as known."},
		Observables:    map[string]string{"device.id": d.UID, "destination.ip": ip, "destination.port": number32(uint32(d.at.Port())), "network.protocol": "snmp"},
	}
	return &pb.Event{
		Type: TypePrefix + findingCommunity, Severity: pb.Severity_SEVERITY_MEDIUM, About: d.about(),
		Body: &pb.Event_Finding{Finding: f},
	}
}
