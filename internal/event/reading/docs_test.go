package reading_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/amoskys/amoskys/internal/event/reading"
)

var update = flag.Bool("update", false, "write the tables of docs/metrics.md anew")

// Marks between which docs/metrics.md has the tables that are made here.
const (
	beginTables = "<!-- Made by go test ./internal/event/reading -run MetricsPage -update. Do not edit. -->\n"
	endTables   = "<!-- End of what is made. -->\n"
)

// TestMetricsPage keeps docs/metrics.md in step with the table of families.
func TestMetricsPage(t *testing.T) {
	path := filepath.Join("..", "..", "..", "docs", "metrics.md")
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(page), beginTables)
	_, after, ends := strings.Cut(rest, endTables)
	if !begins || !ends {
		t.Fatal("docs/metrics.md lacks the marks of its tables")
	}
	want := before + beginTables + familyTables() + endTables + after
	if want == string(page) {
		return
	}
	if !*update {
		t.Fatal("docs/metrics.md is stale: run go test ./internal/event/reading -run MetricsPage -update")
	}
	if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
		t.Fatal(err)
	}
}

// familyTables has one table for each beginning of names.
func familyTables() string {
	var b strings.Builder
	section := ""
	for _, f := range reading.Families() {
		first, _, _ := strings.Cut(f.Name, "_")
		if first != section {
			section = first
			fmt.Fprintf(&b, "\n### `%s_*`\n\n| family | type | unit | labels | what |\n| --- | --- | --- | --- | --- |\n", first)
		}
		var labels []string
		for _, l := range f.Labels {
			labels = append(labels, "`"+l+"`")
		}
		where := ""
		switch {
		case strings.Contains(f.Name, "eventbus_"):
			where = " Only in the store: the hub has its own."
		case f.Detail:
			where = " Only in the store."
		}
		unit := f.Unit
		if unit != "" {
			unit = "`" + unit + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s%s |\n", f.Name, f.Kind, unit, strings.Join(labels, ", "), f.Help, where)
	}
	b.WriteString("\n")
	return b.String()
}
