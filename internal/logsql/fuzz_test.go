package logsql

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/VictoriaMetrics/VictoriaLogs/lib/logstorage"
)

// FuzzParse: any text is a query that the engine takes, stored and live, or a fault
// inside the text.
func FuzzParse(f *testing.F) {
	for _, q := range []string{
		"", "sshd", `"invalid user" -x !y not z`, "inval*user *a* *b", "type:process.execution host:web-*", `labels.site:"a\"b" labels.x:~"^a.*$"`,
		"pid:>1000 rss:>=1GiB severity:>=medium snmp.uptime:<1h", "time:[2026-01-31, 2026-02-01) or _time:5m offset 1h", "time:day_range[08:00, 18:00]",
		"host.ip:192.0.2.0/24 source.ip:in(10.0.0.0/8, ::1/64)", `{host="a",type=~"b" or agent in (c,d)}`, "process.entity_id:in(pid:1 | fields process.entity_id)",
		"* | stats by (host, time:1h) count() if (pid:1) a, quantile(0.9, cpu) as b | sort by (a desc) limit 3 | filter a:>1",
		"* | math (rss + vsz) / 1024 as kib, min(pid, 3) m | fields kib", `* | format "<host>: <q:message>" as x | extract "a<b>c" from x | top 3 by (b) hits as n`,
		"* | union (pid:1 | fields pid) | join by (pid) (pid:2 | stats by (pid) count() n) inner prefix p", "process.args:=a process.args:>1", "a # b\nc", "x:(((", "dns.answers.ttl:<-1.5e3",
		"process.name:i(a*) message:seq(a,b) pid:range(1,2] process.name:len_range(1, inf)", "process.name:(a or b -c)", "'a' `b`", "* | by (labels.a.b) count()", "\xff", "a\u00a0b", "host:\"\" | x",
		"* | unpack_json from labels fields (a) | uniq by (a) with hits limit 3", "process.name:~\"[\\d\"", "process.args:~\"(^a|b$)+c{2,3}\"", "pid:eq_field(process.ppid)", ":a", "a:::b", "*:*", "*:a", "process.*:a",
	} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, text string) {
		q, err := Parse(text)
		if err != nil {
			fault, ok := errors.AsType[*SyntaxError](err)
			if !ok || fault.Position < 0 || fault.Position > max(len(text), MaxLength) || !utf8.ValidString(fault.Message) && utf8.ValidString(text) {
				t.Errorf("%q: %#v", text, err)
			}
			return
		}
		if _, err := logstorage.ParseQuery(q.Engine()); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		m, err := q.Matcher()
		if err != nil && !errors.Is(err, ErrPipes) && !errors.Is(err, ErrSubquery) {
			t.Errorf("%q: %v", text, err)
		}
		if m != nil && m.Match(nil, "", 0, time.Unix(0, 0)) && q.Engine() == "" {
			t.Error("no query")
		}
		_ = q.Costly()
		if _, err := Parse(And(text, "pid:1")); err != nil && len(text) < MaxLength/2 && q.Pipes() == false {
			t.Errorf("%q and a filter: %v", And(text, "pid:1"), err)
		}
	})
}

// TestHostileTexts: whatever is as long as a query may be, or longer, is read at once.
func TestHostileTexts(t *testing.T) {
	for name, part := range map[string]string{
		"parentheses": "(", "groups": "host:(", "nots": "!", "queries": "pid:in(pid:1 | filter ", "braces": "{", "brackets": "time:[", "pipes": "| limit 1 ",
		"ifs": "| count() if (", "quotes": "'a'", "stars": "*", "words": "a ", "values": "pid:1 ", "repetitions": `pid:~"(a{1000}){1000}" `,
		"alternatives": `process.args:~"(a|b|c)*d" `, "regular expressions": `process.name:~"(.*)*$" `, "networks": "host.ip:1.0.0.0/1 ", "numbers": "dns.answers.ttl:>123456789 ",
		"unions": "* | union (", "patterns": "a*b*c*d ", "escapes": `"\\\\" `, "labels": "labels.a.b.c:x ", "colons": ":", "commas": "pid:in(1,", "comments": "#",
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Repeat(part, MaxLength/len(part))
			for _, s := range []string{text, "* " + text[:len(text)-2], text + strings.Repeat(part, 1000)} {
				q, err := Parse(s)
				if err == nil && len(q.Engine()) > maxRewritten {
					t.Errorf("%d bytes for the engine", len(q.Engine()))
				}
			}
		})
	}
}
