package arch_test

import (
	"bytes"
	"errors"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/amoskys/amoskys/internal/arch"
)

// root returns the folder of go.mod.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir + "/go.mod"); err != nil {
		t.Fatal(err)
	}
	return dir
}

// sources calls visit for every file that people here write: no dot folders,
// nothing installed, built or left by a run.
func sources(t *testing.T, visit func(path, rel string)) {
	t.Helper()
	base := root(t)
	skip := []string{"bin", "release", "certs", "config", "data", "logs", "run", "web/dist"}
	err := filepath.WalkDir(base, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // gone since its folder was read
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(base, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			hidden := strings.HasPrefix(d.Name(), ".") && rel != "." && rel != ".ci"
			if hidden || d.Name() == "node_modules" || d.Name() == "testdata" || slices.Contains(skip, rel) {
				return fs.SkipDir
			}
			return nil
		}
		visit(path, rel)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

var (
	generatedLine = regexp.MustCompile(`(?m)^(//|#|/\*) ?Code generated .* DO NOT EDIT\.`)
	writtenExt    = []string{".go", ".ts", ".svelte", ".css", ".js", ".sh", ".proto", ".md", ".yaml", ".yml"}
)

// TestFilesAreShort: what does not fit into one head in one sitting is split.
func TestFilesAreShort(t *testing.T) {
	const longest = 500
	sources(t, func(path, rel string) {
		if !slices.Contains(writtenExt, filepath.Ext(path)) || strings.Contains(rel, ".gen.") {
			return
		}
		text, err := os.ReadFile(path)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Error(err)
			}
			return
		}
		if lines := bytes.Count(text, []byte("\n")); lines > longest && !generatedLine.Match(text[:min(len(text), 2000)]) {
			t.Errorf("%s has %d lines; split it at %d", rel, lines, longest)
		}
	})
}

// TestPackageDocs: the first lines of a package say what it is for. They stand
// in at least one file, below nothing but build constraints.
func TestPackageDocs(t *testing.T) {
	const firstLines = 5
	for _, p := range goList(t, "linux", arch.Module+"/...") {
		rel := strings.TrimPrefix(p.ImportPath, arch.Module+"/")
		if strings.HasPrefix(rel, "internal/pb/") {
			continue // generated; the proto files are documented instead
		}
		names, err := filepath.Glob(p.Dir + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		documented, production := false, false
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			production = true
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, name, nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if f.Doc == nil {
				continue
			}
			opening := "Package " + f.Name.Name + " "
			if f.Name.Name == "main" {
				opening = "Command " + filepath.Base(rel) + " "
			}
			if text := f.Doc.Text(); !strings.HasPrefix(text, opening) {
				t.Errorf("%s: the package comment must start with %q", name, opening)
			}
			if line := fset.Position(f.Doc.Pos()).Line; line > firstLines {
				t.Errorf("%s: the package comment starts at line %d", name, line)
			}
			documented = true
		}
		if production && !documented {
			t.Errorf("%s has no package comment", rel)
		}
	}
}

var folderName = regexp.MustCompile("`([a-z][a-z0-9_./-]*/)`")

// TestFolders compares the table of folders in docs/architecture.md with the
// tree, both ways.
func TestFolders(t *testing.T) {
	base := root(t)
	text, err := os.ReadFile(base + "/docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n## Folders\n")
	if !ok {
		t.Fatal("docs/architecture.md has no section Folders")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	named := map[string]bool{}
	for _, m := range folderName.FindAllStringSubmatch(section, -1) {
		named[m[1]] = true
		if info, err := os.Stat(filepath.Join(base, m[1])); err != nil || !info.IsDir() {
			t.Errorf("docs/architecture.md names %s, which is no folder", m[1])
		}
	}
	for _, parent := range []string{"internal", "cmd", "internal/agents"} {
		entries, err := os.ReadDir(filepath.Join(base, parent))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.IsDir() && !named[parent+"/"+e.Name()+"/"] {
				t.Errorf("docs/architecture.md does not name %s/%s/", parent, e.Name())
			}
		}
	}
}

var (
	cellBorder = regexp.MustCompile(`(^|[^\\])\|`)
	firstCell  = regexp.MustCompile(`^\| (.+?) \|`)
)

// TestTables: each row of a page's table has as many cells as its head, and the
// table of folders has a row for each once.
func TestTables(t *testing.T) {
	sources(t, func(path, rel string) {
		if filepath.Ext(path) != ".md" {
			return
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			return
		}
		cells, code, seen := 0, false, map[string]bool{}
		for i, line := range strings.Split(string(text), "\n") {
			if strings.HasPrefix(strings.TrimSpace(line), "```") {
				code = !code
			}
			if code || !strings.HasPrefix(line, "|") {
				cells = 0
				continue
			}
			n := len(cellBorder.FindAllString(line, -1))
			if cells == 0 {
				cells, seen = n, map[string]bool{}
			}
			if n != cells {
				t.Errorf("%s:%d: a row of %d cells in a table of %d", rel, i+1, n-1, cells-1)
			}
			m := firstCell.FindStringSubmatch(line)
			if m == nil || !folderName.MatchString(m[1]) {
				continue
			}
			if seen[m[1]] {
				t.Errorf("%s:%d: %s has a row already", rel, i+1, m[1])
			}
			seen[m[1]] = true
		}
	})
}

var relativeLink = regexp.MustCompile(`\]\(([^)#:\s]+)(#[^)]*)?\)`)

// TestLinks: a page that points at nothing teaches that pages are not kept.
func TestLinks(t *testing.T) {
	sources(t, func(path, rel string) {
		if filepath.Ext(path) != ".md" {
			return
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			return
		}
		for _, m := range relativeLink.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", rel, m[1])
			}
		}
	})
}
