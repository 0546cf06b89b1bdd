package promapi_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/metrics/promapi"
)

// TestShapes holds answers against what Prometheus' documentation shows, to the byte.
func TestShapes(t *testing.T) {
	api := newAPI(t, nil)
	vector := func(result string) string {
		return `{"status":"success","data":{"resultType":"vector","result":[` + result + `]}}`
	}
	for name, c := range map[string]struct {
		path   string
		params []string
		want   string
	}{
		"a scalar":            {"query", []string{"query", "1+1", "time", "12.5"}, `{"status":"success","data":{"resultType":"scalar","result":[12.5,"2"]}}`},
		"a string":            {"query", []string{"query", `"a\"b"`, "time", "1970-01-01T00:00:01Z"}, `{"status":"success","data":{"resultType":"string","result":[1,"a\"b"]}}`},
		"without a time, now": {"query", []string{"query", "vector(1)"}, vector(`{"metric":{},"value":[600,"1"]}`)},
		"labels with what JSON escapes": {
			"query",
			[]string{"query", "process_cpu_percent"},
			vector(`{"metric":{"__name__":"process_cpu_percent","agent":"proc","host":"a","process":"sh \"x\"\u003cé\u003e"},"value":[600,"1.5"]}`),
		},
		"what JSON has no number for": {
			"query", []string{"query", `sort_by_label(odd, "which")`, "time", "0"}, vector(`{"metric":{"__name__":"odd","which":"inf"},"value":[0,"+Inf"]},` +
				`{"metric":{"__name__":"odd","which":"minus"},"value":[0,"-Inf"]},{"metric":{"__name__":"odd","which":"nan"},"value":[0,"NaN"]},` +
				`{"metric":{"__name__":"odd","which":"tiny"},"value":[0,"1e-09"]}`),
		},
		"a native histogram": {
			"query", []string{"query", "rpc"}, vector(`{"metric":{"__name__":"rpc","host":"a"},"histogram":[600,{"count":"4","sum":"5","buckets":` +
				`[[0,"0.7071067811865475","1","1"],[0,"1","1.414213562373095","2"],[0,"1.414213562373095","2","1"]]}]}`),
		},
		"histograms of a range": {
			"query_range",
			[]string{"query", "rpc", "start", "0", "end", "1", "step", "1"},
			`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"rpc","host":"a"},"histograms":[[0,{"count":"4","sum":"5","buckets":` +
				`[[0,"0.7071067811865475","1","1"],[0,"1","1.414213562373095","2"],[0,"1.414213562373095","2","1"]]}],` +
				`[1,{"count":"4","sum":"5","buckets":[[0,"0.7071067811865475","1","1"],[0,"1","1.414213562373095","2"],[0,"1.414213562373095","2","1"]]}]]}]}}`,
		},
		"a range": {
			"query_range",
			[]string{"query", `sum by (agent) (flow_bytes_total)`, "start", "0", "end", "1970-01-01T00:00:30Z", "step", "15s"},
			`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"agent":"flow"},"values":[[0,"0"],[15,"300"],[30,"600"]]}]}}`,
		},
		"a range vector": {
			"query",
			[]string{"query", `flow_bytes_total{host="a"}[20s]`, "time", "30"},
			`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"flow_bytes_total","agent":"flow","host":"a"},"values":[[15,"100"],[30,"200"]]}]}}`,
		},
		"nothing": {"query", []string{"query", "nothing"}, vector(``)},
		"a limit": {
			"query",
			[]string{"query", `sort_by_label(sum by (host) (flow_bytes_total), "host")`, "limit", "1", "time", "15"},
			`{"status":"success","data":{"resultType":"vector","result":[{"metric":{"host":"a"},"value":[15,"100"]}]},"warnings":["results truncated due to limit"]}`,
		},
		"lookback": {"query", []string{"query", "flow_bytes_total", "time", "640", "lookback_delta", "10s"}, vector(``)},
		"infos with their place": {
			"query",
			[]string{"query", "rate(process_cpu_percent[1m])"},
			`{"status":"success","data":{"resultType":"vector","result":[{"metric":{"agent":"proc","host":"a","process":"sh \"x\"\u003cé\u003e"},"value":[600,"0"]}]},` +
				`"infos":["PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"process_cpu_percent\" (1:6)"]}`,
		},
		"series":                  {"series", []string{"match[]", "odd", "match[]", `odd{which="nan"}`, "limit", "1"}, `{"status":"success","data":[{"__name__":"odd","which":"inf"}],"warnings":["results truncated due to limit"]}`},
		"labels":                  {"labels", nil, `{"status":"success","data":["__name__","agent","host","process","which"]}`},
		"labels of some":          {"labels", []string{"match[]", "odd", "match[]", "rpc"}, `{"status":"success","data":["__name__","host","which"]}`},
		"values":                  {"label/host/values", []string{"limit", "1"}, `{"status":"success","data":["a"],"warnings":["results truncated due to limit"]}`},
		"values of some":          {"label/which/values", []string{"match[]", "odd"}, `{"status":"success","data":["inf","minus","nan","tiny"]}`},
		"values of none":          {"label/nobody/values", nil, `{"status":"success","data":[]}`},
		"values of a spelled one": {"label/U__which/values", []string{"limit", "1", "match[]", `{which="nan"}`}, `{"status":"success","data":["nan"]}`},
		"metadata":                {"metadata", []string{"limit", "1"}, `{"status":"success","data":{"flow_bytes_total":[{"type":"counter","help":"Bytes of flows.","unit":"bytes"}]}}`},
		"metadata of one":         {"metadata", []string{"metric", "process_cpu_percent"}, `{"status":"success","data":{"process_cpu_percent":[{"type":"gauge","help":"CPU of a process.","unit":""}]}}`},
		"no metadata":             {"metadata", []string{"metric", "nothing"}, `{"status":"success","data":{}}`},
		"rules":                   {"rules", []string{"type", "alert"}, `{"status":"success","data":{"groups":[]}}`},
		"alerts":                  {"alerts", nil, `{"status":"success","data":{"alerts":[]}}`},
		"exemplars":               {"query_exemplars", []string{"query", "rate(flow_bytes_total[5m])"}, `{"status":"success","data":[]}`},
		"a format":                {"format_query", []string{"query", "sum(a)by(b)"}, `{"status":"success","data":"sum by (b) (a)"}`},
		"a configuration":         {"status/config", nil, `{"status":"success","data":{"yaml":"tsdb: {}\n"}}`},
		"flags": {
			"status/flags", nil,
			`{"status":"success","data":{"query.lookback-delta":"5m0s","query.max-concurrency":"4","query.max-samples":"3000000","query.timeout":"40s","storage.tsdb.retention.time":"400d"}}`,
		},
		"a tree": {
			"parse_query",
			[]string{"query", "-a offset 1m"},
			`{"status":"success","data":{"expr":{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"a"}],"name":"a","offset":60000,"offsetExpr":null,` +
				`"smoothed":false,"startOrEnd":null,"timestamp":null,"type":"vectorSelector"},"op":"-","type":"unaryExpr"}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, by := range []func() (int, string){
				func() (int, string) { return ask(t, api, c.path, c.params...) }, func() (int, string) { return post(t, api, c.path, c.params...) },
			} {
				if code, got := by(); code != 200 || got != c.want {
					t.Errorf("%d\n%s\nwant\n%s", code, got, c.want)
				}
			}
		})
	}
}

// TestWarnings: what an answer lacks is of the time that its question is about.
func TestWarnings(t *testing.T) {
	api := newAPI(t, func(o *promapi.Options) {
		o.Warnings = func(from, to time.Time) []string {
			if from.IsZero() && to.IsZero() {
				return []string{"no time"}
			}
			return []string{fmt.Sprintf("from %.0f to %.0f", float64(from.UnixMilli())/1e3, float64(to.UnixMilli())/1e3)}
		}
	})
	for _, c := range []struct {
		path   string
		params []string
		want   string
	}{
		{"query", []string{"query", "1"}, "no time"},
		{"metadata", nil, "no time"},
		{"query", []string{"query", "flow_bytes_total[5m] offset 1m"}, "from 240 to 540"},
		{"query_range", []string{"query", "flow_bytes_total", "start", "400", "end", "500", "step", "10"}, "from 100 to 500"},
		{"series", []string{"match[]", "odd", "start", "1", "end", "2"}, "from 1 to 2"},
		{"label/host/values", []string{"start", "1", "end", "2"}, "from 1 to 2"},
	} {
		if code, got := ask(t, api, c.path, c.params...); code != 200 || !strings.Contains(got, `"warnings":["`+c.want+`"]`) {
			t.Errorf("%s %s: %d %s, want %s", c.path, c.params, code, got, c.want)
		}
	}
}

// TestErrors: each kind of error has Prometheus' word and status, and says what is wrong.
func TestErrors(t *testing.T) {
	api := newAPI(t, nil)
	long := strings.Repeat("9", 400)
	for name, c := range map[string]struct {
		path   string
		params []string
		code   int
		want   string
	}{
		"no query":                 {"query", nil, 400, `"errorType":"bad_data","error":"invalid parameter \"query\": unknown position: parse error: no expression found in input"`},
		"a query that is wrong":    {"query", []string{"query", "sum(a"}, 400, `"error":"invalid parameter \"query\": 1:6: parse error: unclosed left parenthesis"`},
		"a function that is not":   {"query_range", []string{"query", "f(a)", "start", "0", "end", "1", "step", "1"}, 400, `1:1: parse error: unknown function with name \"f\"`},
		"a range of a range":       {"query_range", []string{"query", "a[1m]", "start", "0", "end", "1", "step", "1"}, 400, `must be Scalar or instant Vector`},
		"no time":                  {"query", []string{"query", "a", "time", "tomorrow"}, 400, `"errorType":"bad_data","error":"invalid parameter \"time\": invalid time value for 'time': cannot parse \"tomorrow\" to a valid timestamp"`},
		"a time that is no number": {"query", []string{"query", "a", "time", "NaN"}, 400, `cannot parse \"NaN\" to a valid timestamp`},
		"a time beyond all":        {"query", []string{"query", "a", "time", long}, 400, `to a valid timestamp`},
		"no start":                 {"query_range", []string{"query", "a", "end", "1", "step", "1"}, 400, `invalid parameter \"start\"`},
		"an end before":            {"query_range", []string{"query", "a", "start", "2", "end", "1", "step", "1"}, 400, `end timestamp must not be before start time`},
		"no step":                  {"query_range", []string{"query", "a", "start", "0", "end", "1", "step", "0"}, 400, `zero or negative query resolution step widths are not accepted`},
		"a step below a ms":        {"query_range", []string{"query", "a", "start", "0", "end", "1", "step", "0.0001"}, 400, `a millisecond or more`},
		"too many points":          {"query_range", []string{"query", "a", "start", "0", "end", "11001", "step", "1"}, 400, `"error":"exceeded maximum resolution of 11,000 points per timeseries`},
		"all of time":              {"query_range", []string{"query", "a", "start", "-9e15", "end", "9e15", "step", "1y"}, 400, `11,000 points`},
		"a limit that is none":     {"query", []string{"query", "a", "limit", "-1"}, 400, `invalid parameter \"limit\": limit must be non-negative`},
		"a timeout that is none":   {"query", []string{"query", "a", "timeout", "0"}, 400, `invalid parameter \"timeout\"`},
		"a lookback that is none":  {"query", []string{"query", "a", "lookback_delta", "x"}, 400, `error parsing lookback delta duration`},
		"no selector":              {"series", nil, 400, `no match[] parameter provided`},
		"a selector of all":        {"series", []string{"match[]", `{a=~".*"}`}, 400, `match[] must contain at least one non-empty matcher`},
		"a label that is none":     {"label/%00%ff/values", nil, 400, `invalid label name`},
		"metadata":                 {"metadata", []string{"limit", "x"}, 400, `limit must be a number`},
		"rules":                    {"rules", []string{"type", "x"}, 400, `not supported value`},
		"what is not there":        {"admin/tsdb/snapshot", nil, 404, `"errorType":"not_found"`},
		"many to many":             {"query", []string{"query", `flow_bytes_total * on (agent) flow_bytes_total`}, 422, `"errorType":"execution","error":"found duplicate series for the match group`},
		"counts":                   {"status/tsdb", nil, 503, `"errorType":"unavailable"`},
	} {
		t.Run(name, func(t *testing.T) {
			if code, got := ask(t, api, c.path, c.params...); code != c.code || !strings.Contains(got, c.want) || !strings.HasPrefix(got, `{"status":"error"`) {
				t.Errorf("%d %s, want %d with %s", code, got, c.code, c.want)
			}
		})
	}
}

// TestRemarks: that a name does not end in _total is no remark where it is known to grow.
func TestRemarks(t *testing.T) {
	api := newAPI(t, func(o *promapi.Options) {
		o.Families = func() []promapi.Family { return []promapi.Family{{Name: "process_cpu_percent", Type: "unknown"}} }
	})
	for query, want := range map[string]bool{"rate(process_cpu_percent[5m])": false, "rate(amoskys_agent_up[5m])": true} {
		code, got := ask(t, api, "query", "query", query, "time", "300")
		if code != 200 || strings.Contains(got, "might not be a counter") != want {
			t.Errorf("%s: %d %s", query, code, got)
		}
	}
}
