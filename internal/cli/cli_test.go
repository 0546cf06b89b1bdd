package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/config"
)

// tree is a small command tree that shows every way to end.
func tree(e *Env) *cobra.Command {
	root := &cobra.Command{Use: "amoskys", Short: "root"}
	e.BindHome(root)
	group := &cobra.Command{Use: "certs", Short: "a group"}
	group.AddCommand(&cobra.Command{Use: "list", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error { return nil }})
	work := &cobra.Command{Use: "work WHAT", Args: cobra.ExactArgs(1), RunE: func(_ *cobra.Command, args []string) error {
		switch args[0] {
		case "fail":
			return errors.New("the disk is full")
		case "misuse":
			return Usagef("--to must come after --from")
		case "silent":
			return ErrSilent
		}
		return nil
	}}
	work.Flags().Int("count", 1, "")
	work.Flags().Bool("all", false, "")
	work.MarkFlagsMutuallyExclusive("all", "count")
	root.AddCommand(group, work)
	return root
}

// TestErrorsCannotSteerTheTerminal: the reason may come from a node or a hub.
func TestErrorsCannotSteerTheTerminal(t *testing.T) {
	var out bytes.Buffer
	e := &Env{Stdout: &out, Stderr: &out}
	root := &cobra.Command{Use: "amoskys", RunE: func(*cobra.Command, []string) error {
		return errors.New("first\nnode could not do it: \x1b]0;pwned\a\x1b[2J\r")
	}}
	if code := Execute(t.Context(), root, e, nil); code != ExitFailed {
		t.Errorf("exit code %d", code)
	}
	if want := "amoskys: first\nnode could not do it: ⟨U+001B⟩]0;pwned⟨U+0007⟩⟨U+001B⟩[2J⟨U+000D⟩\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestExecute(t *testing.T) {
	tests := []struct {
		args   string
		want   int
		stderr string
	}{
		{"work ok", 0, ""},
		{"work fail", 1, "amoskys: the disk is full\n"},
		{"work silent", 1, ""},
		{"work misuse", 2, "amoskys: --to must come after --from\nSee \"amoskys work --help\".\n"},
		{"completion nosuch", 2, "amoskys: unknown command \"nosuch\" for \"amoskys completion\"\nSee \"amoskys completion --help\".\n"},
		{"work a b", 2, "amoskys: \"b\" is one argument too many: call it as amoskys work WHAT [flags]\nSee \"amoskys work --help\".\n"},
		{"work", 2, "amoskys: an argument is missing: call it as amoskys work WHAT [flags]\nSee \"amoskys work --help\".\n"},
		{"work ok --count x", 2, "amoskys: invalid argument \"x\" for \"--count\" flag: it takes a whole number\nSee \"amoskys work --help\".\n"},
		{"work ok --count 2 --all", 2, "amoskys: --all and --count exclude each other\nSee \"amoskys work --help\".\n"},
		{"work ok --nope", 2, "amoskys: unknown flag: --nope\nSee \"amoskys work --help\".\n"},
		{"wook ok", 2, "amoskys: unknown command \"wook\" for \"amoskys\", did you mean work?\nSee \"amoskys --help\".\n"},
		{"certs lst", 2, "amoskys: unknown command \"lst\" for \"amoskys certs\", did you mean list?\nSee \"amoskys certs --help\".\n"},
		{"certs list", 0, ""},
		{"certs", 0, ""},
		{"", 0, ""},
	}
	for _, test := range tests {
		t.Run(test.args, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			e := &Env{Stdout: &stdout, Stderr: &stderr}
			if got := Execute(t.Context(), tree(e), e, strings.Fields(test.args)); got != test.want {
				t.Errorf("exit code %d, want %d", got, test.want)
			}
			if diff := cmp.Diff(test.stderr, stderr.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestInterrupted: whoever presses Ctrl-C is not told of a context.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out bytes.Buffer
	e := &Env{Stdout: &out, Stderr: &out}
	root := &cobra.Command{Use: "amoskys", RunE: func(cmd *cobra.Command, _ []string) error {
		return fmt.Errorf("verify log: %w", cmd.Context().Err())
	}}
	if code := Execute(ctx, root, e, nil); code != ExitFailed || out.String() != "amoskys: verify log: interrupted\n" {
		t.Errorf("exit code %d, %q", code, out.String())
	}
}

func TestHome(t *testing.T) {
	lookup := func(name string) (string, bool) { return "/from/variable", name == config.HomeVariable }
	for args, want := range map[string]config.Home{"work ok": "/from/variable", "work ok --home /from/flag": "/from/flag"} {
		e := &Env{Stdout: &bytes.Buffer{}, Stderr: &bytes.Buffer{}, Lookup: lookup}
		if code := Execute(t.Context(), tree(e), e, strings.Fields(args)); code != 0 || e.Home != want {
			t.Errorf("%s: exit code %d, home %q, want %q", args, code, e.Home, want)
		}
	}
}

func TestTable(t *testing.T) {
	table := NewTable("AGENT", ">EV/S", "NOTE")
	table.Row("proc_agent", "12.5", "")
	table.Row("ü", 3, "bad\x1b[31m\nline")
	var b bytes.Buffer
	if err := table.Write(&b); err != nil {
		t.Fatal(err)
	}
	want := "AGENT       EV/S  NOTE\nproc_agent  12.5\nü              3  bad⟨U+001B⟩[31m⟨U+000A⟩line\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestNumbers(t *testing.T) {
	got := []string{
		Bytes(0), Bytes(512), Bytes(1536), Bytes(1 << 20), Bytes(uint64(1<<20 - 1)), Bytes(int64(5) << 40),
		Count(7), Count(1234), Count(-1234567), Rate(0), Rate(4.25), Rate(594000.4),
		Duration(350 * time.Millisecond), Duration(12500 * time.Millisecond), Duration(200 * time.Second),
		Duration(125 * time.Minute), Duration(99 * time.Hour), Duration(90 * time.Microsecond),
		Truncate("abcdef", 4), Truncate("abc", 3), Truncate("abc", 0),
	}
	want := []string{
		"0 B", "512 B", "1.5 KiB", "1.0 MiB", "1.0 MiB", "5.0 TiB",
		"7", "1,234", "-1,234,567", "0", "4.2", "594,000",
		"350ms", "12.5s", "3m20s", "2h5m", "4d3h", "90µs",
		"abc…", "abc", "",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestProgressIsSilentWithoutATerminal(t *testing.T) {
	var b bytes.Buffer
	p := NewProgress(&b, time.Now)
	p.Update("verify", 1, 2)
	p.Done()
	if b.Len() > 0 {
		t.Errorf("wrote %q", b.String())
	}
}
