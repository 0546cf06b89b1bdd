package systemd

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestUnit(t *testing.T) {
	got, err := Unit(Agent, "/opt/a b/amoskys-agent", "/srv/100%")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\nExecStart=\"/opt/a b/amoskys-agent\" node --home /srv/100%%\n", "\nReadWritePaths=/srv/100%%\n", "\nRestart=always\n", "\nNoNewPrivileges=yes\n",
		"\nConditionPathExists=/srv/100%%/certs/node.crt\n", " CAP_DAC_OVERRIDE CAP_SETPCAP CAP_KILL\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "User=") || strings.Contains(got, "AmbientCapabilities=") {
		t.Errorf("a home of no package needs a user:\n%s", got)
	}
	same, err := Unit(Agent, "/usr/bin/amoskys-agent", "/var/lib/amoskys-agent")
	if own, err2 := Unit(Agent, "", ""); err != nil || err2 != nil || same != own || !strings.Contains(own, "\nUser=amoskys-agent\n") {
		t.Errorf("the package's own: %v, %v\n%s", err, err2, same)
	}
	for _, bad := range []string{"relative", "/a\nExecStart=/bin/sh", "/a\"b"} {
		if _, err := Unit(Agent, bad, ""); err == nil {
			t.Errorf("took the program %q", bad)
		}
		if _, err := Unit(Agent, "", bad); err == nil {
			t.Errorf("took the home %q", bad)
		}
	}
	if _, err := Unit("other.service", "", ""); err == nil {
		t.Error("made up a unit")
	}
}

// TestExposure: what one who broke into a service could reach is as little as systemd
// knows to leave (systemd-analyze(1): 3.0 of 10 and less for those without privileges).
func TestExposure(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("needs systemd-analyze")
	}
	for name, most := range map[string]string{Hub: "20", Store: "20", Dashboard: "20", "amoskys-certs.service": "20", Agent: "40"} {
		out, err := exec.CommandContext(t.Context(), analyze, "security", "--offline=true", "--no-pager", "--threshold="+most, name).CombinedOutput()
		if err != nil {
			t.Errorf("%s is exposed: %v\n%s", name, err, out)
		}
	}
}

// TestSystemdTakesTheUnits has systemd read them, with programs that are there.
func TestSystemdTakesTheUnits(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("needs systemd-analyze")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{Agent, Hub, Store, Dashboard, "amoskys-certs.service"} {
		text, err := Unit(name, self, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if name == "amoskys-certs.service" { // whose timer starts it by its name
			timer, err := os.ReadFile("amoskys-certs.timer")
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(strings.TrimSuffix(file, "service")+"timer", timer, 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", strings.TrimSuffix(file, "service")+"timer").CombinedOutput()
			if err != nil || strings.Contains(string(out), "amoskys") {
				t.Errorf("the timer: %v\n%s", err, out)
			}
		}
		if out, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", file).CombinedOutput(); err != nil || strings.Contains(string(out), name) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}
