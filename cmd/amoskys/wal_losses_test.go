package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
	"github.com/amoskys/amoskys/internal/wal"
)

// homeWithLoss is a home with a log of which the first segment, with offsets 0 and 1, is
// gone; nobody has noticed yet.
func homeWithLoss(t *testing.T) config.Home {
	t.Helper()
	home := config.Home(t.TempDir())
	if err := home.Ensure(); err != nil {
		t.Fatal(err)
	}
	if _, err := identity.EnsureLayout(home.Certs(), identity.LayoutOptions{Host: "h", Canonical: func(string) string { return "" }}); err != nil {
		t.Fatal(err)
	}
	l, err := wal.Open(t.Context(), wal.Options{Dir: home.WAL(), Logger: obs.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	body, err := event.Encode(&pb.Event{Type: "process.execution", Host: &pb.Host{Name: "web-1"}})
	if err != nil {
		t.Fatal(err)
	}
	one := protowire.AppendBytes(protowire.AppendTag(nil, 3, protowire.BytesType), body)
	for i := range 4 {
		r := wal.Record{Publisher: "spiffe://example.org/agent/a", Sequence: uint64(i + 1), Received: time.Now(), Count: 1, Payload: [][]byte{one}}
		if _, err := l.Append(t.Context(), &r); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			if err := l.Rotate(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(home.WAL(), "00000000000000000000.wal")); err != nil {
		t.Fatal(err)
	}
	return home
}

// trailOf is the audit trail of a home, in which no hub runs.
func trailOf(t *testing.T, home config.Home) []state.Audit {
	t.Helper()
	db, err := state.Open(t.Context(), state.Options{File: home.State()})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	trail, err := db.AuditTrail(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	return trail
}

// accepted checks that verify is ok and tells of what was accepted, and that it is
// audited in the database and in the log.
func accepted(t *testing.T, home config.Home, actor, note string) {
	t.Helper()
	code, stdout, _ := runWAL(t, "verify", "--home", string(home))
	if code != cli.ExitOK || !strings.Contains(stdout, "lost, and accepted on ") || !strings.Contains(stdout, "offsets 0 to 1: the segments at the beginning") {
		t.Errorf("verify: exit %d, %s", code, stdout)
	}
	var out verifyOutput
	_, stdout, _ = runWAL(t, "verify", "--json", "--home", string(home))
	if err := json.Unmarshal([]byte(stdout), &out); err != nil || !out.OK || len(out.OpenLosses) != 0 || len(out.AcceptedLosses) != 1 || out.AcceptedLosses[0].AcceptedAt == nil {
		t.Errorf("%v: %s", err, stdout)
	}
	if _, stdout, _ = runWAL(t, "dump", "--json", "--home", string(home)); strings.Count(stdout, `"operation":"log.accept_loss","target":"1","success":true`) != 1 {
		t.Errorf("the log says: %s", stdout)
	}
	trail := trailOf(t, home)
	for _, a := range trail {
		if a.Operation == "log.accept_loss" && a.Success && strings.HasPrefix(a.Actor, actor) && strings.Contains(a.Detail, note) && strings.Contains(a.Detail, "offsets 0 to 1") {
			return
		}
	}
	t.Errorf("the trail says %+v", trail)
}

func TestWALAcceptLossOfStoppedLog(t *testing.T) {
	t.Parallel()
	home := homeWithLoss(t)
	for round := range 2 { // before anybody noticed, and after
		code, stdout, _ := runWAL(t, "verify", "--home", string(home))
		if code != cli.ExitFailed || !strings.Contains(stdout, "NOT OK") || !strings.Contains(stdout, "at offset 0") {
			t.Fatalf("round %d: exit %d, %s", round, code, stdout)
		}
		for _, tt := range []struct {
			args []string
			code int
			text string
		}{
			{nil, cli.ExitUsage, "--all"},
			{[]string{"1", "--all"}, cli.ExitUsage, "--all"},
			{[]string{"first"}, cli.ExitUsage, "is no id"},
			{[]string{"1"}, cli.ExitUsage, "--yes"},
			{[]string{"1", "7", "--yes"}, cli.ExitFailed, "no such open loss"},
			{[]string{"1", "--yes", "--dir", filepath.Join(string(home), "nowhere")}, cli.ExitFailed, "look for the log"},
		} {
			code, stdout, stderr := runWAL(t, append([]string{"accept-loss", "--home", string(home)}, tt.args...)...)
			if code != tt.code || !strings.Contains(stdout+stderr, tt.text) {
				t.Errorf("round %d: %v: exit %d, %s%s", round, tt.args, code, stdout, stderr)
			}
		}
	}
	code, stdout, _ := runWAL(t, "verify", "--home", string(home))
	if code != cli.ExitFailed || !strings.Contains(stdout, "LOST: offsets 0 to 1") || !strings.Contains(stdout, "amoskys wal accept-loss 1") {
		t.Fatalf("exit %d, %s", code, stdout)
	}
	code, stdout, stderr := runWAL(t, "accept-loss", "1", "--yes", "--note", "disk replaced", "--home", string(home))
	if code != cli.ExitOK || !strings.HasPrefix(stdout, "accepted: loss 1, offsets 0 to 1: ") {
		t.Fatalf("exit %d, %s%s", code, stdout, stderr)
	}
	if code, stdout, _ = runWAL(t, "accept-loss", "--all", "--yes", "--home", string(home)); code != cli.ExitOK || stdout != "no loss is open\n" {
		t.Errorf("exit %d, %s", code, stdout)
	}
	accepted(t, home, "cli:", "disk replaced")
}

func TestWALAcceptLossWithTheHubRunning(t *testing.T) {
	t.Parallel()
	home := homeWithLoss(t)
	env, out, stop := runningHub(t, home)
	f := acceptLoss{walFlags: walFlags{env: env, asJSON: true}, all: true, yes: true, note: "known"}
	if err := f.run(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	stop()
	var got struct {
		Accepted []lossOutput `json:"accepted"`
		ByHub    bool         `json:"by_hub"`
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || !got.ByHub || len(got.Accepted) != 1 || got.Accepted[0].ToOffset != 2 {
		t.Errorf("%v: %s", err, out)
	}
	accepted(t, home, "spiffe://", "known")
}

// TestWALRewriteIsAudited: in the trail of the home, once, and not where nothing was to do.
func TestWALRewriteIsAudited(t *testing.T) {
	t.Parallel()
	home := homeWithLoss(t)
	for _, args := range [][]string{{"accept-loss", "--all", "--yes"}, {"rewrite", "--format", "1", "--yes"}, {"rewrite", "--format", "1", "--yes"}} {
		if code, stdout, stderr := runWAL(t, append(args, "--home", string(home))...); code != cli.ExitOK {
			t.Fatalf("%v: exit %d, %s%s", args, code, stdout, stderr)
		}
	}
	trail := trailOf(t, home)
	var acts []string
	for _, a := range trail {
		if a.Operation == "log.rewrite" {
			acts = append(acts, fmt.Sprintf("%t %s", a.Success, a.Detail))
		}
	}
	if len(acts) != 1 || !strings.HasPrefix(acts[0], "true ") || !strings.Contains(acts[0], "of format 1") {
		t.Errorf("the trail says %q", acts)
	}
}
