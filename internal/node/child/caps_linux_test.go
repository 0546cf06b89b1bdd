package child

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// held is what a child says of its own capabilities.
func held() string {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	var names []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "CapEff:\t"); ok {
			for n, name := range capabilityNames {
				digit := text[len(text)-1-n/4]
				value := strings.IndexByte("0123456789abcdef", digit)
				if value&(1<<(n%4)) != 0 {
					names = append(names, name)
				}
			}
		}
	}
	return strings.Join(names, " ")
}

// runWith starts a child with privileges and returns what it holds.
func runWith(privileges []string) (string, error) {
	c := New(Options{
		Name: "caps", Argv: []string{"/proc/self/exe"}, Env: []string{"CHILD_TEST_MODE=caps"}, Privileges: privileges,
		BackoffMin: time.Hour,
	})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	done := make(chan struct{})
	go func() { defer close(done); c.Run(ctx) }()
	c.Start()
	for ctx.Err() == nil {
		for _, l := range c.Status().Lines {
			if text, ok := strings.CutPrefix(l, "holds:"); ok {
				cancel()
				<-done
				return strings.TrimSpace(text), nil
			}
		}
		<-time.After(time.Millisecond)
	}
	<-done
	return "", ctx.Err()
}

// runNode is the test binary as a node that is not root: it says what its children
// hold.
func runNode() string {
	var out []string
	for _, privileges := range [][]string{nil, {"CAP_NET_RAW"}, {"CAP_NET_RAW", "CAP_SYS_ADMIN"}, {"CAP_NET_RAW", "CAP_NET_ADMIN"}} {
		got, err := runWith(privileges)
		if err != nil {
			got = err.Error()
		}
		out = append(out, strings.Join(privileges, " ")+" -> "+got+", lacks "+strings.Join(Missing(privileges), " "))
	}
	return strings.Join(out, "\n")
}

// TestChildrenHoldWhatTheyAreGiven: a node of a plain user with ambient capabilities,
// as systemd makes one, gives each child its own and no more.
func TestChildrenHoldWhatTheyAreGiven(t *testing.T) {
	needRoot(t)
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = []string{"CHILD_TEST_MODE=node"}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential:  &syscall.Credential{Uid: 65534, Gid: 65534},
		AmbientCaps: []uintptr{unix.CAP_NET_RAW, unix.CAP_NET_ADMIN},
	}
	got, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, got)
	}
	want := ` -> , lacks 
CAP_NET_RAW -> CAP_NET_RAW, lacks 
CAP_NET_RAW CAP_SYS_ADMIN -> CAP_NET_RAW, lacks CAP_SYS_ADMIN
CAP_NET_RAW CAP_NET_ADMIN -> CAP_NET_ADMIN CAP_NET_RAW, lacks `
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
}

// TestRootsChildrenAreConfined, while root itself stays what it is.
func TestRootsChildrenAreConfined(t *testing.T) {
	needRoot(t)
	before := held()
	for _, privileges := range [][]string{nil, {"CAP_NET_RAW"}, {"CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"}} {
		got, err := runWith(privileges)
		want := slices.DeleteFunc(slices.Clone(capabilityNames), func(name string) bool {
			return name != "CAP_DAC_OVERRIDE" && !slices.Contains(privileges, name) || !strings.Contains(before, name)
		})
		if err != nil || got != strings.Join(want, " ") {
			t.Errorf("with %v it holds %s, want %v, error %v", privileges, got, want, err)
		}
	}
	if after := held(); after != before {
		t.Errorf("this process held %s and holds %s", before, after)
	}
	if lacks := Missing([]string{"CAP_NONSENSE"}); len(lacks) != 1 {
		t.Error("it can give a capability that there is not")
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can make a process with ambient capabilities, or confine another root")
	}
	if lacks := Missing([]string{"CAP_NET_RAW", "CAP_NET_ADMIN", "CAP_SETPCAP", "CAP_SETUID", "CAP_SETGID"}); len(lacks) > 0 {
		t.Skipf("this root lacks %v", lacks)
	}
}
