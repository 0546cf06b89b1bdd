package docker_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// composeService is what the test reads of a service in a Compose file.
type composeService struct {
	Image       string   `yaml:"image"`
	User        string   `yaml:"user"`
	NetworkMode string   `yaml:"network_mode"`
	Privileged  bool     `yaml:"privileged"`
	ReadOnly    bool     `yaml:"read_only"`
	SecurityOpt []string `yaml:"security_opt"`
	CapDrop     []string `yaml:"cap_drop"`
	CapAdd      []string `yaml:"cap_add"`
	Ports       []string `yaml:"ports"`
	Volumes     []string `yaml:"volumes"`
}

// TestComposeFile: each service may do what docs/install.md says and no more, other
// machines reach what is for them alone, and certificates are made in this machine's name.
func TestComposeFile(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "deploy", "compose", "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var project struct {
		Services map[string]composeService `yaml:"services"`
	}
	// What is said after a merge stands.
	if err := yaml.UnmarshalWithOptions(text, &project, yaml.AllowDuplicateMapKey()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"init", "eventbus", "store", "dashboard", "eventbus_agent", "proc_agent", "flow_agent", "device_scanner", "snmp_agent", "prometheus", "grafana"} {
		if project.Services[name].Image == "" {
			t.Errorf("there is no service %s", name)
		}
	}
	public := []string{"5000:5000", "9090:9090", "5001:5001", "1162:1162/udp"}
	allowed := []string{"CHOWN", "DAC_OVERRIDE", "SETUID", "SETGID", "NET_RAW", "SYS_PTRACE", "DAC_READ_SEARCH"}
	for name, s := range project.Services {
		for _, port := range s.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") && !slices.Contains(public, port) {
				t.Errorf("%s is open to other machines on %s", name, port)
			}
		}
		for _, volume := range s.Volumes {
			if strings.Contains(volume, "docker.sock") || strings.HasPrefix(volume, "/") {
				t.Errorf("%s has this machine's %s", name, volume)
			}
		}
		if s.Privileged {
			t.Errorf("%s may do anything", name)
		}
		if !strings.Contains(s.Image, "AMOSKYS_IMAGE") {
			continue
		}
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Equal(s.SecurityOpt, []string{"no-new-privileges:true"}) {
			t.Errorf("%s may do more than it needs: %+v", name, s)
		}
		for _, c := range s.CapAdd {
			if !slices.Contains(allowed, c) {
				t.Errorf("%s has CAP_%s", name, c)
			}
		}
	}
	if init := project.Services["init"]; init.NetworkMode != "host" || len(init.Ports) > 0 {
		t.Errorf("init makes certificates in the name of its container: agents of this machine would be of a host called so (%+v)", init)
	}
	// Its image's volume is of user 65534, writable for that group; the keys are 65532's.
	if user := project.Services["prometheus"].User; user != "65532:65534" {
		t.Errorf("prometheus is %s, which cannot both read the keys and write its volume", user)
	}
}

// TestDockerfiles: both are one, build for the machine that is asked for, and with builders
// that know no platforms, which refuse an empty one.
func TestDockerfiles(t *testing.T) {
	t.Parallel()
	var texts []string
	for _, file := range []string{"Dockerfile", "deploy/docker/Dockerfile"} {
		text, err := os.ReadFile(filepath.Join("..", "..", file))
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	if texts[0] != texts[1] {
		t.Error("Dockerfile and deploy/docker/Dockerfile differ")
	}
	for _, bad := range []string{"ARG TARGETOS=", "ARG TARGETARCH=", "--platform=$BUILDPLATFORM "} {
		if strings.Contains(texts[0], bad) {
			t.Errorf("%q is in it: builders' own answers count for nothing, or are missing", bad)
		}
	}
}
