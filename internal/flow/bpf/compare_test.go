package bpf

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/bpf"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

var (
	update = flag.Bool("update", false, "write testdata/golden.txt from what tcpdump does")
	random = flag.Int("filters", 400, "how many random filters are compared with tcpdump's")
	seed   = flag.Uint64("seed", 1, "the seed of random filters")
)

const (
	snap       = 65535
	goldenFile = "testdata/golden.txt"
	// ethernetPackets is how many packets of Ethernet the first fullFilters of
	// the listed filters see, and otherPackets how many the others do, and all
	// on other link types; randomPackets is how many a random one sees.
	fullFilters     = 220
	ethernetPackets = 100_000
	otherPackets    = 3_000
	randomPackets   = 3_000
	// goldenPackets is how many of them the golden digests are of.
	goldenPackets = 3_000
	goldenRandom  = 1500
)

// comparisonCase is a filter that is compared with tcpdump's.
type comparisonCase struct {
	link   LinkType
	filter string
}

func otherLinks() []LinkType {
	return []LinkType{
		packet.LinkRaw, packet.LinkCooked, packet.LinkCooked2, packet.LinkNull, packet.LinkLoop,
		packet.LinkPPP, packet.LinkIPv4, packet.LinkIPv6,
	}
}

// listed are the filters of testdata/filters.txt, each on Ethernet and on one
// other link type.
func listed(t testing.TB) []comparisonCase {
	t.Helper()
	data, err := os.ReadFile("testdata/filters.txt")
	if err != nil {
		t.Fatal(err)
	}
	var cases []comparisonCase
	for n, filter := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		others := otherLinks()
		cases = append(cases, comparisonCase{packet.LinkEthernet, filter}, comparisonCase{others[n%len(others)], filter})
	}
	return cases
}

// randomCases are filters from the grammar.
func randomCases(seed uint64, n int) []comparisonCase {
	m := newFilterMaker(seed)
	links := append([]LinkType{packet.LinkEthernet, packet.LinkEthernet, packet.LinkEthernet, packet.LinkEthernet, packet.LinkEthernet, packet.LinkEthernet}, otherLinks()...)
	cases := make([]comparisonCase, n)
	for i := range cases {
		link := links[i%len(links)]
		cases[i] = comparisonCase{link, m.filter(link)}
	}
	return cases
}

// madePackets keeps packets between tests.
type madePackets struct {
	mu   sync.Mutex
	made map[LinkType][][]byte
}

var shared = madePackets{made: map[LinkType][][]byte{}}

func (s *madePackets) of(link LinkType, n int) [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.made[link] == nil {
		most := otherPackets
		if link == packet.LinkEthernet {
			most = ethernetPackets
		}
		if testing.Short() {
			most /= 10
		}
		s.made[link] = packets(link, max(most, goldenPackets))
	}
	return s.made[link][:min(n, len(s.made[link]))]
}

// machine makes the virtual machine of a program.
func machine(t testing.TB, program []bpf.RawInstruction) *bpf.VM {
	t.Helper()
	instructions := make([]bpf.Instruction, len(program))
	for i, raw := range program {
		instructions[i] = raw.Disassemble()
	}
	vm, err := bpf.NewVM(instructions)
	if err != nil {
		t.Fatalf("%v\n%s", err, listing(program))
	}
	return vm
}

// verdicts runs a program over packets. The bits of accepted ones are set.
func verdicts(t testing.TB, program []bpf.RawInstruction, list [][]byte) []byte {
	t.Helper()
	vm := machine(t, program)
	v := make([]byte, (len(list)+7)/8)
	for i, p := range list {
		n, err := vm.Run(p)
		if err != nil {
			t.Fatal(err)
		}
		switch n {
		case 0:
		case snap:
			v[i/8] |= 1 << (i % 8)
		default:
			t.Fatalf("the program returned %d", n)
		}
	}
	return v
}

func digest(v []byte) string {
	sum := sha256.Sum256(v)
	return hex.EncodeToString(sum[:6])
}

// forVM replaces what the machine of golang.org/x/net/bpf does not do: it does
// not negate, and takes loads far outside of any packet for other things.
func forVM(program []bpf.RawInstruction) []bpf.RawInstruction {
	program = slices.Clone(program)
	for i := range program {
		raw := &program[i]
		class, mode := raw.Op&0x07, raw.Op&0xe0
		switch {
		case raw.Op == clsALU|aluNEG:
			*raw = bpf.RawInstruction{Op: clsALU | aluMUL, K: ^uint32(0)}
		case class <= clsLDX && (mode == modeABS || mode == modeIND || mode == modeMSH):
			raw.K = min(raw.K, 0x7fffffff)
		}
	}
	return program
}

// refusedHere says that a filter which tcpdump takes is refused on purpose.
func refusedHere(c comparisonCase) bool {
	cooked := c.link == packet.LinkCooked || c.link == packet.LinkCooked2
	switch {
	case strings.Contains(c.filter, "protochain"):
		return true
	case strings.Contains(c.filter, "bound"):
		return !cooked
	case strings.Contains(c.filter, "ifindex"):
		return c.link != packet.LinkCooked2
	}
	return false
}

// compared is what came of one comparison.
type compared struct {
	refused, same bool
	ours, theirs  int
}

// compare compiles a filter both ways, and runs both programs over packets unless
// they are the same.
func (c comparisonCase) compare(t *testing.T, n int) compared {
	t.Helper()
	want, wantErr := tcpdumpProgram(t, c.filter, c.link)
	got, err := Compile(c.filter, c.link, snap)
	switch {
	case wantErr != nil && err != nil, wantErr == nil && err != nil && refusedHere(c):
		return compared{refused: true}
	case wantErr != nil:
		t.Errorf("%s on %s: tcpdump refuses it (%v), and we take it", c.filter, linkName(c.link), wantErr)
		return compared{}
	case err != nil:
		t.Errorf("%s on %s: tcpdump takes it, and we say %v", c.filter, linkName(c.link), err)
		return compared{}
	case got == nil:
		return compared{same: true}
	}
	want = forVM(want)
	result := compared{same: slices.Equal(want, got), ours: len(got), theirs: len(want)}
	if result.same {
		return result
	}
	list := shared.of(c.link, n)
	a := verdicts(t, want, list)
	b := verdicts(t, got, list)
	for i := range list {
		if (a[i/8]^b[i/8])>>(i%8)&1 != 0 {
			t.Errorf("%s on %s: tcpdump says %d of packet %d, %x\ntcpdump:\n%s\nours:\n%s",
				c.filter, linkName(c.link), a[i/8]>>(i%8)&1, i, list[i], listing(want), listing(got))
			break
		}
	}
	return result
}

// compareAll compares cases on all processors and sums up.
func compareAll(t *testing.T, cases []comparisonCase, packets func(comparisonCase) int) {
	t.Helper()
	if _, err := exec.LookPath("tcpdump"); err != nil {
		t.Skip("tcpdump is not installed: .ci/packages installs it")
	}
	results := make([]compared, len(cases))
	next := make(chan int)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := range next {
				results[i] = cases[i].compare(t, packets(cases[i]))
			}
		})
	}
	for i := range cases {
		next <- i
	}
	close(next)
	workers.Wait()
	refused, same, ours, theirs := 0, 0, 0, 0
	for _, r := range results {
		switch {
		case r.refused:
			refused++
		case r.same:
			same++
		}
		ours, theirs = ours+r.ours, theirs+r.theirs
	}
	t.Logf("%d filters: both refuse %d, %d programs are the same; %d instructions for tcpdump's %d", len(cases), refused, same, ours, theirs)
	if float64(ours) > 1.3*float64(theirs) {
		t.Errorf("%d instructions for tcpdump's %d", ours, theirs)
	}
}

func TestListedFiltersSelectWhatTcpdumpSelects(t *testing.T) {
	t.Parallel()
	cases := listed(t)
	full := map[string]bool{}
	for _, c := range cases[:2*fullFilters] {
		full[c.filter] = true
	}
	compareAll(t, cases, func(c comparisonCase) int {
		if c.link == packet.LinkEthernet && full[c.filter] {
			return ethernetPackets
		}
		return otherPackets
	})
}

func TestRandomFiltersSelectWhatTcpdumpSelects(t *testing.T) {
	t.Parallel()
	compareAll(t, randomCases(*seed, *random), func(comparisonCase) int { return randomPackets })
}

// TestGolden holds verdicts where there is no tcpdump. A line of the file has
// the link type, a digest of the verdicts or "refused", and the filter.
func TestGolden(t *testing.T) {
	if *update {
		writeGolden(t)
	}
	data, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	for n, line := range lines {
		if testing.Short() && n%5 != 0 {
			continue
		}
		var link LinkType
		var want string
		if _, err := fmt.Sscanf(line, "%d %s", &link, &want); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		filter := strings.SplitN(line, " ", 3)[2]
		program, err := Compile(filter, link, snap)
		switch {
		case err != nil && want == "refused":
		case err != nil:
			t.Errorf("%s on %s: %v", filter, linkName(link), err)
		case want == "refused":
			t.Errorf("%s on %s: tcpdump refuses it", filter, linkName(link))
		case program == nil:
			t.Errorf("%q is taken for empty", filter)
		default:
			if got := digest(verdicts(t, program, shared.of(link, goldenPackets))); got != want {
				t.Errorf("%s on %s: other packets are selected than by tcpdump:\n%s", filter, linkName(link), listing(program))
			}
		}
	}
	t.Logf("%d filters", len(lines))
}

func writeGolden(t *testing.T) {
	t.Helper()
	var b strings.Builder
	for _, c := range append(listed(t), randomCases(1000, goldenRandom)...) {
		if refusedHere(c) || c.filter == "" {
			continue
		}
		verdict := "refused"
		if program, err := tcpdumpProgram(t, c.filter, c.link); err == nil {
			verdict = digest(verdicts(t, forVM(program), shared.of(c.link, goldenPackets)))
		}
		fmt.Fprintf(&b, "%d %s %s\n", c.link, verdict, c.filter)
	}
	if err := os.WriteFile(goldenFile, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
