package arch_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRecipes holds the recipes to the code: each block of code in docs/recipes
// that stands behind a line <!-- file: PATH --> is in that file as it stands on
// the page, but for indentation. A line that holds … alone leaves something out.
func TestRecipes(t *testing.T) {
	top := root(t)
	pages, err := filepath.Glob(filepath.Join(top, "docs", "recipes", "*.md"))
	if err != nil || len(pages) < 2 {
		t.Fatalf("recipes %v, %v", pages, err)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(page)
		blocks := blocksOf(t, name, string(text))
		if len(blocks) == 0 && name != "README.md" {
			t.Errorf("%s shows no code of ours", name)
		}
		for _, b := range blocks {
			code, err := os.ReadFile(filepath.Join(top, filepath.FromSlash(b.file)))
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			left := dedent(string(code))
			for part := range strings.SplitSeq(b.code, "\n…\n") {
				part = dedent(part)
				_, after, ok := strings.Cut(left, part)
				if !ok {
					t.Errorf("%s shows what %s does not hold, or not in this order:\n%s", name, b.file, part)
					break
				}
				left = after
			}
		}
	}
}

// block is code that a page shows, and the file that it is from.
type block struct{ file, code string }

func blocksOf(t *testing.T, page, text string) (blocks []block) {
	t.Helper()
	const open = "<!-- file: "
	for {
		_, rest, ok := strings.Cut(text, open)
		if !ok {
			return blocks
		}
		file, rest, ok := strings.Cut(rest, " -->\n```")
		_, rest, ok2 := strings.Cut(rest, "\n")
		code, rest, ok3 := strings.Cut(rest, "\n```")
		if !ok || !ok2 || !ok3 {
			t.Fatalf("%s: a line %sPATH --> must stand before a block of code", page, open)
		}
		blocks = append(blocks, block{file, code})
		text = rest
	}
}

// dedent takes the white space before each line away: a page shows code without
// what stands around it.
func dedent(s string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimRight(s, "\n")) {
		b.WriteString(strings.TrimLeft(line, " \t"))
	}
	return b.String()
}
