package skew

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// protoWord finds what a service has, or had.
var protoWord = regexp.MustCompile(`(?m)^\s*(service|rpc|// reserved rpc) (\w+)`)

// rpcsOf are the rpcs of a .proto file, as Service.Name, and those it reserves.
func rpcsOf(text string) (rpcs, reserved map[string]bool) {
	rpcs, reserved = map[string]bool{}, map[string]bool{}
	service := ""
	for _, m := range protoWord.FindAllStringSubmatch(text, -1) {
		switch m[1] {
		case "service":
			service = m[2]
		case "rpc":
			rpcs[service+"."+m[2]] = true
		default:
			reserved[service+"."+m[2]] = true
		}
	}
	return rpcs, reserved
}

func readFile(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestRemovedRPCsAreReserved: a name that a previous build calls never gets another
// meaning. protobuf reserves fields, and not rpcs: a line "// reserved rpc Name" in
// the service does.
func TestRemovedRPCsAreReserved(t *testing.T) {
	commit, err := Commit()
	if err != nil {
		t.Fatal(err)
	}
	top, err := root()
	if err != nil {
		t.Fatal(err)
	}
	git := func(args ...string) string {
		out, err := exec.CommandContext(t.Context(), "git", append([]string{"-C", top}, args...)...).Output()
		if err != nil {
			t.Skipf("git %s: %v: %v", args[0], err, errNoCommit)
		}
		return string(out)
	}
	now, reserved := map[string]bool{}, map[string]bool{}
	files, err := filepath.Glob(filepath.Join(top, "proto", "amoskys", "v1", "*.proto"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		rpcs, gone := rpcsOf(readFile(t, file))
		for name := range rpcs {
			now[name] = true
		}
		for name := range gone {
			reserved[name] = true
		}
	}
	then := 0
	for name := range strings.FieldsSeq(git("ls-tree", "-r", "--name-only", commit, "proto")) {
		rpcs, gone := rpcsOf(git("show", commit+":"+name))
		for rpc := range gone {
			rpcs[rpc] = true
		}
		for rpc := range rpcs {
			then++
			if !now[rpc] && !reserved[rpc] {
				t.Errorf("%s of the previous build is gone: keep it, or write \"// reserved rpc %s\" into its service", rpc, rpc[strings.Index(rpc, ".")+1:])
			}
		}
	}
	for rpc := range reserved {
		if now[rpc] {
			t.Errorf("%s is reserved and there", rpc)
		}
	}
	if then == 0 || len(now) == 0 {
		t.Errorf("found %d and %d rpcs", then, len(now))
	}
}
