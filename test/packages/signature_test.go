package packages_test

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// TestSignature: what a release signs, a user verifies as docs/install.md says, and a file
// that was changed afterwards does not pass.
func TestSignature(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"bash", "openssl", "sha256sum"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s", tool)
		}
	}
	top, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	release, keys := t.TempDir(), t.TempDir()
	shell := func(dir, script string, args ...string) error {
		cmd := exec.CommandContext(t.Context(), "bash", append([]string{"-ec", script, "shell"}, args...)...)
		cmd.Dir = dir
		said, err := cmd.CombinedOutput()
		t.Logf("%s", said)
		return err
	}
	if err := shell(keys, "openssl ecparam -name prime256v1 -genkey -noout -out key.pem"); err != nil {
		t.Fatal(err)
	}
	if err := shell(release, "echo program >a.tar.gz && sha256sum a.tar.gz >SHA256SUMS"); err != nil {
		t.Fatal(err)
	}
	key, err := filepath.Rel(top, filepath.Join(keys, "key.pem")) // as people name it, from the tree
	if err != nil {
		t.Fatal(err)
	}
	if err := shell(top, `tools/sign-release.sh "$1" "$2"`, release, key); err != nil {
		t.Fatalf("sign: %v", err)
	}
	const verify = "openssl dgst -sha256 -verify amoskys-release.pub -signature SHA256SUMS.sig SHA256SUMS && sha256sum --check --ignore-missing SHA256SUMS"
	if err := shell(release, verify); err != nil {
		t.Errorf("what is signed does not verify: %v", err)
	}
	if err := shell(release, "echo other >a.tar.gz; "+verify); err == nil {
		t.Error("a changed file passes")
	}
	if err := shell(release, "sha256sum a.tar.gz >SHA256SUMS; "+verify); err == nil {
		t.Error("changed sums pass")
	}
}
