package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/obs"
)

// TestCalledWrongly: flags that contradict each other or mean nothing are refused in words
// that name them, and nothing is begun.
func TestCalledWrongly(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"tail --from -5":                               "--from must be an offset, 0 or more",
		"tail --from 3 --all":                          "--all and --from exclude each other",
		"tail --json --format ecs":                     "--format and --json exclude each other",
		"bench hub --target localhost:1 --dir /tmp":    "--dir and --target exclude each other",
		"bench hub --target localhost:1 --profile x":   "--profile and --target exclude each other",
		"bench hub --batch 2000":                       "batch must be at most 1638",
		"bench hub --size 4096 --batch 300":            "batch must be at most 256",
		"bench read --batch 2000":                      "batch must be at most 1638",
		"bench hub --compress none --batch 0":          "batch must be at least 1",
		"wal rewrite --format 3":                       "--format must be 1 or 2",
		"wal accept-loss":                              "say --all",
		"bench hub --target h:1 --hub-program ./other": "--hub-program and --target exclude each other",
	} {
		var out, errs bytes.Buffer
		env := &cli.Env{
			Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Logger: obs.Discard(),
			Now: time.Now, Lookup: func(string) (string, bool) { return "", false },
		}
		code := cli.Execute(t.Context(), newRoot(env), env, append(strings.Fields(args), "--home", t.TempDir()))
		if code != cli.ExitUsage || !strings.Contains(errs.String(), want) || out.Len() > 0 {
			t.Errorf("%s: exit %d, %s%s", args, code, &out, &errs)
		}
	}
}

// TestOutsideAHome: commands say the same one thing in a folder that is no home.
func TestOutsideAHome(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"status", "query", "devices", "tail", "tail --all --no-follow --json", "doctor"} {
		var out, errs bytes.Buffer
		env := &cli.Env{
			Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Logger: obs.Discard(),
			Now: time.Now, Lookup: func(string) (string, bool) { return "", false },
		}
		code := cli.Execute(t.Context(), newRoot(env), env, append(strings.Fields(args), "--home", t.TempDir()))
		said := strings.TrimSpace(errs.String())
		if code != cli.ExitFailed || strings.Count(said, "\n") > 0 || !strings.HasPrefix(said, "amoskys: there is no AMOSKYS home here (") || out.Len() > 0 {
			t.Errorf("%s: exit %d, %s%s", args, code, &out, said)
		}
	}
}
