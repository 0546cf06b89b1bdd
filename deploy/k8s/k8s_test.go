package k8s

import (
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write secret-tls.yaml.example anew")

// TestExample: secret-tls.yaml.example is what is written for a cluster, without its keys.
func TestExample(t *testing.T) {
	want, err := write(Namespace, AgentsNamespace, func(string) ([]byte, error) { return nil, nil })
	if err != nil {
		t.Fatal(err)
	}
	want = append([]byte("# An example without keys, which nothing can start with; not called .yaml, so that\n# kubectl apply -f of this folder does not put it in place of keys. Write your own:\n#   amoskys certs init --k8s --home ~/amoskys-k8s --out secret-tls.yaml\n"), want...)
	if *update {
		if err := os.WriteFile("secret-tls.yaml.example", want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile("secret-tls.yaml.example")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("secret-tls.yaml.example is not what is written; go test ./deploy/k8s -update\n%s", want)
	}
}
