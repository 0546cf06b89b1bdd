package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestHomeCheck(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "config"), 0o700); err != nil { // as others have one too
		t.Fatal(err)
	}
	home := Home(dir)
	if err := home.Check(); err == nil || !strings.Contains(err.Error(), "there is no AMOSKYS home here") || !strings.Contains(err.Error(), "--home") {
		t.Errorf("a folder of others: %v", err)
	}
	for _, mark := range homeMarks {
		if strings.Contains(mark, "data") {
			continue
		}
		home := Home(t.TempDir())
		if err := os.MkdirAll(home.Path(mark), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := home.Check(); err != nil {
			t.Errorf("%s: %v", mark, err)
		}
	}
	fresh := Home(t.TempDir())
	if err := fresh.Ensure(); err != nil {
		t.Fatal(err)
	}
	if err := fresh.Check(); err != nil {
		t.Errorf("one that up has begun: %v", err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if !home.Same(Home(link)) || home.Same(fresh) || home.Same(Home(dir+"-gone")) {
		t.Error("which folders are one")
	}
}
