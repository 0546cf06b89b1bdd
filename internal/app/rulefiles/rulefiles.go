// Package rulefiles checks and tests files with rules of metrics, for `amoskys rules`. It
// needs no store: files are read as the store reads them.
package rulefiles

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/amoskys/amoskys/internal/app"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/metrics/rules"
)

// fault is one as JSON has it.
type fault struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"`
	Reason string `json:"reason"`
}

// checked is what a check says of a file.
type checked struct {
	File      string  `json:"file"`
	OK        bool    `json:"ok"`
	Groups    int     `json:"groups"`
	Recording int     `json:"recording"`
	Alerting  int     `json:"alerting"`
	Faults    []fault `json:"faults"`
}

// Check checks files, and those in folders; without any those in the folder that the
// store's configuration names. The error is cli.ErrSilent where one would be refused.
func Check(e *cli.Env, paths []string, asJSON bool) error {
	if len(paths) == 0 {
		cfg, err := app.LoadStoreConfig(e)
		if err != nil {
			return err
		}
		dir := e.Home.Path(cfg.Rules.Path)
		if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("there is no folder %s: make it and put files with rules there, or name a folder", dir)
		}
		paths = []string{dir}
	}
	files, err := filesOf(paths)
	if err != nil {
		return err
	}
	bad := false
	for _, file := range files {
		c := checkFile(file)
		bad = bad || !c.OK
		if err := printChecked(e, c, asJSON); err != nil {
			return err
		}
	}
	if len(files) == 0 && !asJSON {
		fmt.Fprintln(e.Stdout, "no files with rules")
	}
	if bad {
		return cli.ErrSilent
	}
	return nil
}

// filesOf are the files with rules that paths name.
func filesOf(paths []string) (files []string, err error) {
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			return nil, fmt.Errorf("look for rules: %w", err)
		}
		if !info.IsDir() {
			files = append(files, p)
			continue
		}
		entries, err := os.ReadDir(p)
		if err != nil {
			return nil, fmt.Errorf("look for rules: %w", err)
		}
		for _, entry := range entries {
			if !entry.IsDir() && rules.IsRuleFile(entry.Name()) {
				files = append(files, filepath.Join(p, entry.Name()))
			}
		}
	}
	return slices.Compact(files), nil
}

func checkFile(file string) checked {
	c := checked{File: file, Faults: []fault{}}
	groups, faults := rules.ParseFile(file)
	for _, f := range faults {
		c.Faults = append(c.Faults, fault{f.File, f.Line, f.Reason})
	}
	if c.OK = len(faults) == 0; !c.OK {
		return c
	}
	c.Groups = len(groups.Groups)
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			if r.Alert != "" {
				c.Alerting++
			} else {
				c.Recording++
			}
		}
	}
	return c
}

func printChecked(e *cli.Env, c checked, asJSON bool) error {
	if asJSON {
		return cli.WriteJSONLine(e.Stdout, c)
	}
	for _, f := range c.Faults {
		fmt.Fprintln(e.Stdout, cli.Clean(rules.Fault(f).String()))
	}
	if c.OK {
		fmt.Fprintf(e.Stdout, "%s: ok, %s, %s\n", c.File, cli.Counted(c.Recording, "recording rule", "recording rules"), cli.Counted(c.Alerting, "alerting rule", "alerting rules"))
	}
	return nil
}

// tested is what a file of tests says.
type tested struct {
	File     string   `json:"file"`
	OK       bool     `json:"ok"`
	Failures []string `json:"failures"`
}

// Test runs files of tests, in the format of promtool. The error is cli.ErrSilent where a test
// failed.
func Test(ctx context.Context, e *cli.Env, files []string, asJSON bool) error {
	bad := false
	for _, file := range files {
		failures, err := rules.Test(ctx, file)
		if err != nil {
			return err
		}
		t := tested{File: file, OK: len(failures) == 0, Failures: append([]string{}, failures...)}
		bad = bad || !t.OK
		if asJSON {
			if err := cli.WriteJSONLine(e.Stdout, t); err != nil {
				return err
			}
			continue
		}
		for _, f := range failures {
			fmt.Fprintln(e.Stdout, file+": "+cleanLines(f))
		}
		if t.OK {
			fmt.Fprintln(e.Stdout, file+": ok")
		}
	}
	if bad {
		return cli.ErrSilent
	}
	return nil
}

// cleanLines is cli.Clean for each line.
func cleanLines(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = cli.Clean(lines[i])
	}
	return strings.Join(lines, "\n")
}

// Shipped prints the rules that come with the program.
func Shipped(e *cli.Env) error {
	_, err := e.Stdout.Write(rules.Shipped())
	return err //nolint:wrapcheck // it says all
}
