package main

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/identity"
)

// TestCertsOfCluster: the Secrets have what a cluster's Services are called by, are the same
// when they are written again, and are nobody else's to read.
func TestCertsOfCluster(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	out := filepath.Join(home, "secret-tls.yaml")
	initAs := func(args ...string) (int, string) {
		code, stdout, stderr := runCerts(t, home, time.Now(), append([]string{"init", "--k8s", "--out", out}, args...)...)
		return code, stdout + stderr
	}
	if code, said := initAs("--namespace", "sec", "--host", "hub.example.org"); code != 0 || !strings.Contains(said, "kubectl apply -f "+out) {
		t.Fatalf("exit code %d\n%s", code, said)
	}
	first, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(out); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read it: %v, %v", info.Mode(), err)
	}
	held, err := identity.Hold(identity.FilesFor(filepath.Join(home, "certs"), "eventbus"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"localhost", "eventbus", "eventbus.sec.svc", "eventbus.sec.svc.cluster.local", "hub.example.org"} {
		if err := held.Cert.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	for name, namespace := range map[string]string{"amoskys-eventbus": "sec", "amoskys-ca": "sec", "amoskys-join": "amoskys-agents"} {
		if !strings.Contains(string(first), "name: "+name+"\n  namespace: "+namespace+"\n") {
			t.Errorf("there is no Secret %s in %s", name, namespace)
		}
	}
	key, err := os.ReadFile(filepath.Join(home, "certs", "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(first), base64.StdEncoding.EncodeToString(key)); n != 1 {
		t.Errorf("the authority's key is in %d Secrets", n)
	}
	if code, said := initAs("--namespace", "sec", "--host", "hub.example.org"); code != 0 {
		t.Fatalf("again: exit code %d\n%s", code, said)
	}
	if again, err := os.ReadFile(out); err != nil || string(again) != string(first) {
		t.Errorf("written again they differ: %v", err)
	}
	if code, said := initAs("--namespace", "other"); code != 1 || !strings.Contains(said, "certs renew eventbus --host eventbus.other") {
		t.Errorf("for another namespace: exit code %d\n%s", code, said)
	}
	if code, said := initAs("--with", "analysis"); code != 2 {
		t.Errorf("with others: exit code %d\n%s", code, said)
	}
}
