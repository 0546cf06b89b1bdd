package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

// vitestReport is what vitest writes with --reporter=json.
type vitestReport struct {
	TestResults []struct {
		Name, Status, Message string
		AssertionResults      []struct{ FullName, Status string }
	}
}

// readVitest counts the reports in files. A file of tests that failed as a
// whole, as when it does not compile, counts as one failure.
func readVitest(files []string) (result, error) {
	var r result
	if len(files) == 0 {
		return r, errors.New("vitest: want the report's file")
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return r, err
		}
		var report vitestReport
		if err := json.Unmarshal(text, &report); err != nil {
			return r, fmt.Errorf("read %s: %w", name, err)
		}
		for _, file := range report.TestResults {
			if file.Status == "failed" && len(file.AssertionResults) == 0 {
				r.Failed++
				r.Failures = append(r.Failures, file.Name+": "+file.Message)
			}
			for _, test := range file.AssertionResults {
				switch test.Status {
				case "passed":
					r.Passed++
				case "failed":
					r.Failed++
					r.Failures = append(r.Failures, test.FullName)
				default: // skipped, pending, todo, disabled
					r.Skipped++
					r.Skips = append(r.Skips, skipped{test.FullName, "marked " + test.Status})
				}
			}
		}
	}
	return r, nil
}
