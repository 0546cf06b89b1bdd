package packages_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// release of Debian that packages are installed into.
const release = "bookworm"

// debian is a folder with a minimal Debian that has systemd, made once a machine.
func debian(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	tool, err := exec.LookPath("mmdebstrap")
	if err != nil {
		t.Skip("needs mmdebstrap")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	base := filepath.Join(cache, "amoskys-test", "debian-"+release)
	if _, err := os.Stat(filepath.Join(base, "usr/lib/systemd/systemd")); err == nil {
		return base
	}
	if err := os.MkdirAll(filepath.Dir(base), 0o755); err != nil {
		t.Fatal(err)
	}
	work, err := os.MkdirTemp(filepath.Dir(base), "making-") //nolint:usetesting // kept for the next run
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(work)
	root := filepath.Join(work, "root")
	out, err := exec.CommandContext(t.Context(), tool, "--quiet", "--variant=minbase", "--include=systemd,systemd-sysv,dbus",
		"--dpkgopt=path-exclude=/usr/share/doc/*", release, root).CombinedOutput()
	if err != nil {
		t.Skipf("no Debian can be had: %v\n%s", err, out)
	}
	// mmdebstrap leaves its folder to root alone, and services are other users.
	if err := errors.Join(os.Chmod(root, 0o755), os.Rename(root, base)); err != nil {
		t.Fatal(err)
	}
	return base
}

// build makes both debs of this tree as this version, and returns their folder.
func build(t *testing.T, version string) string {
	t.Helper()
	top, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(top, "bin", "nfpm")); err != nil {
		t.Skip("needs bin/nfpm: make bin/nfpm")
	}
	out := t.TempDir()
	script := `tools/build-programs.sh "$1" "$2/programs" && tools/package.sh "$2" "${1#*/}" "$2/programs"`
	cmd := exec.CommandContext(t.Context(), "bash", "-ec", script, "build", target(t), out)
	cmd.Dir, cmd.Env = top, append(os.Environ(), "VERSION="+version, "PACKAGE_KINDS=deb")
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make packages: %v\n%s", err, said)
	}
	return out
}

func target(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOHOSTARCH").Output()
	if err != nil {
		t.Fatal(err)
	}
	return "linux/" + strings.TrimSpace(string(out))
}

// deliver copies the debs in dir into the machine, and returns their paths there.
func (m *machine) deliver(dir string) []string {
	m.t.Helper()
	var there []string
	for _, name := range []string{"amoskys_*.deb", "amoskys-agent_*.deb"} {
		files, err := filepath.Glob(filepath.Join(dir, name))
		if err != nil || len(files) != 1 {
			m.t.Fatalf("%s is in %s: %v, %v", name, dir, files, err)
		}
		text, err := os.ReadFile(files[0])
		if err != nil {
			m.t.Fatal(err)
		}
		path := "/root/" + filepath.Base(files[0])
		if err := os.WriteFile(m.root+path, text, 0o600); err != nil {
			m.t.Fatal(err)
		}
		there = append(there, path)
	}
	return there
}

// TestDeb installs both packages into a clean Debian under a real systemd, sees an event
// of a process within a minute, upgrades, removes, installs again and purges.
func TestDeb(t *testing.T) {
	if os.Getenv("RUN_PACKAGES") == "" {
		t.Skip("builds packages and boots a Debian: make test-packages")
	}
	base := debian(t)
	older, newer := build(t, "0.0.1"), build(t, "0.0.2")
	m := bootMachine(t, base)
	first, second := m.deliver(older), m.deliver(newer)

	began := time.Now()
	said := m.run(append([]string{"dpkg", "-i"}, first...)...)
	m.until(time.Minute-time.Since(began), "an event of a process", m.hasEvents)
	t.Logf("from dpkg -i to the first event of a process: %.1f s", time.Since(began).Seconds())
	if !strings.Contains(said, "first-password") {
		t.Errorf("nobody is told where the password is:\n%s", said)
	}
	m.checkInstalled("0.0.1")

	// An administrator's change, and what was collected, outlast an upgrade.
	m.run("sh", "-c", "echo '# ours' >>/etc/amoskys/eventbus_config.yaml; echo '# ours' >>/etc/amoskys-agent/node_config.yaml")
	before := m.run("sha256sum", "/var/lib/amoskys/certs/ca.crt", "/var/lib/amoskys-agent/certs/node.key", "/var/lib/amoskys/first-password")
	m.run(append([]string{"dpkg", "-i"}, second...)...)
	m.checkInstalled("0.0.2")
	m.until(time.Minute, "events after the upgrade", m.hasEvents)
	if after := m.run("sha256sum", "/var/lib/amoskys/certs/ca.crt", "/var/lib/amoskys-agent/certs/node.key", "/var/lib/amoskys/first-password"); after != before {
		t.Errorf("an upgrade changed\n%s", after)
	}
	m.run("grep", "-q", "^# ours", "/etc/amoskys/eventbus_config.yaml", "/etc/amoskys-agent/node_config.yaml")

	m.run("dpkg", "-r", "amoskys", "amoskys-agent")
	if out, err := m.try("sh", "-c", "systemctl is-active amoskys-hub amoskys-store amoskys-dashboard amoskys-agent; ps -e -o comm= | grep -q '^amoskys' && echo left"); strings.Contains(out, "\nactive") || strings.HasPrefix(out, "active") || strings.Contains(out, "left") {
		t.Errorf("services run after their removal: %v\n%s", err, out)
	}
	m.run("test", "-s", "/var/lib/amoskys/certs/ca.key", "-a", "-d", "/var/lib/amoskys/data/wal", "-a", "-e", "/etc/amoskys/eventbus_config.yaml")

	m.run(append([]string{"dpkg", "-i"}, second...)...)
	m.checkInstalled("0.0.2")
	m.run("grep", "-q", "^# ours", "/etc/amoskys/eventbus_config.yaml")

	m.run("dpkg", "-P", "amoskys", "amoskys-agent")
	if left, _ := m.try("sh", "-c", "ls -d /var/lib/amoskys* /etc/amoskys* /usr/share/amoskys* /etc/systemd/system/*/amoskys* 2>/dev/null"); left != "" { // ls fails where nothing is left
		t.Errorf("a purge left\n%s", left)
	}
}

func (m *machine) hasEvents() error {
	out, err := m.try("amoskys", "query", "type:process.*", "--limit", "1", "--json")
	if err != nil || !strings.Contains(out, `"process.`) {
		return fmt.Errorf("%s %w", out, err)
	}
	return nil
}

// checkInstalled: all services run as their users, tell systemd so, write in their homes
// alone, and root's own commands leave nothing there that they cannot read.
func (m *machine) checkInstalled(version string) {
	m.t.Helper()
	users := map[string]string{"amoskys-hub": "amoskys", "amoskys-store": "amoskys", "amoskys-dashboard": "amoskys", "amoskys-agent": "amoskys-agent"}
	for unit, user := range users {
		show := m.run("systemctl", "show", unit, "-p", "ActiveState,SubState,NRestarts,Type,User,WatchdogUSec,Result")
		for _, want := range []string{"ActiveState=active\n", "SubState=running\n", "NRestarts=0\n", "Type=notify\n", "User=" + user + "\n", "Result=success\n"} {
			if !strings.Contains(show, want) {
				m.t.Errorf("%s has no %s in\n%s%s", unit, want, show, m.journal())
			}
		}
	}
	for _, program := range []string{"amoskys", "amoskys-agent"} {
		var built struct{ Version, Revision string }
		if err := json.Unmarshal([]byte(m.run(program, "version", "--json")), &built); err != nil || built.Version != version || built.Revision == "" {
			m.t.Errorf("%s is %+v, want version %s and a commit: %v", program, built, version, err)
		}
		for _, file := range []string{"/usr/share/man/man1/" + program + ".1.gz", "/usr/share/bash-completion/completions/" + program, "/usr/share/zsh/vendor-completions/_" + program} {
			m.run("test", "-s", file)
		}
		home := "/var/lib/" + program
		if strange := m.run("find", home, "/etc/"+program, "!", "-type", "l", "!", "-user", program); strange != "" {
			m.t.Errorf("not %s's own:\n%s", program, strange)
		}
		if open := m.run("find", home+"/certs", home+"/data", "/etc/"+program, "-perm", "/077", "!", "-type", "l"); open != "" && !strings.HasSuffix(strings.TrimSpace(open), ".crt") {
			m.t.Logf("readable by others:\n%s", open)
		}
	}
	m.run("systemctl", "is-active", "amoskys-certs.timer")
	m.run("systemctl", "start", "amoskys-certs.service") // fails where it fails
	m.run("amoskys", "wal", "verify")
	m.run("amoskys", "healthcheck", "hub")
	m.run("amoskys", "status")
	if out, err := m.try("setpriv", "--reuid=65534", "--clear-groups", "amoskys", "status"); err == nil || !strings.Contains(out, "sudo") {
		m.t.Errorf("another user is told %v\n%s", err, out)
	}
}
