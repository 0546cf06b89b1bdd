package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBill: this test's own program has a bill with its toolchain, and with those
// packages of a lock file that are not for development alone; twice the same.
func TestBill(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	lock := filepath.Join(t.TempDir(), "package-lock.json")
	const text = `{"packages": {"": {"version": "1"},
		"node_modules/@scope/a": {"version": "1.0.0", "license": "MIT", "integrity": "sha512-AAEC"},
		"node_modules/b/node_modules/c": {"version": "2.0.0"},
		"node_modules/tool": {"version": "3.0.0", "dev": true}}}`
	if err := os.WriteFile(lock, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var first, second bytes.Buffer
	for _, out := range []*bytes.Buffer{&first, &second} {
		if err := run([]string{"-npm", lock, "-version", "1.2.3", self}, out); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("two bills of one program differ")
	}
	var bill document
	if err := json.Unmarshal(first.Bytes(), &bill); err != nil {
		t.Fatal(err)
	}
	if bill.Metadata.Component.Version != "1.2.3" || len(bill.Metadata.Component.Hashes) != 1 {
		t.Errorf("the program is %+v", bill.Metadata.Component)
	}
	for _, want := range []string{"pkg:golang/std@", "pkg:npm/%40scope/a@1.0.0", "pkg:npm/c@2.0.0", `"content": "000102"`, `"expression": "MIT"`} {
		if !strings.Contains(first.String(), want) {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(first.String(), "tool@") {
		t.Error("it lists a package for development")
	}
}

func TestBillOfNothing(t *testing.T) {
	for name, args := range map[string][]string{
		"no program": {}, "two": {"a", "b"}, "not there": {filepath.Join(t.TempDir(), "gone")}, "no Go program": {"main_test.go"},
	} {
		if err := run(args, &bytes.Buffer{}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
