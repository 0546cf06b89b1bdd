package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestManual(t *testing.T) {
	root := &cobra.Command{Use: "prog", Short: "Do things", Long: ".starts with a dot\n'and a quote, back\\slash"}
	root.PersistentFlags().String("home", "", "folder `DIR` of things")
	sub := &cobra.Command{Use: "run WHAT", Short: "Run - it", Example: "  prog run --fast", Run: func(*cobra.Command, []string) {}}
	sub.Flags().BoolP("fast", "f", false, "be quick")
	hidden := &cobra.Command{Use: "engine", Hidden: true, Run: func(*cobra.Command, []string) {}}
	root.AddCommand(sub, hidden)
	dir := filepath.Join(t.TempDir(), "man1")
	if err := WriteManual(root, dir); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(dir + "/*")
	if err != nil || len(files) != 2 {
		t.Fatalf("wrote %v, %v", files, err)
	}
	read := func(name string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for page, wants := range map[string][]string{
		"prog.1":     {"\n\\&.starts with a dot\n\\&'and a quote, back\\eslash\n", ".BR prog\\-run (1)\n", "\\fB\\-\\-home\\fR \\fIDIR\\fR\nfolder DIR of things\n"},
		"prog-run.1": {".SH NAME\nprog\\-run \\- Run \\- it\n", "\\fB\\-f, \\-\\-fast\\fR\nbe quick\n", ".SH OPTIONS OF ALL COMMANDS\n", ".BR prog (1)\n"},
	} {
		for _, want := range wants {
			if !strings.Contains(read(page), want) {
				t.Errorf("%s has no %q:\n%s", page, want, read(page))
			}
		}
	}
	groff, err := exec.LookPath("groff")
	if err != nil {
		return // most machines have none
	}
	out, err := exec.CommandContext(t.Context(), groff, "-man", "-Tascii", "-ww", "-z", filepath.Join(dir, "prog.1")).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("groff: %v\n%s", err, out)
	}
}
