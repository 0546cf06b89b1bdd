package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type common struct {
	ID       string  `yaml:"id"`
	Interval float64 `yaml:"interval_seconds"`
	Enabled  bool    `yaml:"enabled"`
}

type server struct {
	Host    string        `yaml:"host" env:"EVENTBUS_HOST"`
	Port    int           `yaml:"port" env:"EVENTBUS_PORT"`
	Workers uint8         `yaml:"workers"`
	Grace   time.Duration `yaml:"grace"`
	Mode    string        `yaml:"mode"`
}

type target struct {
	Name  string `yaml:"name"`
	Port  int    `yaml:"port"`
	Token Secret `yaml:"token"`
}

type sample struct {
	Inlined `yaml:",inline"`

	Server  server            `yaml:"server"`
	List    []string          `yaml:"list"`
	Targets []target          `yaml:"targets"`
	Labels  map[string]string `yaml:"labels"`
	Secret  Secret            `yaml:"password"`
	Maybe   *int              `yaml:"maybe"`
	Ignored string            `yaml:"-"`
}

// Inlined is a part shared by several configurations.
type Inlined struct {
	Agent common `yaml:"agent"`
}

func defaults() sample {
	return sample{
		Inlined: Inlined{Agent: common{ID: "a", Interval: 5, Enabled: true}},
		Server:  server{Host: "localhost", Port: 5000, Workers: 4, Grace: time.Second, Mode: "fast"},
		List:    []string{"x"},
	}
}

func (s *sample) Validate(v *Check) {
	v.Port("server.port", s.Server.Port)
	v.OneOf("server.mode", s.Server.Mode, "fast", "slow")
	v.RangeFloat("agent.interval_seconds", s.Agent.Interval, 0.1, 86400)
	for i, t := range s.Targets {
		_ = i
		_ = t
	}
}

func decode(t *testing.T, text string, env map[string]string) (sample, error) {
	t.Helper()
	s := defaults()
	err := Decode("c.yaml", []byte(text), &s, DecodeOptions{Env: func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}})
	return s, err
}

func TestDecodeGood(t *testing.T) {
	seven := 7
	tests := map[string]struct {
		text string
		env  map[string]string
		want func(*sample)
	}{
		"empty":            {text: "", want: func(*sample) {}},
		"only comments":    {text: "# nothing\n", want: func(*sample) {}},
		"byte order mark":  {text: "\xef\xbb\xbfserver: {port: 1}\n", want: func(s *sample) { s.Server.Port = 1 }},
		"empty section":    {text: "server:\nlist:\n", want: func(*sample) {}},
		"flow":             {text: "server: {port: 6000, grace: 1m30s}\n", want: func(s *sample) { s.Server.Port, s.Server.Grace = 6000, 90*time.Second }},
		"inlined":          {text: "agent:\n  id: b\n  interval_seconds: 2\n", want: func(s *sample) { s.Agent.ID, s.Agent.Interval = "b", 2 }},
		"list":             {text: "list: [a, \"b\"]\n", want: func(s *sample) { s.List = []string{"a", "b"} }},
		"empty list":       {text: "list: []\n", want: func(s *sample) { s.List = []string{} }},
		"list of sections": {text: "targets:\n  - name: one\n    port: 1\n  - {name: two}\n", want: func(s *sample) { s.Targets = []target{{Name: "one", Port: 1}, {Name: "two"}} }},
		"table":            {text: "labels: {site: berlin}\n", want: func(s *sample) { s.Labels = map[string]string{"site": "berlin"} }},
		"pointer":          {text: "maybe: 7\n", want: func(s *sample) { s.Maybe = &seven }},
		"block text":       {text: "password: |\n  two\n  lines\n", want: func(s *sample) { s.Secret = "two\nlines\n" }},
		"alias":            {text: "agent: {id: &n one}\nserver: {host: *n}\n", want: func(s *sample) { s.Agent.ID, s.Server.Host = "one", "one" }},
		"exponent":         {text: "agent: {interval_seconds: 1e1}", want: func(s *sample) { s.Agent.Interval = 10 }},
		"by path":          {env: map[string]string{"AMOSKYS_SERVER_PORT": "1", "AMOSKYS_LIST": "p, q"}, want: func(s *sample) { s.Server.Port, s.List = 1, []string{"p", "q"} }},
		"by tag":           {env: map[string]string{"EVENTBUS_HOST": "hub", "EVENTBUS_PORT": "7000"}, want: func(s *sample) { s.Server.Host, s.Server.Port = "hub", 7000 }},
		"path before tag":  {text: "server: {host: file}", env: map[string]string{"EVENTBUS_HOST": "hub", "AMOSKYS_SERVER_HOST": "path"}, want: func(s *sample) { s.Server.Host = "path" }},
		"typed": {env: map[string]string{"AMOSKYS_AGENT_ENABLED": "false", "AMOSKYS_SERVER_GRACE": "2s", "AMOSKYS_SERVER_WORKERS": "8", "AMOSKYS_AGENT_INTERVAL_SECONDS": "0.5"}, want: func(s *sample) {
			s.Agent.Enabled, s.Server.Grace, s.Server.Workers, s.Agent.Interval = false, 2*time.Second, 8, 0.5
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := decode(t, test.text, test.env)
			if err != nil {
				t.Fatal(err)
			}
			want := defaults()
			test.want(&want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDecodeFaults(t *testing.T) {
	tests := map[string]struct {
		text string
		env  map[string]string
		want []string
	}{
		"all at once": {
			text: "server:\n  prot: 5000\n  port: 70000\n  workers: many\n  mode: fats\nlist: a\nserver2: {}\n",
			want: []string{
				`c.yaml:2:3: server.prot: unknown key, did you mean "port"?; valid: host, port, workers, grace, mode`,
				`c.yaml:3:9: server.port: must be from 0 to 65535, not 70000`,
				`c.yaml:4:12: server.workers: must be a whole number, not the text "many"`,
				`c.yaml:5:9: server.mode: "fats" is not known, did you mean "fast"?; valid: fast, slow`,
				`c.yaml:6:7: list: must be a list, as in [a, b], not the text "a"`,
				`c.yaml:7:1: server2: unknown key, did you mean "server"?; valid: agent, server, list, targets, labels, password, maybe`,
			},
		},
		"misplaced key":      {text: "workers: 3\n", want: []string{`c.yaml:1:1: workers: unknown key here, did you mean "server.workers"?; valid: agent, server, list, targets, labels, password, maybe`}},
		"in a list":          {text: "targets:\n  - {name: a, prot: 1}\n  - {port: x}\n", want: []string{`c.yaml:2:15: targets[0].prot: unknown key, did you mean "port"?; valid: name, port, token`, `c.yaml:3:12: targets[1].port: must be a whole number, not the text "x"`}},
		"number for text":    {text: "agent: {id: 12}\n", want: []string{`c.yaml:1:13: agent.id: must be text: write it in quotes, as in "12"`}},
		"text for boolean":   {text: "agent: {enabled: yes}\n", want: []string{`c.yaml:1:18: agent.enabled: must be true or false, not the text "yes"`}},
		"number for boolean": {text: "agent: {enabled: 1}\n", want: []string{`c.yaml:1:18: agent.enabled: must be true or false, not the number 1`}},
		"fraction":           {text: "server: {port: 1.5}\n", want: []string{`c.yaml:1:16: server.port: must be a whole number, not the number 1.5`}},
		"overflow":           {text: "server: {workers: 300}\n", want: []string{`c.yaml:1:19: server.workers: must be a whole number, and 300 is too large`}},
		"negative":           {text: "server: {workers: -1}\n", want: []string{`c.yaml:1:19: server.workers: must be a whole number, not below zero as -1 is`}},
		"quoted number":      {text: "agent: {interval_seconds: \"1e1\"}\n", want: []string{`c.yaml:1:27: agent.interval_seconds: must be a number, not the text "1e1"`}},
		"not a number":       {text: "agent: {interval_seconds: .nan}\n", want: []string{`c.yaml:1:27: agent.interval_seconds: must be a number, not .nan`}},
		"duration":           {text: "server: {grace: 30}\n", want: []string{`c.yaml:1:17: server.grace: must be a duration such as "30s" or "5m", not the number 30`}},
		"section for text":   {text: "agent:\n  id:\n    x: 1\n", want: []string{`c.yaml:3:5: agent.id: must be text, not a section with keys`}},
		"text for section":   {text: "server: here\n", want: []string{`c.yaml:1:9: server: must be a section with keys, not the text "here"`}},
		"list at the top":    {text: "- a\n", want: []string{`c.yaml:1:1: must be a section with keys, not a list`}},
		"twice":              {text: "list: []\nserver: {port: 1}\nlist: [a]\n", want: []string{`c.yaml:3:1: list: is given twice, first in line 1`}},
		"syntax":             {text: "server: {port: 1\n", want: []string{"c.yaml:1:9: is not YAML: could not find flow mapping end token '}'"}},
		"two documents":      {text: "list: []\n---\nlist: []\n", want: []string{`c.yaml:3:1: only one document is allowed; remove the "---"`}},
		"tag":                {text: "agent: {id: !!binary aGk=}\n", want: []string{`c.yaml:1:13: agent.id: has a tag; write the plain value`}},
		"merge":              {text: "agent: &a {id: x}\nserver:\n  <<: *a\n", want: []string{`c.yaml:3:3: server: merging with << is not supported; write the keys out`}},
		"dangling alias":     {text: "agent: {id: *x}\n", want: []string{`c.yaml:1:13: agent.id: refers to *x, which is not defined above`}},
		"empty list item":    {text: "list:\n  - a\n  -\n", want: []string{`c.yaml:2:3: list[1]: is empty`}},
		"not UTF-8":          {text: "list: [\xff]", want: []string{`c.yaml: is not UTF-8 text`}},
		"too large":          {text: strings.Repeat("#", MaxBytes+1), want: []string{`c.yaml: is larger than 256 KiB`}},
		"deep flow":          {text: "list: " + strings.Repeat("[", 10_000), want: []string{`c.yaml:1:71: is nested more than 64 deep`}},
		"deep block":         {text: strings.Repeat("- ", 10_000) + "x", want: []string{`c.yaml:1:129: is nested more than 64 deep`}},
		"missing but wrong":  {env: map[string]string{"EVENTBUS_PORT": "99999"}, want: []string{`$EVENTBUS_PORT: server.port: must be from 0 to 65535, not 99999`}},
		"variables": {
			env: map[string]string{"AMOSKYS_SERVER_PORT": "x", "AMOSKYS_AGENT_ENABLED": "maybe", "AMOSKYS_TARGETS": "a", "AMOSKYS_SERVER_GRACE": "1"},
			want: []string{
				`$AMOSKYS_AGENT_ENABLED: agent.enabled: must be true or false, not "maybe"`,
				`$AMOSKYS_SERVER_GRACE: server.grace: must be a duration such as "30s" or "5m", not "1"`,
				`$AMOSKYS_SERVER_PORT: server.port: must be a whole number, not "x"`,
				`$AMOSKYS_TARGETS: targets: cannot be set by a variable; use the file`,
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := decode(t, test.text, test.env)
			var faults Faults
			if !errors.As(err, &faults) {
				t.Fatalf("got %v, want faults", err)
			}
			if diff := cmp.Diff(test.want, strings.Split(faults.Error(), "\n")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAliasesAreBounded(t *testing.T) {
	// Nine levels of nine references would be 387 million nodes.
	var b strings.Builder
	b.WriteString("list: &a0 [x]\n")
	for i := 1; i < 9; i++ {
		b.WriteString("targets: &a" + string(rune('0'+i)) + " [")
		b.WriteString(strings.TrimSuffix(strings.Repeat("*a"+string(rune('0'+i-1))+", ", 9), ", "))
		b.WriteString("]\n")
	}
	if _, err := decode(t, b.String(), nil); err == nil {
		t.Error("accepted")
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing.yaml")
	s := defaults()
	if err := Load(missing, &s, DecodeOptions{Env: NoEnv}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(defaults(), s); diff != "" {
		t.Error(diff)
	}
	if err := Load(dir, &s, DecodeOptions{Env: NoEnv}); err == nil {
		t.Error("a folder was read as a file")
	}
	file := filepath.Join(dir, "c.yaml")
	if err := os.WriteFile(file, []byte("server:\n  port: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sources := map[string]string{}
	env := func(name string) (string, bool) { return "x", name == "AMOSKYS_AGENT_ID" }
	if err := Load(file, &s, DecodeOptions{Env: env, Sources: sources}); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"server": file + ":1", "server.port": file + ":2", "agent.id": "$AMOSKYS_AGENT_ID"}
	if diff := cmp.Diff(want, sources); diff != "" {
		t.Error(diff)
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		"", "server: {port: 1}", "targets:\n  - name: a\n", "a: &a [*a]", "? - ? x", "\t", "list: [a, b", "---\n---\n",
		"password: |\n  x\n", "'", "\"\\u12\"", "!!str x", "<<: {}", "server: &s\n  host: *s\n", "- - - a", "{{{{", "agent: {id: !t x}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		watchdog := time.AfterFunc(3*time.Second, func() { panic(fmt.Sprintf("does not end: %q", text)) })
		defer watchdog.Stop()
		s := defaults()
		err := Decode("c.yaml", text, &s, DecodeOptions{Env: NoEnv})
		var faults Faults
		if err != nil && (!errors.As(err, &faults) || len(faults) == 0) {
			t.Fatalf("error without faults: %v", err)
		}
		for _, fault := range faults {
			if fault.Message == "" {
				t.Fatalf("fault without a message in %q", text)
			}
		}
	})
}
