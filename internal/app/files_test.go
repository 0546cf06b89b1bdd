package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
)

// testEnv is an environment with a home of its own and no variables but vars.
func testEnv(t *testing.T, vars map[string]string) *cli.Env {
	t.Helper()
	return &cli.Env{Home: config.Home(t.TempDir()), Lookup: func(name string) (string, bool) {
		v, ok := vars[name]
		return v, ok
	}}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestTemplates: what up writes into an empty home is right, says what the
// defaults say, and is never overwritten.
func TestTemplates(t *testing.T) {
	e := testEnv(t, nil)
	before, err := ShowConfig(e, "")
	if err != nil {
		t.Fatal(err)
	}
	written, err := WriteTemplates(e)
	if err != nil {
		t.Fatal(err)
	}
	if len(written) != len(ConfigFiles(e)) {
		t.Errorf("wrote %d files, want %d", len(written), len(ConfigFiles(e)))
	}
	if v := ValidateConfig(e); !v.OK || len(v.Files) != len(written) {
		t.Errorf("%d of %d files read, faults: %v", len(v.Files), len(written), v.Faults)
	}
	after, err := ShowConfig(e, "")
	if err != nil {
		t.Fatal(err)
	}
	ignoreSource := cmp.Transformer("value", func(s config.Entry) [2]any { return [2]any{s.Key, s.Value} })
	if diff := cmp.Diff(before, after, ignoreSource); diff != "" {
		t.Errorf("the templates differ from the defaults (-defaults +templates):\n%s", diff)
	}
	write(t, written[0], "server: {port: 6000}\n")
	if again, err := WriteTemplates(e); err != nil || len(again) > 0 {
		t.Errorf("wrote again: %v, %v", again, err)
	}
}

func TestValidateConfig(t *testing.T) {
	tests := map[string]struct {
		files map[string]string
		vars  map[string]string
		want  []string // in the form of Fault.Error, with HOME for the folder
	}{
		"faults of all files": {
			files: map[string]string{"eventbus_config.yaml": "server: {prot: 1}\n", "node_config.yaml": "hub: {port: 0}\n"},
			want: []string{
				`HOME/config/eventbus_config.yaml:1:10: server.prot: unknown key, did you mean "port"?`,
				`HOME/config/node_config.yaml:1:13: hub.port: must be from 1 to 65535, not 0`,
			},
		},
		"a port given twice": {
			files: map[string]string{"dashboard_config.yaml": "server:\n  port: 9090\n"},
			want:  []string{`HOME/config/dashboard_config.yaml:2:1: server.port: port 9090 is also metrics.port in HOME/config/eventbus_config.yaml`},
		},
		"a port given to an agent that does not run": {
			files: map[string]string{"node_config.yaml": "node: {agents: [eventbus]}\n", "agents/process_monitor_config.yaml": "http: {port: 5000}\n"},
		},
		"a misspelt file": {
			files: map[string]string{"evntbus_config.yaml": "{}\n", "agents/readme.txt": "not ours\n"},
			want:  []string{`HOME/config/evntbus_config.yaml: nothing reads this file, did you mean "HOME/config/eventbus_config.yaml"?`},
		},
		"a variable that several files have is reported once": {
			vars: map[string]string{"AMOSKYS_HUB_PORT": "x"},
			want: []string{`$AMOSKYS_HUB_PORT: hub.port: must be a whole number, not "x"`},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			e := testEnv(t, test.vars)
			for file, text := range test.files {
				write(t, filepath.Join(e.Home.Config(), file), text)
			}
			v := ValidateConfig(e)
			var got []string
			for _, f := range v.Faults {
				f.Valid = nil
				got = append(got, strings.ReplaceAll(f.Error(), string(e.Home), "HOME"))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			if v.OK != (len(test.want) == 0) {
				t.Errorf("OK is %t", v.OK)
			}
		})
	}
}

func TestShowConfig(t *testing.T) {
	e := testEnv(t, map[string]string{"AMOSKYS_WAL_RETENTION_DAYS": "3"})
	write(t, e.Home.HubConfig(), "server:\n  port: 6000\n")
	files, err := ShowConfig(e, "hub")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]config.Entry{}
	for _, s := range files[0].Settings {
		got[s.Key] = s
	}
	for _, want := range []config.Entry{
		{Key: "server.port", Value: 6000, Source: e.Home.HubConfig() + ":2"},
		{Key: "wal.retention_days", Value: 3.0, Source: "$AMOSKYS_WAL_RETENTION_DAYS"},
		{Key: "metrics.port", Value: 9090, Source: "default"},
	} {
		if diff := cmp.Diff(want, got[want.Key]); diff != "" {
			t.Error(diff)
		}
	}
	if _, err := ShowConfig(e, "nonsense"); err == nil || !strings.Contains(err.Error(), "valid: hub, ") {
		t.Errorf("got %v", err)
	}
}
