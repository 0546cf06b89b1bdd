//go:build linux

// Package hostile_test lets one client of each role do its worst to a hub that runs
// as a process of its own, in a memory cgroup of 512 MiB: half messages, the biggest
// ones, lists of empty entries, wrong roles, answers that nobody reads. The hub has
// to stay below 400 MiB, and another agent has to get its acknowledgements.
package hostile_test

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/identity/rights"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// sizeVariable sets how much is done: ROUNDSxCONNECTIONSxLENGTH, such as 5x16x5s.
// dirVariable is a folder for the hub's files: on one that is no disk, such as
// /dev/shm, what others do to the disk does not show.
const (
	sizeVariable = "AMOSKYS_TEST_HOSTILE"
	dirVariable  = "AMOSKYS_TEST_HOSTILE_DIR"
)

// The bar.
const (
	mostMemory = 400 << 20
	mostAck    = 250 * time.Millisecond
	mostRatio  = 3
)

var amoskys string

func TestMain(m *testing.M) {
	os.Exit(build(m)) //nolint:forbidigo // the program is removed first
}

func build(m *testing.M) int {
	dir, err := os.MkdirTemp("", "amoskys-hostile-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	amoskys = filepath.Join(dir, "amoskys")
	cmd := exec.CommandContext(context.Background(), "go", "build", "-o", amoskys, "./cmd/amoskys")
	cmd.Dir = filepath.Join("..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the program: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// size is how much is done.
type size struct {
	rounds, connections int
	length              time.Duration
}

func sizeOf(t *testing.T) size {
	t.Helper()
	text := os.Getenv(sizeVariable)
	if text == "" {
		return size{1, 4, 400 * time.Millisecond}
	}
	parts := strings.Split(text, "x")
	if len(parts) != 3 {
		t.Fatalf("%s=%s: want ROUNDSxCONNECTIONSxLENGTH", sizeVariable, text)
	}
	var s size
	var err1, err2, err3 error
	s.rounds, err1 = strconv.Atoi(parts[0])
	s.connections, err2 = strconv.Atoi(parts[1])
	s.length, err3 = time.ParseDuration(parts[2])
	if err := cmp.Or(err1, err2, err3); err != nil {
		t.Fatalf("%s=%s: %v", sizeVariable, text, err)
	}
	return s
}

// TestHostile: each role, each attack. Each role has a hub of its own: the bar is of
// one certificate, and connections of an earlier one may still be read to their end.
func TestHostile(t *testing.T) {
	s := sizeOf(t)
	for _, role := range []identity.Role{
		identity.RoleAgent, identity.RoleNode, identity.RoleOperator, identity.RoleDashboard,
		identity.RoleSubscriber, identity.RoleStore, identity.RoleAnalysis, identity.RoleHub,
	} {
		if os.Getenv(sizeVariable) == "" && !ofSmallRun(role) {
			continue
		}
		t.Run(string(role), func(t *testing.T) {
			hub := startHub(t)
			hub.fill(t)
			witness := startWitness(t, hub)
			a := newAttacker(t, hub, role)
			for _, x := range attacks() {
				t.Run(x.name, func(t *testing.T) { measure(t, hub, witness, a, x, s) })
			}
		})
	}
}

// newAttacker sorts the methods into what a role may call and what not.
func newAttacker(t *testing.T, hub *program, role identity.Role) *attacker {
	t.Helper()
	a := &attacker{addr: hub.addr, server: hub.role, role: role, files: hub.certificate(t, role, "evil")}
	table := rights.Hub()
	if hub.role == identity.RoleStore {
		table = rights.Store()
	}
	for method := range table {
		if table.Allows(role, method) {
			a.allowed = append(a.allowed, method)
		} else {
			a.denied = append(a.denied, method)
		}
	}
	// Health comes first, then streams and queries.
	slices.SortFunc(a.allowed, func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
	slices.Sort(a.denied)
	a.prepare()
	return a
}

// rank puts the methods that carry most last.
func rank(method string) string {
	switch method {
	case pb.EventBus_Publish_FullMethodName, pb.EventBus_PublishEvent_FullMethodName, pb.Fleet_Control_FullMethodName:
		return "3" + method
	case pb.EventBus_Subscribe_FullMethodName, pb.Query_SearchEvents_FullMethodName:
		return "2" + method
	default:
		return "1" + method
	}
}

// ofSmallRun says what is done when no size is given, to take seconds: the roles
// differ in their methods, of which these have all.
func ofSmallRun(role identity.Role) bool {
	return role == identity.RoleAgent || !testing.Short() && (role == identity.RoleNode || role == identity.RoleOperator)
}

// measure attacks and holds the hub against the bar.
func measure(t *testing.T, hub *program, w *witness, a *attacker, x attack, s size) {
	t.Helper()
	var attacked, within []time.Duration
	var peak int64
	var sum load
	for range s.rounds {
		hub.forgetPeak(t)
		w.reset()
		sum = a.run(t.Context(), x, s.connections, s.length)
		attacked = append(attacked, w.p99())
		peak = max(peak, hub.peak(t))
		w.reset()
		a.withinRights(t.Context(), sum, s.connections)
		within = append(within, w.p99())
	}
	slices.Sort(attacked)
	slices.Sort(within)
	bad, good := attacked[len(attacked)/2], within[len(within)/2]
	t.Logf("| %s | %s | %.0f MiB | %.1f ms | %.1f ms | %.1f MB/s, %.0f calls/s, %.0f connections/s |", a.role, x.name, float64(peak)/(1<<20),
		ms(bad), ms(good), float64(sum.bytes)/1e6/sum.took.Seconds(), float64(sum.calls)/sum.took.Seconds(), float64(sum.connections)/sum.took.Seconds())
	t.Logf("%s", hub.counters(t))
	if peak > mostMemory {
		t.Errorf("the hub took %d MiB, at most %d are allowed", peak>>20, mostMemory>>20)
	}
	// A single short round on a busy machine says little: both must be bad then.
	slow, slower := bad > mostAck, bad > mostRatio*good
	if slow && slower || (slow || slower) && s.rounds > 1 {
		t.Errorf("another agent's acknowledgements took %v (p99), while the client keeps to its rights %v", bad, good)
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// withinRights does as much as was done in an attack in the same time, as a client
// may: as many connections, calls and bytes, in batches where it may publish and
// small requests where not, and it reads the answers.
func (a *attacker) withinRights(ctx context.Context, l load, connections int) {
	begin := time.Now()
	method, message := a.allowed[0], framed(small(a.allowed[0]))
	if slices.Contains(a.allowed, pb.EventBus_Publish_FullMethodName) {
		method, message = pb.EventBus_Publish_FullMethodName, framed(batchOf("evil", 64<<10, 1000))
	}
	per := max(1, int64(connections))
	a.run(ctx, attack{"", 1 << 20, func(ctx context.Context, _ *attacker, r *raw) {
		// This connection's part of what is due, until it is the next one's turn.
		lives := max(1, l.connections/per)
		until := begin.Add(l.took * time.Duration(1+int64(time.Since(begin))*lives/int64(l.took)) / time.Duration(lives))
		ctx, cancel := context.WithDeadline(ctx, until)
		defer cancel()
		mine := time.Now()
		for ctx.Err() == nil {
			part := time.Since(mine).Seconds() / l.took.Seconds()
			if r.sent.Load() >= int64(part*float64(l.bytes/per)) && r.calls.Load() >= int64(part*float64(l.calls/per)) {
				select {
				case <-ctx.Done():
				case <-r.closed:
					return
				case <-time.After(time.Millisecond):
				}
				continue
			}
			id, err := r.open(method)
			if err != nil {
				return
			}
			r.pump(ctx, []pending{{id: id, rest: message, end: true}}, 16<<10)
		}
	}}, connections, l.took)
}

// dial connects as a client of ours does.
func (p *program) dial(t *testing.T, files identity.Files) *grpc.ClientConn {
	t.Helper()
	cfg, err := identity.ClientConfig(files, identity.ClientOptions{ServerName: "localhost", ServerRole: p.role})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient("passthrough:///"+p.addr, grpc.WithTransportCredentials(credentials.NewTLS(cfg)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
