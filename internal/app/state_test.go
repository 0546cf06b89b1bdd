package app

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/hub"
)

// TestEmptyStateURL: a secret that is empty opens no other database than the one that
// was meant.
func TestEmptyStateURL(t *testing.T) {
	home := config.Home(t.TempDir())
	if err := os.WriteFile(home.Path("url"), []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AMOSKYS_TEST_URL", "")
	for _, url := range []config.Secret{"file:url", "env:AMOSKYS_TEST_URL"} {
		_, err := OpenState(t.Context(), home, hub.Config{State: hub.StateConfig{URL: url}})
		if !errors.Is(err, errEmptyURL) {
			t.Errorf("%s: %v", string(url), err)
		}
	}
	if files, err := filepath.Glob(home.Path("data/*")); err != nil || len(files) > 0 {
		t.Errorf("made %v, %v", files, err)
	}
}
