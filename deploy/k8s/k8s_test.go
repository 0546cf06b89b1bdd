package k8s

import (
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write secret-tls.yaml anew")

// TestExample: secret-tls.yaml is what is written for a cluster, without its keys.
func TestExample(t *testing.T) {
	want, err := write(Namespace, AgentsNamespace, func(string) ([]byte, error) { return nil, nil })
	if err != nil {
		t.Fatal(err)
	}
	want = append([]byte("# An example without keys, which nothing can start with. Write your own:\n#   amoskys certs init --k8s --home ~/amoskys-k8s --out secret-tls.yaml\n"), want...)
	if *update {
		if err := os.WriteFile("secret-tls.yaml", want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile("secret-tls.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("secret-tls.yaml is not what is written; go test ./deploy/k8s -update\n%s", want)
	}
}
