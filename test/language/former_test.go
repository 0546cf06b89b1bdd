package language

import (
	"slices"
	"strings"
	"testing"
)

// TestFormerQueries asks what the language before LogsQL took, as saved queries and links
// have it: it finds what it found.
func TestFormerQueries(t *testing.T) {
	events := story()
	w := newWorld(t, events)
	for query, want := range map[string]string{
		``:        "curl flow killed wget compiler miner idle failed failed-again entered dns etc read switch sick",
		`INVALID`: "failed failed-again", `"Invalid User"`: "failed", `inval*ann`: "failed",
		`type:process.execution`: "curl killed wget", `type:process.*`: "curl killed wget compiler miner idle",
		`host:web-*`: "curl flow miner idle etc read", `host:"WEB-1"`: "curl flow miner idle etc read", `host:=Dc-1`: "failed failed-again entered",
		`pid:101`: "curl", `pid:>=101 pid:<200`: "curl wget", `rss:>=3GiB`: "compiler", `cpu:99.5`: "compiler", `snmp.uptime:>=1800`: "switch", `snmp.uptime:30m`: "switch",
		`severity:>medium`: "curl etc", `severity:in(high,critical)`: "curl etc", `severity:HIGH`: "curl",
		`process.command_line:~"curl .*x"`: "curl", `labels.site:*`: "curl flow switch", `labels.site:=Berlin`: "curl flow", `labels.rack:7`: "curl",
		`publisher:*/agent/web-1/proc severity:critical`: "etc", `about:switch-* observer:web-1`: "switch",
		`wget OR NOT type:*.*`: "wget", `-type:process.* AND !(type:auth.attempt OR host:"")`: "flow dns etc read sick",
		`host.name:db-1 metadata.product.uid:proc`: "killed wget compiler sick", `host.ip:192.0.2.0/24 type:flow.ended`: "flow", `host.ip:2001:db8::/32 pid:*`: "curl",
		`dns.answers.ttl:>100`: "dns", `dns.answers.ttl:<60`: "", `dns.answers.ttl:60`: "dns", `snmp.interfaces.bytes_in:>50KB`: "switch",
		`process.args:-o*`: "", `process.args:"--insecure"`: "curl", `process.executable:/usr/bin/*`: "curl wget", `file.action:modify`: "etc", `agent_health.state:>=degraded`: "sick",
	} {
		var got []string
		for _, i := range w.both(t, query) {
			got = append(got, events[i].GetAgent().GetKind())
		}
		if !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%s\ngot  %v\nwant %s", query, got, want)
		}
	}
}
