package docker_test

import (
	"errors"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// ignores says whether the lines of a .dockerignore leave a file out: a line leaves out
// what it names and all below it, "!" takes back, and the last that speaks of a file counts.
func ignores(lines []string, file string) bool {
	out := false
	for _, line := range lines {
		pattern, back := strings.CutPrefix(line, "!")
		for at := file; at != "."; at = path.Dir(at) {
			if is, err := path.Match(pattern, at); err == nil && is {
				out = !back
				break
			}
		}
	}
	return out
}

// TestContextHasTheDocuments: what `docker build` sends has all that the stage which makes
// the documents into pages needs, links into the tree included, and no built program.
func TestContextHasTheDocuments(t *testing.T) {
	t.Parallel()
	top, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	for _, tool := range []string{"git", "node"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s", tool)
		}
	}
	if _, err := os.Stat(filepath.Join(top, "web/node_modules/marked")); err != nil {
		t.Skip("needs the packages of web/: npm ci")
	}
	text, err := os.ReadFile(filepath.Join(top, ".dockerignore"))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			lines = append(lines, line)
		}
	}
	cmd := exec.CommandContext(t.Context(), "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = top
	listed, err := cmd.Output()
	if err != nil {
		t.Skipf("needs a clone: %v", err)
	}
	context := t.TempDir()
	for file := range strings.SplitSeq(strings.TrimSuffix(string(listed), "\x00"), "\x00") {
		if ignores(lines, file) {
			continue
		}
		if err := place(filepath.Join(top, file), filepath.Join(context, file)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(top, "web/node_modules"), filepath.Join(context, "web/node_modules")); err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "node", "scripts/site.mjs")
	build.Dir = filepath.Join(context, "web")
	if said, err := build.CombinedOutput(); err != nil {
		t.Errorf("the documents cannot be made in the image: %v\n%s", err, said)
	}
}

// place puts a file of the tree into the context; one that is gone meanwhile is none.
func place(from, to string) error {
	info, err := os.Lstat(from)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if info.Mode()&os.ModeSymlink != 0 {
		target, err := os.Readlink(from)
		return errors.Join(err, os.Symlink(target, to))
	}
	if os.Link(from, to) == nil {
		return nil
	}
	text, err := os.ReadFile(from) // on another file system
	return errors.Join(err, os.WriteFile(to, text, info.Mode().Perm()))
}

func TestIgnores(t *testing.T) {
	t.Parallel()
	lines := []string{"bench/*", "!bench/README.md", "data", "*.key"}
	for file, want := range map[string]bool{
		"bench/main.go": true, "bench/README.md": false, "bench/peers/main.go": true, "data/wal/HEAD": true,
		"internal/data/x.go": false, "a.key": true, "certs/a.key": false, "README.md": false,
	} {
		if got := ignores(lines, file); got != want {
			t.Errorf("%s is left out: %v, want %v", file, got, want)
		}
	}
}
