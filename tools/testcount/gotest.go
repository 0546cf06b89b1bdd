package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// goEvent is a line of `go test -json`, see `go doc test2json`.
type goEvent struct {
	Action, Package, ImportPath, Test, Output, FailedBuild string
	Elapsed                                                float64
}

// goTest gathers what the tests of all packages print until they are done.
type goTest struct {
	result
	out     io.Writer
	output  map[string][]string // by package and test, while it runs
	failing map[string]int      // failed tests by package
	certain []string            // failures that are no chance: races, builds
}

// readGo prints one line for each package and the output of what failed.
func readGo(in io.Reader, out io.Writer) (*goTest, error) {
	g := &goTest{out: out, output: map[string][]string{}, failing: map[string]int{}}
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e goEvent
			if json.Unmarshal(line, &e) == nil && e.Action != "" {
				g.add(e)
			} else {
				fmt.Fprintf(out, "%s", line) // not of the protocol: a build error, a warning
			}
		}
		if err == io.EOF {
			return g, nil
		}
		if err != nil {
			return g, fmt.Errorf("read test output: %w", err)
		}
	}
}

func (g *goTest) add(e goEvent) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "build-output":
		fmt.Fprint(g.out, e.Output)
	case "output":
		g.output[key] = append(g.output[key], e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			g.packageDone(e)
		} else {
			g.testDone(e)
		}
		delete(g.output, key)
	}
}

func (g *goTest) testDone(e goEvent) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "pass":
		g.Passed++
	case "skip":
		g.Skipped++
		g.Skips = append(g.Skips, skipped{key, reason(g.output[key])})
	case "fail":
		g.Failed++
		g.failing[e.Package]++
		g.Failures = append(g.Failures, key)
		if slices.ContainsFunc(g.output[key], isRace) {
			g.certain = append(g.certain, key)
		}
		g.print(key)
	}
}

// packageDone counts a package that failed without a failing test (it did not
// build, panicked or ran out of time) as one failure.
func (g *goTest) packageDone(e goEvent) {
	if e.Action == "fail" && g.failing[e.Package] == 0 {
		g.Failed++
		g.Failures = append(g.Failures, e.Package)
		if e.FailedBuild != "" {
			g.certain = append(g.certain, e.Package)
		}
		for key := range g.output { // tests that never came to an end
			if strings.HasPrefix(key, e.Package+" ") {
				if slices.ContainsFunc(g.output[key], isRace) {
					g.certain = append(g.certain, key)
				}
				g.print(key)
			}
		}
	}
	verdict := map[string]string{"pass": "ok  ", "fail": "FAIL", "skip": "?   "}[e.Action]
	note := fmt.Sprintf("%.2fs", e.Elapsed)
	if e.Action == "skip" {
		note = "[no test files]"
	}
	fmt.Fprintf(g.out, "%s\t%s\t%s\n", verdict, e.Package, note)
}

func isRace(line string) bool { return strings.Contains(line, "WARNING: DATA RACE") }

func (g *goTest) print(key string) {
	for _, line := range g.output[key] {
		fmt.Fprint(g.out, line)
	}
}

var position = regexp.MustCompile(`^\s+\S+\.go:\d+: (.*)`)

// reason returns what a test said before it was skipped.
func reason(output []string) string {
	var said []string
	for _, line := range output {
		if m := position.FindStringSubmatch(line); m != nil {
			said = append(said, strings.TrimSpace(m[1]))
		}
	}
	if len(said) == 0 {
		return "no reason given"
	}
	return strings.Join(said, "; ")
}
