package arch_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/amoskys/amoskys/internal/arch"
)

var update = flag.Bool("update", false, "write the rules for depguard into .golangci.yml")

const (
	rulesBegin = "        # Written by `go test ./internal/arch -update` from internal/arch/layers.go.\n"
	rulesEnd   = "        # End of what is written.\n"
)

// TestDepguard keeps the rules that show while editing equal to those that
// TestImportDirection checks.
func TestDepguard(t *testing.T) {
	file := root(t) + "/.golangci.yml"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(text), rulesBegin)
	got, tail, ok2 := strings.Cut(rest, rulesEnd)
	if !ok || !ok2 {
		t.Fatalf("%s has lost the lines that enclose the rules", file)
	}
	want := depguardRules(arch.Layers())
	if *update {
		if err := os.WriteFile(file, []byte(head+rulesBegin+want+rulesEnd+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("run go test ./internal/arch -update (-layers.go +.golangci.yml):\n%s", diff)
	}
}

// depguardRules writes the layers as rules for depguard. A rule matches files
// by folder, so a layer leaves out the folders of layers inside its own.
func depguardRules(layers []arch.Layer) string {
	var b strings.Builder
	for _, l := range layers {
		files := []string{`"!$test"`}
		for _, p := range l.Packages {
			files = append(files, fmt.Sprintf("%q", glob(p)))
		}
		for _, inner := range layers {
			for _, p := range inner.Packages {
				if owner, _ := arch.LayerOf(layers, strings.TrimSuffix(p, "/...")); owner.Name == inner.Name && inner.Name != l.Name && inside(l, p) {
					files = append(files, fmt.Sprintf("%q", "!"+glob(p)))
				}
			}
		}
		fmt.Fprintf(&b, "        %s:\n          list-mode: lax\n          files: [%s]\n", l.Name, strings.Join(files, ", "))
		allow := make([]string, 0, 2*len(l.May))
		for _, may := range l.May {
			allow = append(allow, prefixes(arch.Module+"/"+may)...)
		}
		if len(allow) > 0 {
			fmt.Fprintf(&b, "          allow: [%s]\n", strings.Join(allow, ", "))
		}
		b.WriteString("          deny:\n")
		for _, deny := range append([]string{arch.Module}, l.Never...) {
			fmt.Fprintf(&b, "            - {pkg: %s, desc: %q}\n", deny, l.Why)
		}
	}
	return b.String()
}

// inside reports whether pattern lies in a tree of l.
func inside(l arch.Layer, pattern string) bool {
	for _, own := range l.Packages {
		if tree, ok := strings.CutSuffix(own, "..."); ok && strings.HasPrefix(pattern, tree) {
			return true
		}
	}
	return false
}

// glob returns the files of the packages that pattern covers.
func glob(pattern string) string {
	if dir, ok := strings.CutSuffix(pattern, "/..."); ok {
		return "**/" + dir + "/**"
	}
	return "**/" + pattern + "/*.go"
}

// prefixes returns pattern as depguard's prefixes: exact with a $ at the end.
func prefixes(pattern string) []string {
	if dir, ok := strings.CutSuffix(pattern, "/..."); ok {
		return []string{dir + "$", dir + "/"}
	}
	return []string{pattern + "$"}
}
