package logsql

import (
	"errors"
	"strings"
	"testing"
)

// TestEngine holds what the engine is asked against what was written.
func TestEngine(t *testing.T) {
	for _, c := range []struct{ name, query, want string }{
		{"nothing", " ", `*`},
		{"any value of any field", "*", `*`},
		{"words of a type", "type:process.execution", `"type":"process.execution"`},
		{"ECS name", "event.action:=process.execution", `"type":="process.execution"`},
		{"forms of case", "user.name:root", `"user.name":contains_any("root","ROOT","Root")`},
		{"phrase", `process.name:"a b"`, `"process.name":contains_any("a b","A B","A b")`},
		{"names are stored in lower case", "host:WEB-1", `"host":"web-1"`},
		{"prefix", "host:web-*", `"host":"web-"*`},
		{"whole prefix", "host:=web-*", `"host":="web-"*`},
		{"pattern", "host:w*b", `"host":~"(?is)^w.*b$"`},
		{"number with unit", "rss:>=1GiB", `"rss":>=1073741824`},
		{"number as hex", "pid:0x10", `"pid":="16"`},
		{"duration in seconds", "snmp.uptime:>1.5", `"snmp.uptime":>1500000000`},
		{"duration with unit", "snmp.uptime:<2m", `"snmp.uptime":<120000000000`},
		{"range", "rss:range[1KiB, 2KiB)", `"rss":range[1024,2048)`},
		{"severities in order", "severity:>=medium", `"severity":in("medium","high","critical")`},
		{"none above", "severity:>critical", `"severity":in()`},
		{"value of an enumeration", "severity:HIGH", `"severity":="high"`},
		{"in", "type:in(a, b)", `"type":in("a","b")`},
		{"missing", `user.name:""`, `"user.name":""`},
		{"exists", `user.name:*`, `"user.name":*`},
		{"not", `-user.name:*`, `!("user.name":*)`},
		{"value with a dash", `process.name:-x`, `"process.name":contains_any("-x","-X")`},
		{"not in a group", `process.name:(a -1)`, `("process.name":contains_any("a","A") !("process.name":contains_any("1")))`},
		{"or", `pid:1 or pid:2 pid:3`, `"pid":="1" or "pid":="2" "pid":="3"`},
		{"element", `process.args:=-la`, `"process.args":json_array_contains_any("-la")`},
		{"element with quotes", `process.args:'say "x"'`, `"process.args":contains_any("say \\\"x\\\"","SAY \\\"X\\\"","Say \\\"x\\\"","Say \\\"X\\\"")`},
		{"label", `labels.site:=x`, `"labels":*"\"site\":\"x\""*`},
		{"label exists", `labels.site:*`, `"labels":*"\"site\":\""*`},
		{"network", `source.ip:10.0.0.0/8`, `("source.ip":"10.0.0.0/8" or "source.ip":ipv4_range("10.0.0.0/8"))`},
		{"network in a list", `host.ip:=10.0.0.0/8`, `("host.ip":~"\"(?:10\\.\\d{1,3}\\.\\d{1,3}\\.\\d{1,3})\"" or "host.ip":json_array_contains_any("10.0.0.0/8"))`},
		{"stream", `{host="web",type!="x" or agent=~"p.*"}`, `("host":="web" !"type":="x" or "agent":~"^(?:p.*)$")`},
		{"time", "time:>2026-01-31T12:00:00Z", `_time:>2026-01-31T12:00:00Z`},
		{"time range", "time:[2026-01-31, 2026-02-01)", `_time:[2026-01-31,2026-02-01)`},
		{"relative time", "_time:5m offset 1h", `_time:5m offset 1h`},
		{"time field", "process.start:<2026-01-31T12:00:00Z", `("process.start":* !("process.start":string_range("2026-01-31T12:00:00.","\uffff")))`},
		{"subquery", "process.entity_id:in(pid:1 | fields process.entity_id)", `"process.entity_id":in("pid":="1" | fields "process.entity_id" )`},
		{"counts", "pid:1 | stats by (event.action, time:1h) count() if (pid:2) hits, max(cpu) as top", `"pid":="1" | stats by ( "type" , "_time":1h ) count ( ) if ("pid":="2") "hits" , max ( "cpu" ) as "top" `},
		{"counts without a name", "* | count() by_host", `* | stats count ( ) "by_host" `},
		{"groups without a name", "* | by (host) count() n | sort by (n desc, host) limit 3", `* | stats by ( "host" ) count ( ) "n"  | sort by ( "n" desc , "host" ) limit 3 `},
		{"sums of nothing", "* | stats by (host) sum(source.bytes) sent, avg(cpu), count() n | sort by (sent desc)", `* | stats by ( "host" ) sum ( "source.bytes" ) "sent" , avg ( "cpu" ) , count ( ) "n" | format if ("sent":="NaN") "" as "sent" | format if ("avg(cpu)":="NaN") "" as "avg(cpu)"  | sort by ( "sent" desc ) `},
		{"labels in a pipe", "* | top 5 by (labels.site)", `* | unpack_json from "labels" fields ("site") result_prefix "labels." | top 5 by ( "labels.site" ) `},
		{"computation", "* | math rss / 1024 as kib | fields kib, pid", `* | math "rss" / 1024 as "kib"  | fields "kib" , "pid" `},
		{"format", `* | format "<host.name>: <process.name>" as line`, `* | format "<host>: <process.name>" as "line" `},
		{"message and time", "* | fields message, @timestamp", `* | fields "_msg" , "_time" `},
		{"filter of what was counted", "* | count() n | filter n:>5", `* | stats count ( ) "n"  | filter "n":>"5"`},
		{"comment", "pid:1 # the first\npid:2", `"pid":="1" "pid":="2"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			q, err := Parse(c.query)
			if err != nil {
				t.Fatal(err)
			}
			if got := q.Engine(); got != c.want {
				t.Errorf("%s\ngot  %s\nwant %s", c.query, got, c.want)
			}
		})
	}
}

func TestWordsWithoutAField(t *testing.T) {
	q, err := Parse("sshd")
	if err != nil {
		t.Fatal(err)
	}
	if s := q.Engine(); !strings.HasPrefix(s, `(*:contains_any("sshd","SSHD","Sshd") ("_m"*:contains_any("sshd","SSHD","Sshd") or `) || strings.Contains(s, `"p"*`) || strings.Contains(s, `"l"*`) {
		t.Errorf("got %s", s)
	}
	if q, err = Parse("* | filter sshd"); err != nil || strings.Contains(q.Engine(), "*:contains_any(\"sshd\",\"SSHD\",\"Sshd\") (") {
		t.Errorf("behind a pipe: %v, %v", q, err)
	}
}

// TestFaults holds where an error stands and what it says.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		query   string
		pos     int
		message string
	}{
		{`hots:web`, 0, `there is no field "hots", did you mean host?`},
		{`a or -(b hots:web)`, 9, `there is no field "hots", did you mean host?`},
		{`* | stats by (hots) count()`, 14, `there is no field "hots", did you mean host?`},
		{`* | sotr by (host)`, 4, `there is no pipe "sotr", did you mean sort?`},
		{`* | count() n | fields m`, 23, `there is no field "m", did you mean id?`},
		{`host:`, 5, `a value is missing behind host:`},
		{`host: web`, 6, `a value is missing behind host:`},
		{`pid:abc`, 4, `pid is a number: "abc" is none (units KB MB GB KiB MiB GiB ms s m h d are known)`},
		{`severity:>urgent`, 10, `severity is one of informational, low, medium, high, critical`},
		{`severity:urgent`, 9, `severity is one of informational, low, medium, high, critical`},
		{`process.start:>yesterday`, 15, `process.start is a time: write it as 2026-01-31T12:00:00Z`},
		{`time:>yesterday!`, 16, `the end of the query is not expected`},
		{`"a`, 0, `this quote is not closed: add " at the end`},
		{`(a b`, 4, `a closing ) is missing for the one at position 0`},
		{`a )`, 2, `")" is not expected here`},
		{`or a`, 0, `OR needs a term on each side`},
		{`a or`, 4, `the end of the query is not expected here: write a word, a field:value or a "phrase"`},
		{`severity>=medium`, 8, `">=" is not expected here: a colon ends the name of a field, so write severity:>=…`},
		{`a user.name="root"`, 11, `"=" is not expected here: a colon ends the name of a field, so write user.name:=…`},
		{`host=~web`, 4, `"=~" is not expected here: a colon ends the name of a field, so write host:~…`},
		{`host!=web`, 4, `"!=" is not expected here: a colon ends the name of a field, so write -host:=…`},
		{`a=b`, 1, `"=" is not expected here: put the value in quotes, or a space in front`},
		{`stats by (host) count()`, 21, `"(" is not expected here: a pipe stands behind |, so write * | stats …`},
		{`pid:[1 TO 100]`, 4, `"[" is not expected here: a range is written as range[1, 100]`},
		{`process.name:~"("`, 14, "this is not a regular expression (RE2): error parsing regexp: missing closing ): `(`"},
		{`options(concurrency=9) a`, 0, `options(…) is not available: range, limits and time come with the request`},
		{`* | generate_sequence 5`, 4, `the pipe generate_sequence is not available: it has no events`},
		{`* | stream_context after 5`, 4, `the pipe stream_context is not available: the neighbours of an event come with its details`},
		{`{pod="x"}`, 1, `there is no field "pod", did you mean pid?`},
		{`{pid="1"}`, 1, `streams have host, agent and type: write pid:=… instead`},
		{`host.ip:len_range(1,2)`, 8, `host.ip holds several values: len_range(…) cannot be asked of it`},
		{`* | limit ten`, 10, `there is no field "ten"`},
		{`pid:1 | limit x y, pid:2`, 14, `there is no field "x"`},
		{`pid:1 | top by (`, 16, `a closing ) is missing`},
		{`pid:1 | limit 10 10`, 8, `this is not LogsQL`},
		{strings.Repeat("(", 70), 65, `the query is nested deeper than 64`},
		{strings.Repeat("x ", MaxLength), MaxLength, `the query is longer than 16384 bytes`},
		{strings.Repeat("pid:1 ", 600), 512 * 6, `the query has more than 512 terms`},
		{"*" + strings.Repeat("|limit 1", 100), 514, `the query has more than 64 pipes`},
		{"a\xff", 1, `the query is not UTF-8`},
	} {
		_, err := Parse(c.query)
		fault, ok := errors.AsType[*SyntaxError](err)
		if !ok {
			t.Errorf("%.40s: no syntax error but %v", c.query, err)
			continue
		}
		if fault.Position != c.pos || !strings.HasPrefix(fault.Error(), c.message) {
			t.Errorf("%.40s:\ngot  %d %s\nwant %d %s", c.query, fault.Position, fault, c.pos, c.message)
		}
	}
}

func TestCostly(t *testing.T) {
	const no = "-"
	for query, want := range map[string]string{ // what sieve it has, where it is costly
		`sshd`:                                                         no,
		`process.name:curl`:                                            no,
		`process.command_line:~"a.*b"`:                                 "",
		`process.command_line:~"-o /tmp/x "`:                           no,
		`type:process.execution process.name:~"a.*b"`:                  `"type":"process.execution"`,
		`process.name:~"a.*b" host:=web-1 -host:web-2`:                 `"host":="web-1"`,
		`type:process.execution (process.name:~"a.*b" or host:=web-1)`: `"type":"process.execution"`,
		`type:process.execution or process.name:~"a.*"`:                "",
		`-type:x process.name:~"a.*b"`:                                 "",
		`i(root)`:                                                      "",
		`fail*`:                                                        "",
		`"user fail"*`:                                                 no,
		`process.name:fail*`:                                           no,
		`* | filter process.name:~"a.*"`:                               "",
		`host:=a | filter agent:=b | filter process.name:~"a.*"`:       `"host":="a"`,
		`* | stats by (process.name) count() | filter process.name:~"a.*"`: no,
	} {
		q, err := Parse(query)
		if err != nil {
			t.Fatal(err)
		}
		got := no
		if q.Costly() != "" {
			got = strings.TrimSpace(q.Sieve())
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
		if _, err := Parse(q.Sieve()); err != nil {
			t.Errorf("%s: its sieve %q is no query: %v", query, q.Sieve(), err)
		}
	}
}

// TestPipes: a query inside of a filter has pipes, and the query none.
func TestPipes(t *testing.T) {
	for text, want := range map[string]bool{
		"host:web": false, "host:in(type:x | fields host)": false, "* | limit 5": true,
		"host:in(type:x | fields host) | stats count()": true,
	} {
		q, err := Parse(text)
		if err != nil || q.Pipes() != want {
			t.Errorf("%s: %v, want %v (%v)", text, q.Pipes(), want, err)
		}
	}
}
