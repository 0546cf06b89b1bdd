package script_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// shellBlock is a block of commands that a page shows.
type shellBlock struct {
	page     string // relative to the top folder
	line     int    // of its first command
	runnable bool
	why      string // it is not run
	labelled bool   // as a shell's
	code     string
}

// command begins the lines by which an unlabelled block is known for a shell's.
var command = regexp.MustCompile(`^(\S*/)?(amoskys|amoskys-agent|make|git|curl|openssl|go|npm|docker|kubectl|systemctl|start_amoskys\.sh|stop_amoskys\.sh) `)

// shellBlocks reads the pages that people type from.
func shellBlocks(t *testing.T, root string) (blocks []shellBlock) {
	t.Helper()
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	deeper, err := filepath.Glob(filepath.Join(root, "docs", "*", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range slices.Concat([]string{filepath.Join(root, "README.md")}, pages, deeper) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		name, err := filepath.Rel(root, page)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(text), "\n")
		for i := 0; i < len(lines); i++ {
			info, ok := strings.CutPrefix(lines[i], "```")
			if !ok {
				continue
			}
			end := i + 1
			for end < len(lines) && lines[end] != "```" {
				end++
			}
			words := strings.Fields(info)
			b := shellBlock{page: filepath.ToSlash(name), line: i + 2, code: strings.Join(lines[i+1:min(end, len(lines))], "\n")}
			b.labelled = len(words) > 0 && slices.Contains([]string{"sh", "bash", "console"}, words[0])
			b.runnable = b.labelled && slices.Contains(words[1:], "runnable")
			if i > 0 {
				why, _ := strings.CutPrefix(lines[i-1], "<!-- not run: ")
				if b.why = strings.TrimSuffix(why, " -->"); b.why == lines[i-1] {
					b.why = ""
				}
				if lines[i-1] == "<!-- tested -->" {
					b.why = "internal/identity runs it"
				}
			}
			if b.labelled || len(words) == 0 && command.MatchString(b.code) {
				blocks = append(blocks, b)
			}
			i = end
		}
	}
	return blocks
}

// TestShellBlocksAreMarked: what people are told to type is run here, or the page says
// in its source why it is not.
func TestShellBlocksAreMarked(t *testing.T) {
	runnable := 0
	for _, b := range shellBlocks(t, filepath.Join("..", "..")) {
		switch {
		case b.runnable && b.why == "":
			runnable++
		case b.runnable:
			t.Errorf("%s:%d is runnable and says why it is not run: take one away", b.page, b.line)
		case b.why == "":
			t.Errorf("%s:%d: write ```sh runnable, so that CI runs it in a home with a running system, or a line <!-- not run: WHY --> before it", b.page, b.line)
		}
	}
	if runnable < 5 {
		t.Errorf("only %d blocks are runnable", runnable)
	}
}

// blocksTime bounds all blocks together, and each.
const blocksTime, blockTime = 60 * time.Second, 30 * time.Second

// TestShellBlocks runs the blocks that are marked runnable, in the order of their
// pages, against the built program: in the folder of a home with a running system, on
// ports of its own instead of the standard ones, with nobody at the keyboard.
func TestShellBlocks(t *testing.T) {
	if os.Getenv("RUN_DOCS") == "" {
		t.Skip("make docs runs it: it starts a whole system")
	}
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	port, err := writeHome(home)
	if err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{
		programs: "bin", filepath.Join(root, "start_amoskys.sh"): "start_amoskys.sh", filepath.Join(root, "stop_amoskys.sh"): "stop_amoskys.sh",
	} {
		if err := os.Symlink(from, filepath.Join(home, to)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), blocksTime)
	defer cancel()
	run := func(ctx context.Context, code string) (string, error) {
		cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", code)
		cmd.Dir = home
		cmd.Env = append(os.Environ(), "AMOSKYS_HOME="+home, "PATH="+programs+string(os.PathListSeparator)+os.Getenv("PATH"))
		cmd.WaitDelay = time.Second
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		err := cmd.Run()
		return out.String(), err
	}
	up := "amoskys up --detach --agents proc,eventbus,synth >/dev/null; for i in $(seq 100); do amoskys agents list | grep -q running && break; sleep 0.1; done"
	t.Cleanup(func() { down(home) })
	if out, err := run(ctx, up); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	standard := strings.NewReplacer("localhost:5000", fmt.Sprint("localhost:", port["HUB"]), "localhost:5001", fmt.Sprint("localhost:", port["WEB"]),
		"localhost:9090", fmt.Sprint("localhost:", port["METRICS"]))
	for _, b := range shellBlocks(t, root) {
		if !b.runnable {
			continue
		}
		one, done := context.WithTimeout(ctx, blockTime)
		out, err := run(one, standard.Replace(b.code))
		done()
		if err != nil {
			t.Errorf("%s:%d: %v\n%s\nsays\n%s", b.page, b.line, err, b.code, out)
		}
	}
}
