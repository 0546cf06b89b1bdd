package standalone

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
)

// TestDownOfNoHome: a folder that is no home, or is not there, is left as it is.
func TestDownOfNoHome(t *testing.T) {
	dir := t.TempDir()
	for _, home := range []config.Home{config.Home(dir), config.Home(dir + "/missing")} {
		var out bytes.Buffer
		if err := Down(t.Context(), &cli.Env{Home: home, Stdout: &out, Now: time.Now}, time.Second); err != nil {
			t.Error(err)
		}
		if !strings.Contains(out.String(), "is not running") || !strings.Contains(out.String(), "no AMOSKYS home here") {
			t.Errorf("said %q", out.String())
		}
	}
	if made, err := os.ReadDir(dir); err != nil || len(made) > 0 {
		t.Errorf("made %v, %v", made, err)
	}
}
