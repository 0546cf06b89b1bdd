package findings

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/amoskys/amoskys/internal/config"
)

// TestDocs: docs/findings.md has a section for each kind, and its example is the
// default configuration.
func TestDocs(t *testing.T) {
	b, err := os.ReadFile("../../../docs/findings.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, name := range Names() {
		if !strings.Contains(text, "### `"+TypePrefix+name+"`\n") {
			t.Errorf("no section of %s%s", TypePrefix, name)
		}
	}
	_, example, _ := strings.Cut(text, "```yaml\n")
	example, _, _ = strings.Cut(example, "```")
	type file struct {
		Findings Config `yaml:"findings"`
	}
	var got file
	if err := config.Decode("findings.md", []byte(example), &got, config.DecodeOptions{Env: config.NoEnv}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(DefaultConfig(), got.Findings, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}
