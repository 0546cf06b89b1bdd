package promapi_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/amoskys/amoskys/internal/metrics/promapi"
)

// twoGroups are rules as they are told.
func twoGroups() []promapi.RuleGroup {
	at := time.Unix(600, 0).UTC()
	alert := promapi.Alert{
		Labels: labels.FromStrings("alertname", "High", "host", "a", "severity", "low"), Annotations: labels.FromStrings("summary", "high"),
		State: "firing", ActiveAt: at, Value: "1e+00",
	}
	return []promapi.RuleGroup{
		{Name: "one", File: "a.yml", Interval: 30, Limit: 10, EvaluationTime: 0.5, LastEvaluation: at, Rules: []promapi.Rule{
			{Name: "High", Query: "x > 1", Labels: labels.FromStrings("severity", "low"), Health: "ok", LastEvaluation: at, Type: promapi.RuleAlerting, Alerting: &promapi.Alerting{
				State: "firing", Duration: 60, Annotations: labels.FromStrings("summary", "high"), Alerts: []promapi.Alert{alert},
			}},
			{Name: "x:sum", Query: "sum(x)", Health: "err", LastError: "no", LastEvaluation: at, Type: promapi.RuleRecording},
		}},
		{Name: "two", File: "b.yml", Interval: 30, LastEvaluation: at, Rules: []promapi.Rule{
			{Name: "y:sum", Query: "sum(y)", Health: "ok", LastEvaluation: at, Type: promapi.RuleRecording},
		}},
	}
}

// TestRules: in the shape and by the parameters that Prometheus has.
func TestRules(t *testing.T) {
	api := newAPI(t, func(o *promapi.Options) { o.Rules = twoGroups })
	const (
		high = `{"state":"firing","duration":60,"keepFiringFor":0,"annotations":{"summary":"high"},` +
			`"alerts":[{"labels":{"alertname":"High","host":"a","severity":"low"},"annotations":{"summary":"high"},"state":"firing","activeAt":"1970-01-01T00:10:00Z","value":"1e+00"}],` +
			`"name":"High","query":"x \u003e 1","labels":{"severity":"low"},"health":"ok","evaluationTime":0,"lastEvaluation":"1970-01-01T00:10:00Z","type":"alerting"}`
		xsum = `{"name":"x:sum","query":"sum(x)","labels":{},"health":"err","lastError":"no","evaluationTime":0,"lastEvaluation":"1970-01-01T00:10:00Z","type":"recording"}`
		one  = `{"name":"one","file":"a.yml","rules":[%],"interval":30,"limit":10,"evaluationTime":0.5,"lastEvaluation":"1970-01-01T00:10:00Z"}`
		two  = `{"name":"two","file":"b.yml","rules":[{"name":"y:sum","query":"sum(y)","labels":{},"health":"ok","evaluationTime":0,"lastEvaluation":"1970-01-01T00:10:00Z","type":"recording"}],` +
			`"interval":30,"limit":0,"evaluationTime":0,"lastEvaluation":"1970-01-01T00:10:00Z"}`
	)
	with := func(rules string) string { return strings.Replace(one, "%", rules, 1) }
	for _, tt := range []struct {
		params []string
		want   string
	}{
		{nil, with(high+","+xsum) + "," + two},
		{[]string{"type", "alert"}, with(high)},
		{[]string{"type", "record"}, with(xsum) + "," + two},
		{[]string{"rule_name[]", "y:sum", "rule_name[]", "z"}, two},
		{[]string{"rule_group[]", "one", "rule_name[]", "x:sum"}, with(xsum)},
		{[]string{"file[]", "b.yml"}, two},
		{[]string{"match[]", `{severity="low"}`}, with(high)},
		{[]string{"type", "alert", "exclude_alerts", "true"}, with(strings.Replace(high, high[strings.Index(high, `[{"labels`):strings.Index(high, `,"name"`)], "null", 1))},
	} {
		status, got := ask(t, api, "rules", tt.params...)
		if want := `{"status":"success","data":{"groups":[` + tt.want + `]}}`; status != 200 || got != want {
			t.Errorf("%v: %d\n%s\nwant\n%s", tt.params, status, got, want)
		}
	}
	status, got := ask(t, api, "rules", "group_limit", "1")
	_, token, ok := strings.Cut(got, `"groupNextToken":"`)
	if status != 200 || !ok {
		t.Fatal(status, got)
	}
	token = token[:40]
	if _, got = ask(t, api, "rules", "group_limit", "1", "group_next_token", token); got != `{"status":"success","data":{"groups":[`+two+`]}}` {
		t.Error(got)
	}
	if _, got = ask(t, api, "alerts"); !strings.HasPrefix(got, `{"status":"success","data":{"alerts":[{"labels":{"alertname":"High"`) {
		t.Error(got)
	}
	for _, bad := range [][]string{{"type", "x"}, {"group_next_token", token}, {"group_limit", "0"}, {"group_limit", "1", "group_next_token", "x"}, {"exclude_alerts", "x"}, {"match[]", "{"}} {
		if status, got := ask(t, api, "rules", bad...); status != 400 {
			t.Errorf("%v: %d %s", bad, status, got)
		}
	}
}
