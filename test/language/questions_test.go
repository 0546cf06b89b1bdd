package language

import (
	"bufio"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// answers are what each question of docs/query.md finds in the story: names of events,
// in the story's order, or rows of the columns named first.
func answers() map[string][]string {
	return map[string][]string{
		`type:process.execution process.name:in(curl,wget)`:              {"curl", "wget"},
		`process.command_line:~"(curl|wget) .*[|] *(ba)?sh"`:             {"curl"},
		`type:process.execution process.executable:=/tmp/*`:              {"killed"},
		`process.args:=--insecure`:                                       {"curl"},
		`process.user.name:=root process.parent.name:(nginx or apache2)`: {"curl"},
		`rss:>1GiB`:                               {"compiler"},
		`cpu:>90 -process.name:cc1`:               {"miner"},
		`process.exit_signal:>0`:                  {"killed"},
		`type:auth.attempt outcome:=failure`:      {"failed", "failed-again"},
		`outcome:=success -client.ip:10.0.0.0/8`:  {"entered"},
		`invalid`:                                 {"failed", "failed-again"},
		`"invalid user"`:                          {"failed"},
		`destination.ip:203.0.113.0/24`:           {"flow"},
		`source.bytes:>10MB`:                      {"flow"},
		`dns.question.name:example.net`:           {"dns"},
		`host.ip:192.0.2.0/24`:                    {"curl", "flow", "miner", "idle", "etc", "read"},
		`severity:>=high`:                         {"curl", "etc"},
		`labels.site:berlin -type:process.sample`: {"curl", "flow", "switch"},
		`host:""`: {"switch"},
		`type:file.* file.path:=/etc/* file.action:(modify or create or delete)`: {"etc"},
		`observer:* about:switch-*`:                  {"switch"},
		`tls.server.not_after:<2026-03-01T00:00:00Z`: {"flow"},
		`type:flow.ended tls.version:in(1.0,1.1)`:    {"flow"},
		`agent_health.state:(degraded or crashed)`:   {"sick"},
		`process.name:i(powershell)`:                 {"killed"},
		`process.entity_id:=p-2 or process.parent.entity_id:=p-2 or network.process.entity_id:=p-2`: {"curl", "flow", "killed"},

		`type:process.execution | stats by (host) count() runs | sort by (runs desc, host)`:                             {"host runs", "db-1 2", "web-1 1"},
		`outcome:=failure | top 3 by (user.name)`:                                                                       {"user.name hits", "ann 1", "root 1"},
		`severity:* | stats by (time:1h, severity) count() events | sort by (time, severity)`:                           {"severity events", "critical 1", "high 1", "informational 2", "low 1", "medium 3"},
		`* | stats by (process.name) max(cpu) most | filter most:>0 | sort by (most desc) limit 1`:                      {"process.name most", "cc1 99.5"},
		`type:flow.ended network.process.entity_id:in(type:process.execution severity:high | fields process.entity_id)`: {"agent.type", "flow"},
		`source.bytes:* | stats by (labels.site) sum(source.bytes) bytes | sort by (bytes desc)`:                        {"labels.site bytes", "Berlin 25000000"},
		`type:(flow.ended or dns.query) | stats by (agent.type) sum(source.bytes) sent | sort by (sent desc)`:           {"agent.type sent", "flow 25000000", "dns "},
	}
}

// questions reads those of the manual.
func questions(t *testing.T) []string {
	t.Helper()
	f, err := os.Open("../../docs/query.md")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var list []string
	below := false
	for s := bufio.NewScanner(f); s.Scan(); {
		below = below || s.Text() == "## Questions"
		_, query, ok := strings.Cut(s.Text(), "| `")
		if !below || !ok {
			continue
		}
		list = append(list, strings.ReplaceAll(strings.TrimSuffix(query, "` |"), `\|`, `|`))
	}
	return list
}

// TestQuestions asks each question of the manual.
func TestQuestions(t *testing.T) {
	events := story()
	w := newWorld(t, events)
	want := answers()
	asked := questions(t)
	if len(asked) < 25 || len(asked) != len(want) {
		t.Errorf("%d questions in the manual, %d here", len(asked), len(want))
	}
	for _, q := range asked {
		t.Run(q, func(t *testing.T) {
			want, ok := want[q]
			if !ok {
				t.Fatal("the test knows no answer")
			}
			var got []string
			if strings.Contains(q, " | ") && !strings.Contains(q, `~"`) {
				got = append([]string{want[0]}, w.rows(t, q, strings.Fields(want[0])...)...)
				slices.Sort(got[1:])
				want = append([]string{want[0]}, slices.Sorted(slices.Values(want[1:]))...)
			} else {
				for _, i := range w.both(t, q) {
					got = append(got, events[i].GetAgent().GetKind())
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
