package main

import (
	"errors"
	"os"
	"strings"
	"testing"
)

const goReport = `
{"Action":"start","Package":"m/a"}
{"Action":"run","Package":"m/a","Test":"TestOne"}
{"Action":"output","Package":"m/a","Test":"TestOne","Output":"=== RUN   TestOne\n"}
{"Action":"pass","Package":"m/a","Test":"TestOne","Elapsed":0.1}
{"Action":"output","Package":"m/a","Test":"TestTwo","Output":"    a_test.go:9: needs tcpdump\n"}
{"Action":"skip","Package":"m/a","Test":"TestTwo","Elapsed":0}
{"Action":"pass","Package":"m/a","Elapsed":0.2}
{"Action":"output","Package":"m/b","Test":"TestBad","Output":"    b_test.go:3: got 1, want 2\n"}
{"Action":"fail","Package":"m/b","Test":"TestBad","Elapsed":0}
{"Action":"fail","Package":"m/b","Elapsed":0.2}
{"ImportPath":"m/c [m/c.test]","Action":"build-output","Output":"c.go:1: undefined: x\n"}
{"ImportPath":"m/c [m/c.test]","Action":"build-fail"}
{"Action":"fail","Package":"m/c","Elapsed":0,"FailedBuild":"m/c [m/c.test]"}
{"Action":"skip","Package":"m/d","Elapsed":0}
`

const vitestText = `{"testResults":[
 {"name":"a.test.ts","status":"passed","assertionResults":[{"fullName":"adds","status":"passed"},{"fullName":"later","status":"todo"}]},
 {"name":"b.test.ts","status":"failed","message":"no such module","assertionResults":[]}]}`

func TestCounts(t *testing.T) {
	dir := t.TempDir()
	counts, report := dir+"/counts", dir+"/report"
	if err := os.WriteFile(report, []byte(vitestText), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := run([]string{"go", "-out", counts}, strings.NewReader(goReport), &out); !errors.Is(err, errFailed) {
		t.Errorf("go: %v", err)
	}
	if err := run([]string{"vitest", "-out", counts, "-label", "web", report}, nil, &out); !errors.Is(err, errFailed) {
		t.Errorf("vitest: %v", err)
	}
	for _, want := range []string{
		"ok  \tm/a\t0.20s\n", "b_test.go:3: got 1, want 2", "c.go:1: undefined: x", "FAIL\tm/c", "[no test files]",
		"go: 1 passed, 2 failed, 1 skipped\n", "web: 1 passed, 1 failed, 1 skipped\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("output lacks %q:\n%s", want, out.String())
		}
	}
	if err := run([]string{"go", "-again", "-out", counts, "-label", "race"}, strings.NewReader(goReport), &out); !errors.Is(err, errFailed) {
		t.Errorf("go again: %v", err)
	}
	out.Reset()
	if err := run([]string{"total", counts}, nil, &out); !errors.Is(err, errFailed) {
		t.Errorf("total: %v", err)
	}
	for _, want := range []string{"failed:  m/b TestBad\n", "skipped: m/a TestTwo: needs tcpdump\n", "b.test.ts: no such module"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("total lacks %q:\n%s", want, out.String())
		}
	}
	if !strings.HasSuffix(out.String(), "\n2 passed, 5 failed, 2 skipped\n") {
		t.Errorf("total ends otherwise:\n%s", out.String())
	}
}

func TestNoTestIsAnError(t *testing.T) {
	if err := run([]string{"go"}, strings.NewReader(""), &strings.Builder{}); err == nil {
		t.Error("a run without a test passes")
	}
}

const failedOnce = `
{"Action":"pass","Package":"m/a","Test":"TestOne","Elapsed":0.1}
{"Action":"pass","Package":"m/a","Elapsed":0.2}
{"Action":"output","Package":"m/b","Test":"TestBad/x","Output":"    b_test.go:3: got 1, want 2\n"}
{"Action":"fail","Package":"m/b","Test":"TestBad/x","Elapsed":0}
{"Action":"fail","Package":"m/b","Test":"TestBad","Elapsed":0}
{"Action":"fail","Package":"m/b","Elapsed":0.2}
`

func TestRetry(t *testing.T) {
	const passes = `{"Action":"pass","Package":"m/b","Test":"TestBad/x"}
{"Action":"pass","Package":"m/b","Test":"TestBad"}
{"Action":"pass","Package":"m/b"}
`
	fails := strings.ReplaceAll(passes, `"pass"`, `"fail"`)
	race := strings.Replace(failedOnce, "got 1, want 2", "WARNING: DATA RACE", 1)
	for _, c := range []struct {
		name, first, second string
		want                string
		err                 error
	}{
		{"passes alone", failedOnce, passes, "go: 3 passed, 0 failed, 0 skipped\n  flaky: m/b TestBad/x\n  flaky: m/b TestBad\n", nil},
		{"fails again", failedOnce, fails, "go: 1 passed, 2 failed, 0 skipped\n", errFailed},
		{"says nothing", failedOnce, "", "go: 1 passed, 1 failed, 0 skipped\n  failed: m/b\n", errFailed},
		{"a race", race, passes, "go: 1 passed, 2 failed, 0 skipped\n", errFailed},
		{"does not build", goReport, passes, "go: 1 passed, 2 failed, 1 skipped\n", errFailed},
	} {
		t.Run(c.name, func(t *testing.T) {
			report := t.TempDir() + "/second"
			script := t.TempDir() + "/runner"
			// The arguments that follow are the tests to run.
			for name, text := range map[string]string{report: c.second, script: "cat " + report + "\n"} {
				if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var out strings.Builder
			err := run([]string{"go", "-retry", "sh " + script}, strings.NewReader(c.first), &out)
			if !errors.Is(err, c.err) {
				t.Errorf("ended with %v, want %v", err, c.err)
			}
			if !strings.Contains(out.String(), c.want) {
				t.Errorf("output lacks %q:\n%s", c.want, out.String())
			}
		})
	}
}
