package config

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

func TestSecretNeverPrints(t *testing.T) {
	const value = "hunter2"
	holder := struct {
		Password Secret `json:"password" yaml:"password"`
		Empty    Secret `json:"empty" yaml:"empty"`
	}{Password: value}
	var b strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&b, verb+" "+verb+"\n", holder, holder.Password)
	}
	asJSON, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := yaml.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "a", holder, "b", holder.Password)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "a", holder, "b", holder.Password)
	printed := b.String() + string(asJSON) + string(asYAML)
	for _, form := range []string{value, fmt.Sprintf("%x", value), fmt.Sprintf("%X", value)} {
		if strings.Contains(printed, form) {
			t.Errorf("the secret is visible in:\n%s", printed)
		}
	}
	if want := `{"password":"[redacted]","empty":""}`; string(asJSON) != want {
		t.Errorf("JSON is %s, want %s", asJSON, want)
	}
	if got, err := holder.Password.Reveal(); got != value || err != nil {
		t.Errorf("Reveal gave %q, %v", got, err)
	}
}

func TestSecretReferences(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "pw"), []byte("from a file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AMOSKYS_TEST_SECRET", "from the environment")
	for reference, want := range map[Secret]string{
		"file:pw": "from a file", Secret("file:" + dir + "/pw"): "from a file",
		"env:AMOSKYS_TEST_SECRET": "from the environment", "plain": "plain", "": "",
	} {
		got, err := reference.RevealIn(Home(dir))
		if got != want || err != nil {
			t.Errorf("%s gave %q, %v, want %q", string(reference), got, err, want)
		}
	}
	for _, reference := range []Secret{"file:missing", "env:AMOSKYS_TEST_UNSET"} {
		if got, err := reference.RevealIn(Home(dir)); err == nil {
			t.Errorf("%s gave %q", string(reference), got)
		}
	}
}

func TestWrongSecretStaysHidden(t *testing.T) {
	_, err := decode(t, "password: [hunter2]\ntargets: [{token: {a: hunter2}}]\n", nil)
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
	_, err = decode(t, "password: 1234567\n", nil)
	if err == nil || strings.Contains(err.Error(), "1234567") {
		t.Errorf("got %v", err)
	}
}

func TestHomePaths(t *testing.T) {
	h := Home("/srv/amoskys")
	got := []string{
		h.Certs(), h.HubConfig(), h.AgentConfig("process_monitor"), h.WAL(), h.State(),
		h.AgentLog("proc_agent"), h.AgentLog("../../etc/passwd"), h.Errors(), h.Log("eventbus"),
		h.Path("data/wal/"), h.Path("/elsewhere/"), Home("").Path("certs"),
	}
	want := []string{
		"/srv/amoskys/certs", "/srv/amoskys/config/eventbus_config.yaml", "/srv/amoskys/config/agents/process_monitor_config.yaml",
		"/srv/amoskys/data/wal", "/srv/amoskys/data/state.db", "/srv/amoskys/logs/agents/proc_agent.log",
		"/srv/amoskys/logs/agents/.._.._etc_passwd.log", "/srv/amoskys/logs/errors.log", "/srv/amoskys/logs/eventbus.log",
		"/srv/amoskys/data/wal", "/elsewhere", "certs",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestEnsureMakesPrivateFolders(t *testing.T) {
	h := Home(filepath.Join(t.TempDir(), "new"))
	for range 2 {
		if err := h.Ensure(); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{string(h), h.Run(), h.Spool(), filepath.Join(h.Logs(), "agents")} {
		info, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o700 {
			t.Errorf("%s has mode %v", dir, info.Mode())
		}
	}
}

func TestWriteMissing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config", "agents", "a.yaml")
	for i, want := range []bool{true, false} {
		wrote, err := WriteMissing(file, fmt.Append(nil, "number: ", i))
		if err != nil || wrote != want {
			t.Fatalf("wrote %t, %v, want %t", wrote, err, want)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil || string(text) != "number: 0" {
		t.Errorf("file holds %q, %v", text, err)
	}
	if left, err := filepath.Glob(filepath.Dir(file) + "/.new-*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestEntries(t *testing.T) {
	s := defaults()
	s.Secret = "hunter2"
	s.Labels = map[string]string{"site": "berlin"}
	s.Targets = []target{{Name: "one", Token: "hunter2"}}
	got := Entries(&s, map[string]string{"server.port": "c.yaml:2"})
	want := []Entry{
		{"agent.id", "a", "default"},
		{"agent.interval_seconds", 5.0, "default"},
		{"agent.enabled", true, "default"},
		{"server.host", "localhost", "default"},
		{"server.port", 5000, "c.yaml:2"},
		{"server.workers", uint8(4), "default"},
		{"server.grace", "1s", "default"},
		{"server.mode", "fast", "default"},
		{"list", []any{"x"}, "default"},
		{"targets", []any{map[string]any{"name": "one", "port": 0, "token": redacted}}, "default"},
		{"labels", map[string]any{"site": "berlin"}, "default"},
		{"password", redacted, "default"},
		{"maybe", nil, "default"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestCheck(t *testing.T) {
	v := NewCheck()
	u := v.Under("hub")
	u.Host("host", "eventbus")
	u.Host("host", "::1")
	u.Host("host", "bad host")
	u.Host("host", "-x")
	u.Prefix("subnet", "10.0.0.0/24")
	u.Prefix("subnet", "10.0.0.0")
	u.Name("id", "proc_agent")
	u.Name("id", "../etc")
	u.Name("id", "")
	u.NotEmpty("path", " ")
	u.Range("n", 3, 1, 2)
	u.RangeFloat("x", 0.5, 0, 1)
	v.Port("port", -1)
	got := make([]string, 0, 8)
	for _, f := range v.Faults() {
		got = append(got, f.Error())
	}
	want := []string{
		`hub.host: "bad host" is neither a host name nor an IP address`,
		`hub.host: "-x" is neither a host name nor an IP address`,
		`hub.subnet: "10.0.0.0" is not a network such as 192.168.1.0/24`,
		`hub.id: "../etc" is not a name: use up to 64 letters, digits, '.', '_' and '-', not starting with '.' or '-'`,
		`hub.id: "" is not a name: use up to 64 letters, digits, '.', '_' and '-', not starting with '.' or '-'`,
		`hub.path: must not be empty`,
		`hub.n: must be from 1 to 2, not 3`,
		`port: must be from 0 to 65535, not -1`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
