package logsql

import "testing"

func TestMayFind(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]bool{
		"": true, "*": true, "bash": true, "host:web-1": true,
		"type:process.sample": true, "type:=process.sample": true, "type:sample": true, "type:process*": true, "type:=process*": true,
		"type:=flow.ended": false, "type:flow": false, "type:=flow*": false, "host:a type:flow.ended": false, "type:=Flow.Ended bash": false,
		"-type:=flow.ended": true, "!type:process.sample": true, "type:=flow.ended or bash": true, "(type:=flow.ended or bash) host:a": true,
		"type:(flow or sample)": true, "type:in(flow.ended)": true, "process.name:flow": true, "type:!=flow.ended": true,
		"type:=flow.ended | stats count() n": false, "* | stats by (type) count() n | filter type:=flow.ended": true,
		"host:in(type:=flow.ended | fields host)": true, "type:=flow.ended host:in(cpu:>90 | fields host)": true, `type:~"flow"`: true, "type:*": true, "type:>=a": true,
	} {
		q, err := Parse(query)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		if got := q.MayFind("process.sample"); got != want {
			t.Errorf("%s may find samples: %v", query, got)
		}
	}
}
