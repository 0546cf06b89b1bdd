package main

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"sort"
	"strings"
)

// maxRetried is how many failures may be chance: more of them have a cause.
const maxRetried = 5

// retryGo runs what failed once more, alone: tests that share two cores with all
// others fail by chance now and then. What passes then is listed as flaky, for
// somebody to mend. Data races and packages that do not build are never retried, and
// neither is anything when more than maxRetried failed.
func retryGo(g *goTest, command []string, out io.Writer) error {
	if len(g.Failures) == 0 || len(g.Failures) > maxRetried || len(g.certain) > 0 {
		return nil
	}
	packages := map[string][]string{} // tests at the top by package; none: all of them
	for _, name := range g.Failures {
		pkg, test, one := strings.Cut(name, " ")
		top, _, _ := strings.Cut(test, "/")
		if one && !slices.Contains(packages[pkg], top) {
			packages[pkg] = append(packages[pkg], top)
		} else if !one {
			packages[pkg] = nil
		}
	}
	names := make([]string, 0, len(packages))
	for pkg := range packages {
		names = append(names, pkg)
	}
	sort.Strings(names)
	failed := 0
	var failures []string
	for _, pkg := range names {
		fmt.Fprintf(out, "once more: %s %s\n", pkg, strings.Join(packages[pkg], " "))
		again, err := goAgain(command, pkg, packages[pkg], out)
		if err != nil {
			return err
		}
		failed += again.Failed
		failures = append(failures, again.Failures...)
	}
	for _, name := range g.Failures {
		pkg, _, _ := strings.Cut(name, " ")
		if !slices.Contains(failures, name) && !slices.Contains(failures, pkg) {
			g.Flaky = append(g.Flaky, name)
			g.Passed++
		}
	}
	g.Failed, g.Failures = failed, failures
	return nil
}

// goAgain runs tests of one package. A run without a test counts as failed.
func goAgain(command []string, pkg string, tests []string, out io.Writer) (result, error) {
	args := slices.Clone(command[1:])
	if len(tests) > 0 {
		args = append(args, "-run", "^("+strings.Join(tests, "|")+")$")
	}
	cmd := exec.CommandContext(context.Background(), command[0], append(args, pkg)...) //nolint:gosec // what make passes
	report, err := cmd.StdoutPipe()
	if err != nil {
		return result{}, err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return result{}, err
	}
	again, err := readGo(report, out)
	if status := cmd.Wait(); err == nil && (again.Passed == 0 || status != nil) && again.Failed == 0 {
		again.Failed, again.Failures = 1, []string{pkg}
	}
	return again.result, err
}

// retryVitest takes what failed in r and passed in again, a second run of the files
// with failures, for flaky.
func retryVitest(r, again result) result {
	if again.Passed == 0 {
		return r
	}
	for _, name := range r.Failures {
		if !slices.Contains(again.Failures, name) {
			r.Flaky = append(r.Flaky, name)
		}
	}
	r.Passed += r.Failed - again.Failed
	r.Failed, r.Failures = again.Failed, again.Failures
	return r
}
