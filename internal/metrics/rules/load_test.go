package rules

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestParseFaults(t *testing.T) {
	t.Parallel()
	rule := func(text string) string { return "groups:\n- name: g\n  rules:\n  - " + text }
	for _, tt := range []struct {
		text, want string
		line       int
	}{
		{rule("alert: a\n    expr: x >\n"), "could not parse expression", 5},
		{rule("record: 'a b'\n    expr: x\n"), "invalid recording rule name", 4},
		{rule("record: a\n    expr: x\n    for: 5m\n"), "invalid field 'for'", 4},
		{rule("alert: a\n    expr: x\n    labels: {__name__: b}\n"), "invalid label name", 0},
		{rule("alert: a\n    expr: x\n    annotations: {summary: '{{ $labels.'}\n"), `annotation "summary"`, 0},
		{rule("alert: a\n    exp: x\n"), "field exp not found", 5},
		{"groups:\n- name: g\n- name: g\n", "is repeated", 0},
		{"groups:\n\t- name\n", "cannot start any token", 2},
		{"groups: [{name: g, interval: 1s}]\n", "5s is the least", 0},
		{"groups: [{name: g, limit: 1000000}]\n", "is the most", 0},
		{rule("alert: a\n    expr: '" + strings.Repeat("(", 600) + "x'\n"), "nested deeper", 5},
		{"\x00", "no text", 0},
		{"[]", "cannot unmarshal", 1},
	} {
		_, faults := Parse("f.yml", []byte(tt.text))
		if len(faults) == 0 || faults[0].File != "f.yml" || faults[0].Line != tt.line || !strings.Contains(faults[0].Reason, tt.want) {
			t.Errorf("%q: %+v", tt.text, faults)
		}
	}
}

// TestFolder: what is a file of rules, and the bounds on them.
func TestFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	one := "groups: [{name: g, rules: [{record: a, expr: x}]}]\n"
	for _, name := range []string{"a.yml", "b.yaml", ".c.yml", "d_test.yml", "e.txt"} {
		write(name, one)
	}
	if err := os.Mkdir(filepath.Join(dir, "f.yml"), 0o700); err != nil {
		t.Fatal(err)
	}
	l := newLoader()
	look := func(want ...string) {
		t.Helper()
		if got, err := l.look(dir, false); err != nil || !slices.Equal(got, want) {
			t.Errorf("%v %v, want %v", got, err, want)
		}
	}
	look("a.yml", "b.yaml")
	look()
	write("g.yml", "groups:\n- name: g\n  rules:\n"+strings.Repeat("  - {record: a, expr: x}\n", maxRules-1))
	look("a.yml", "b.yaml")
	if f := l.faults(); len(f) != 1 || !strings.Contains(f[0].Reason, "all files together") {
		t.Error(f)
	}
	write("g.yml", "#"+strings.Repeat("x", maxFileBytes))
	look("a.yml", "b.yaml")
	if f := l.faults(); len(f) != 1 || !strings.Contains(f[0].Reason, "1024 are the most") {
		t.Error(f)
	}
	for i := range maxFiles {
		write(fmt.Sprintf("n%d.yml", i), one)
	}
	if _, err := l.look(dir, false); err == nil {
		t.Error("too many files")
	}
	l = newLoader()
	if files, err := l.look(filepath.Join(dir, "none"), true); err != nil || !slices.Equal(files, []string{ShippedFile}) {
		t.Error(files, err)
	}
}

// TestShipped: each alert has a test in which it fires and one in which it does not.
func TestShipped(t *testing.T) {
	if testing.Short() {
		t.Skip("it evaluates all rules over and over")
	}
	t.Parallel()
	failures, err := Test(t.Context(), "shipped/amoskys_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range failures {
		t.Error(f)
	}
	tests, err := os.ReadFile("shipped/amoskys_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	groups, faults := Parse(ShippedFile, Shipped())
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			wants := []string{"name: " + r.Alert + " fires\n", "name: " + r.Alert + " does not fire\n"}
			if r.Alert == "" {
				wants = []string{"expr: '" + r.Record + "'"}
			} else if r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("%s says too little", r.Alert)
			}
			for _, want := range wants {
				if !strings.Contains(string(tests), want) {
					t.Errorf("no test %q", want)
				}
			}
		}
	}
}

// TestFailingTest: what differs is said.
func TestFailingTest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.yml": "groups: [{name: g, rules: [{alert: Up, expr: x > 1, labels: {severity: low}, annotations: {summary: 'at {{ $value }}'}}]}]\n",
		"a_test.yml": `rule_files: [a.yml]
tests:
- input_series: [{series: 'x{i="1"}', values: '0 2 _ 5'}]
  alert_rule_test:
  - {alertname: Up, eval_time: 1m, exp_alerts: [{exp_labels: {severity: low, i: 1}, exp_annotations: {summary: at 2}}]}
  - {alertname: Up, eval_time: 0m}
  - {alertname: Up, eval_time: 3m}
  promql_expr_test:
  - {expr: x, eval_time: 3m, exp_samples: [{labels: 'x{i="1"}', value: 5}]}
  - {expr: x, eval_time: 3m, exp_samples: [{labels: 'x{i="1"}', value: 6}]}
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	failures, err := Test(t.Context(), filepath.Join(dir, "a_test.yml"))
	if err != nil || len(failures) != 2 || !strings.Contains(failures[0], "the alert Up at 3m") || !strings.Contains(failures[1], "x at 3m") {
		t.Error(failures, err)
	}
}

// FuzzParse: a file is refused or good, whatever it holds.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		high, "groups: [{name: g, rules: [{record: a, expr: x}]}]", "groups:\n- name: g\n- name: g\n", "a: &a [*a]", "groups: [{name: g, interval: 1s, limit: -1}]",
		"groups: [{name: g, query_offset: 1m, labels: {a: b}, rules: [{alert: a, expr: 'x[5m:1s]', for: 1d, keep_firing_for: 1s}]}]", "\xff", "---\n---\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		groups, faults := Parse("f.yml", b)
		if len(faults) > maxFaults {
			t.Error(len(faults))
		}
		if len(faults) > 0 {
			return
		}
		for i := range groups.Groups {
			if groups.Groups[i].Limit <= 0 {
				t.Errorf("%+v", groups.Groups[i])
			}
		}
	})
}

// FuzzDecodeTold: a state that is not ours is refused.
func FuzzDecodeTold(f *testing.F) {
	t := newTold()
	t.Alerts["k"] = &toldAlert{File: "f", Group: "g", Rule: "r", Value: 1}
	good, err := t.encode()
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{string(good), "", "00000000\n", "\n{}"} {
		f.Add([]byte(s))
	}
	body := []byte(`{"alerts":{"k":null},"waiting":[{}]}`)
	f.Add(append([]byte(sumOf(body)+"\n"), body...))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := decodeTold(b)
		if got.Alerts == nil {
			t.Error("no map")
		}
		if err != nil {
			return
		}
		for key, a := range got.Alerts {
			if a == nil {
				t.Error(key)
			}
		}
	})
}
