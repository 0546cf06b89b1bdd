// Command testcount reads what test runners report, prints it as a person wants
// to read it, and counts.
//
//	go test -json ./... | testcount go -out counts.json -label go
//	testcount vitest -out counts.json -label web report.json
//	testcount total counts.json
//
// The first two append one line to the file that -out names; total adds all
// lines up, lists what was skipped and why, and closes with the plain line
// "N passed, N failed, N skipped". With -again, what ran is a second run of
// tests that another line counts: only its failures are added. With -retry, what
// failed runs once more, alone; what passes then is listed as flaky.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

// result is what one run of one runner came to: a line of the file of counts.
type result struct {
	Label                   string
	Again                   bool
	Passed, Failed, Skipped int
	Failures                []string  `json:",omitempty"`
	Flaky                   []string  `json:",omitempty"`
	Skips                   []skipped `json:",omitempty"`
}

// skipped is a test that did not run, and what it said.
type skipped struct{ Test, Reason string }

var errFailed = errors.New("tests failed")

func main() {
	switch err := run(os.Args[1:], os.Stdin, os.Stdout); {
	case errors.Is(err, errFailed):
		os.Exit(1)
	case err != nil:
		fmt.Fprintln(os.Stderr, "testcount:", err)
		os.Exit(2)
	}
}

func run(args []string, in io.Reader, out io.Writer) error {
	if len(args) == 0 {
		return errors.New("want go, vitest or total")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	file := flags.String("out", "", "file to append the counts to")
	label := flags.String("label", args[0], "name of this run")
	again := flags.Bool("again", false, "these tests are counted by another run")
	retry := flags.String("retry", "", "go: the command that runs failed tests once more; vitest: the report of their second run")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	switch args[0] {
	case "go":
		g, err := readGo(in, out)
		if command := strings.Fields(*retry); err == nil && len(command) > 0 {
			err = retryGo(g, command, out)
		}
		g.Label, g.Again = *label, *again
		return finish(g.result, *file, out, err)
	case "vitest":
		r, err := readVitest(flags.Args())
		if err == nil && *retry != "" {
			var second result
			if second, err = readVitest([]string{*retry}); err == nil {
				r = retryVitest(r, second)
			}
		}
		r.Label, r.Again = *label, *again
		return finish(r, *file, out, err)
	case "total":
		return total(flags.Args(), out)
	default:
		return fmt.Errorf("unknown runner %q: want go, vitest or total", args[0])
	}
}

// finish prints the counts, appends them to file unless that is empty, and
// returns errFailed if a test failed or none ran.
func finish(r result, file string, out io.Writer, err error) error {
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: %d passed, %d failed, %d skipped\n", r.Label, r.Passed, r.Failed, r.Skipped)
	for _, name := range r.Failures {
		fmt.Fprintf(out, "  failed: %s\n", name)
	}
	for _, name := range r.Flaky {
		fmt.Fprintf(out, "  flaky: %s\n", name)
	}
	if file != "" {
		if err := appendLine(file, r); err != nil {
			return fmt.Errorf("append counts: %w", err)
		}
	}
	if r.Failed > 0 {
		return errFailed
	}
	if r.Passed == 0 {
		return fmt.Errorf("%s ran no test", r.Label)
	}
	return nil
}

func appendLine(file string, r result) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

// total prints the sum of the runs in the files.
func total(files []string, out io.Writer) error {
	var sum result
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		for dec := json.NewDecoder(f); ; {
			var r result
			if err := dec.Decode(&r); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return fmt.Errorf("read %s: %w", name, errors.Join(err, f.Close()))
			}
			sum.Failed += r.Failed
			if !r.Again {
				sum.Passed += r.Passed
				sum.Skipped += r.Skipped
			}
			fmt.Fprintf(out, "%-10s %5d passed %5d failed %5d skipped\n", r.Label, r.Passed, r.Failed, r.Skipped)
			for _, name := range r.Failures {
				fmt.Fprintf(out, "  failed:  %s\n", name)
			}
			for _, name := range r.Flaky {
				fmt.Fprintf(out, "  flaky:   %s failed at first and passed alone\n", name)
			}
			if r.Again {
				continue // its skips are listed once already
			}
			for _, s := range r.Skips {
				fmt.Fprintf(out, "  skipped: %s: %s\n", s.Test, s.Reason)
			}
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "%d passed, %d failed, %d skipped\n", sum.Passed, sum.Failed, sum.Skipped)
	if sum.Failed > 0 {
		return errFailed
	}
	return nil
}
