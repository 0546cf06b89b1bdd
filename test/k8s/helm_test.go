package k8s

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// helm is Helm itself, which takes minutes to build: tests that ask it are skipped where it
// is not there.
func helm(t *testing.T) string {
	t.Helper()
	program, err := filepath.Abs(filepath.Join(top, "bin", "helm"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath(program); err != nil {
		t.Skip("bin/helm is not there: make bin/helm builds it")
	}
	return program
}

// TestHelmLint: Helm finds nothing to say about the chart, with its values and with others.
func TestHelmLint(t *testing.T) {
	t.Parallel()
	program := helm(t)
	for _, set := range []string{"", "networkPolicies=false,ingress.enabled=false,dashboard.autoscaling.enabled=false,storageClass=fast"} {
		out, err := exec.CommandContext(t.Context(), program, "lint", "--strict", "--set", set, chart).CombinedOutput()
		if err != nil {
			t.Errorf("with %q: %v\n%s", set, err, out)
		}
	}
}

// TestHelmTemplate: what Helm makes of the chart is what TestChartIsTheManifests reads
// without it, and its schema refuses what is misspelt or out of bounds.
func TestHelmTemplate(t *testing.T) {
	t.Parallel()
	program := helm(t)
	template := func(args ...string) ([]byte, string, error) {
		cmd := exec.CommandContext(t.Context(), program, append([]string{"template", "amoskys", chart, "--namespace", hubNS, "--kube-version", "1.30.0"}, args...)...)
		var out, said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &said
		err := cmd.Run()
		return out.Bytes(), said.String(), err
	}
	text, said, err := template()
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	if _, err := decode(text); err != nil {
		t.Error(err)
	}
	if got, want := objects(t, text), objects(t, rendered(t, values(t))); !reflect.DeepEqual(got, want) {
		t.Errorf("Helm makes something else of it than the test:\n%s", text)
	}
	for name, args := range map[string][]string{
		"misspelt":               {"--set", "dashbord.replicas=3"},
		"no dashboard":           {"--set", "dashboard.replicas=0"},
		"two agents of one name": {"--set", "agents.snmp.replicas=2"},
		"no number":              {"--set", "eventbus.retentionSizeMB=many"},
		"a host as a network":    {"--set", "dashboard.trustedProxies={proxy.example.org}"},
		"an older Kubernetes":    {"--kube-version", "1.29.4"},
	} {
		if text, said, err := template(args...); err == nil {
			t.Errorf("%s: taken:\n%.300s", name, text)
		} else if !strings.Contains(said, "values") && !strings.Contains(said, "kubeVersion") {
			t.Errorf("%s: refused for another reason: %s", name, said)
		}
	}
}
