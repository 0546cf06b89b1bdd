package packages_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
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
	return buildIn(t, top(t), version)
}

// buildIn is build for another tree.
func buildIn(t *testing.T, tree, version string, env ...string) string {
	t.Helper()
	if _, err := os.Stat(filepath.Join(tree, "bin", "nfpm")); err != nil {
		t.Skip("needs bin/nfpm: make bin/nfpm")
	}
	out := t.TempDir()
	script := `tools/build-programs.sh "$1" "$2/programs" && tools/package.sh "$2" "${1#*/}" "$2/programs"`
	cmd := exec.CommandContext(t.Context(), "bash", "-ec", script, "build", target(t), out)
	cmd.Dir, cmd.Env = tree, append(append(os.Environ(), "VERSION="+version, "PACKAGE_KINDS=deb"), env...)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make packages: %v\n%s", err, said)
	}
	return out
}

// buildPrevious makes both debs of the build before: of the commit that $PACKAGES_FROM or
// else test/previous names, where that made packages; of one that did not this tree has to
// stand in.
func buildPrevious(t *testing.T, version string) string {
	t.Helper()
	commit := os.Getenv("PACKAGES_FROM")
	if commit == "" {
		text, err := os.ReadFile(filepath.Join(top(t), "test", "previous"))
		if err != nil {
			t.Fatal(err)
		}
		commit = strings.TrimSpace(string(text))
	}
	git := func(args ...string) error {
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = top(t)
		return cmd.Run()
	}
	if err := git("cat-file", "-e", commit+":tools/package.sh"); err != nil {
		t.Logf("the older packages are of this tree: %s made none, or is not here (PACKAGES_FROM names another)", commit)
		return build(t, version)
	}
	tree := t.TempDir()
	// Its page is of no interest here, and takes Node to build.
	script := `git archive "$1" | tar -x -C "$2" && mkdir -p "$2/bin" "$2/web/dist" && cp bin/nfpm "$2/bin/" && cp -r web/dist/. "$2/web/dist/"`
	cmd := exec.CommandContext(t.Context(), "bash", "-eco", "pipefail", script, "previous", commit, tree)
	cmd.Dir = top(t)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("lay out %s: %v\n%s", commit, err, said)
	}
	t.Logf("the older packages are of %s", commit)
	return buildIn(t, tree, version, "REVISION="+commit, "SOURCE_DATE_EPOCH=0")
}

func top(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	return dir
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
	older, newer := buildPrevious(t, "0.0.1"), build(t, "0.0.2")
	m := bootMachine(t, base)
	first, second := m.deliver(older), m.deliver(newer)

	began := time.Now()
	said := m.run(append([]string{"dpkg", "-i"}, first...)...)
	m.until(time.Minute-time.Since(began), "an event of a process", func() error { return m.hasEvents() })
	t.Logf("from dpkg -i to the first event of a process: %.1f s", time.Since(began).Seconds())
	if !strings.Contains(said, "first-password") {
		t.Errorf("nobody is told where the password is:\n%s", said)
	}
	m.checkInstalled("0.0.1")
	m.checkExposure()

	// An administrator's change, and what was collected, outlast an upgrade.
	m.run("sh", "-c", "echo '# ours' >>/etc/amoskys/eventbus_config.yaml; echo '# ours' >>/etc/amoskys-agent/node_config.yaml")
	before := m.run("sha256sum", "/var/lib/amoskys/certs/ca.crt", "/var/lib/amoskys-agent/certs/node.key", "/var/lib/amoskys/first-password")
	when := strings.TrimSpace(m.run("date", "-u", "+%FT%TZ"))
	stored, started := m.storedUntil(when), m.startOrder()
	m.run(append([]string{"dpkg", "-i"}, second...)...)
	m.checkInstalled("0.0.2")
	m.until(time.Minute, "events after the upgrade", func() error { return m.hasEvents("--since", when) })
	if kept := m.storedUntil(when); stored == 0 || kept < stored {
		t.Errorf("of %d events that were stored an upgrade left %d", stored, kept)
	}
	if again := m.startOrder(); !slices.IsSorted(again) || again[0] <= started[len(started)-1] {
		t.Errorf("hub, store, dashboard and agents were started in the order %v, after %v", again, started)
	}
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

func (m *machine) hasEvents(more ...string) error {
	out, err := m.try(append([]string{"amoskys", "query", "type:process.*", "--limit", "1", "--json"}, more...)...)
	if err != nil || !strings.Contains(out, `"process.`) {
		return fmt.Errorf("%s %w", out, err)
	}
	return nil
}

// storedUntil is how many events of before a time the store has.
func (m *machine) storedUntil(when string) int {
	m.t.Helper()
	var row struct {
		Events json.Number `json:"events"`
	}
	out := m.run("amoskys", "query", "* | stats count() events", "--since", "24h", "--until", when, "--json")
	out, _, _ = strings.Cut(out, "\n") // remarks stand behind it
	if err := json.Unmarshal([]byte(out), &row); err != nil {
		m.t.Fatalf("%v: %s", err, out)
	}
	n, err := row.Events.Int64()
	if err != nil {
		m.t.Fatalf("%v: %s", err, out)
	}
	return int(n)
}

// startOrder is when hub, store, dashboard and agents were ready, microseconds of the
// machine's own clock.
func (m *machine) startOrder() []int {
	m.t.Helper()
	var all []int
	for _, unit := range []string{"amoskys-hub", "amoskys-store", "amoskys-dashboard", "amoskys-agent"} {
		text := strings.TrimSpace(m.run("systemctl", "show", unit, "-p", "ActiveEnterTimestampMonotonic", "--value"))
		at, err := strconv.Atoi(text)
		if err != nil {
			m.t.Fatalf("%s was ready at %q: %v", unit, text, err)
		}
		all = append(all, at)
	}
	return all
}

// checkExposure: this systemd finds little that one who broke into a service could reach.
func (m *machine) checkExposure() {
	m.t.Helper()
	for unit, most := range map[string]string{"amoskys-hub": "30", "amoskys-store": "30", "amoskys-dashboard": "30", "amoskys-agent": "40"} {
		out, err := m.try("systemd-analyze", "security", "--no-pager", "--threshold="+most, unit)
		lines := strings.Split(strings.TrimSpace(out), "\n")
		m.t.Logf("%s: %s", unit, lines[len(lines)-1])
		if err != nil {
			m.t.Errorf("%s is exposed: %v\n%s", unit, err, out)
		}
	}
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
