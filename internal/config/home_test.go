package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPackaged(t *testing.T) {
	for program, want := range map[string]Home{
		"/usr/bin/amoskys": "/var/lib/amoskys", "/usr/bin/amoskys-agent": "/var/lib/amoskys-agent",
		"/usr/local/bin/amoskys": "", "/usr/bin/other": "", "amoskys": "", "": "",
	} {
		if got := Packaged(program); got != want {
			t.Errorf("%s: home %q, want %q", program, got, want)
		}
	}
}

// TestEnsureBehindLinks: folders that are links are made where the links lead.
func TestEnsureBehindLinks(t *testing.T) {
	dir := t.TempDir()
	elsewhere := filepath.Join(dir, "etc", "amoskys")
	home := Home(filepath.Join(dir, "home"))
	if err := os.MkdirAll(string(home), 0o700); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"config": elsewhere, "logs": "data/logs"} {
		if err := os.Symlink(target, home.Path(link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := home.Ensure(); err != nil {
		t.Fatal(err)
	}
	for _, made := range []string{filepath.Join(elsewhere, "agents"), home.Path("data/logs/agents")} {
		if info, err := os.Stat(made); err != nil || !info.IsDir() {
			t.Errorf("%s was not made: %v", made, err)
		}
	}
}

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
