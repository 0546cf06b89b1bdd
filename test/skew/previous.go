// Package skew runs programs of two builds against each other: this tree's and the
// previous one's, whose commit the file test/previous names. Whoever changes the
// wire, a file or the state database shows with it that neither side is left
// behind.
package skew

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Programs are the two programs of one build.
type Programs struct {
	Name           string // "previous" or "current", for messages
	Amoskys, Agent string // paths
}

// root is the folder of go.mod.
func root() (string, error) {
	out, err := exec.CommandContext(context.Background(), "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find go.mod: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out))), nil
}

// Commit is the full hash that test/previous names.
func Commit() (string, error) {
	top, err := root()
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(top, "test", "previous"))
	if err != nil {
		return "", fmt.Errorf("read the previous commit: %w", err)
	}
	commit := strings.TrimSpace(string(text))
	if len(commit) != 40 || strings.Trim(commit, "0123456789abcdef") != "" {
		return "", fmt.Errorf("test/previous holds %q, which is no full hash of a commit", commit)
	}
	return commit, nil
}

// errNoCommit says that the repository has not got the commit.
var errNoCommit = errors.New("the repository has not got the commit that test/previous names: it is a shallow clone, or none at all")

// build is made once for all tests of a process.
type build struct {
	once sync.Once
	p    Programs
	err  error
}

func (b *build) get(tb testing.TB, with func() (Programs, error)) Programs {
	tb.Helper()
	b.once.Do(func() { b.p, b.err = with() })
	if errors.Is(b.err, errNoCommit) {
		tb.Skip(b.err)
	}
	if b.err != nil {
		tb.Fatal(b.err)
	}
	return b.p
}

var previous, current build //nolint:gochecknoglobals // what a process builds

// Previous returns the programs of the previous build. They are built once for
// each commit, into the user's cache folder. A test is skipped with -short, and
// where the repository has not got the commit.
func Previous(tb testing.TB) Programs {
	tb.Helper()
	if testing.Short() {
		tb.Skip("builds programs of another commit")
	}
	return previous.get(tb, buildPrevious)
}

// Current returns the programs of this tree.
func Current(tb testing.TB) Programs {
	tb.Helper()
	return current.get(tb, buildCurrent)
}

// Clean removes what was built of this tree; a TestMain calls it at its end.
func Clean() {
	if current.p.Amoskys != "" {
		_ = os.RemoveAll(filepath.Dir(current.p.Amoskys)) // a temporary folder
	}
}

func buildCurrent() (Programs, error) {
	top, err := root()
	if err != nil {
		return Programs{}, err
	}
	dir, err := os.MkdirTemp("", "amoskys-current-")
	if err != nil {
		return Programs{}, fmt.Errorf("build this tree: %w", err)
	}
	return programsIn("current", dir), compile(top, dir)
}

func buildPrevious() (Programs, error) {
	commit, err := Commit()
	if err != nil {
		return Programs{}, err
	}
	top, err := root()
	if err != nil {
		return Programs{}, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	dir := filepath.Join(cache, "amoskys-test", "previous-"+commit)
	p := programsIn("previous", dir)
	if _, err := os.Stat(p.Agent); err == nil {
		return p, nil
	}
	if exec.CommandContext(context.Background(), "git", "-C", top, "cat-file", "-e", commit+"^{commit}").Run() != nil { //nolint:gosec // a hash
		return Programs{}, errNoCommit
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return Programs{}, fmt.Errorf("build the previous commit: %w", err)
	}
	work, err := os.MkdirTemp(filepath.Dir(dir), "building-")
	if err != nil {
		return Programs{}, fmt.Errorf("build the previous commit: %w", err)
	}
	defer func() { _ = os.RemoveAll(work) }() // moved away, or of no use
	source, built := filepath.Join(work, "source"), filepath.Join(work, "built")
	if err := errors.Join(checkOut(top, commit, source), compile(source, built)); err != nil {
		return Programs{}, err
	}
	// Another process may have been faster.
	if err := os.Rename(built, dir); err != nil {
		if _, missing := os.Stat(p.Agent); missing != nil {
			return Programs{}, fmt.Errorf("keep the previous build: %w", err)
		}
	}
	return p, nil
}

func programsIn(name, dir string) Programs {
	return Programs{Name: name, Amoskys: filepath.Join(dir, "amoskys"), Agent: filepath.Join(dir, "amoskys-agent")}
}

// checkOut writes the files of a commit to dir, and leaves the repository alone.
func checkOut(top, commit, dir string) error {
	cmd := exec.CommandContext(context.Background(), "git", "-C", top, "archive", "--format=tar", commit) //nolint:gosec // a hash
	text, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("read the files of %s: %w", commit, err)
	}
	files := tar.NewReader(bytes.NewReader(text))
	for {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && h.Typeflag == tar.TypeReg {
			err = writeFile(filepath.Join(dir, filepath.FromSlash(h.Name)), files)
		}
		if err != nil {
			return fmt.Errorf("write the files of %s: %w", commit, err)
		}
	}
}

func writeFile(path string, from io.Reader) error {
	text, err := io.ReadAll(from)
	if err != nil {
		return err
	}
	return errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, text, 0o600))
}

// compile builds both programs of the tree at top into dir. The pages need not be
// built: web/dist holds a file that the program embeds without them.
func compile(top, dir string) error {
	cmd := exec.CommandContext(context.Background(), "go", "build", "-buildvcs=false", "-o", dir+string(filepath.Separator), "./cmd/amoskys", "./cmd/amoskys-agent") //nolint:gosec // a folder of ours
	cmd.Dir = top
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the programs in %s: %w\n%s", top, err, out)
	}
	return nil
}
