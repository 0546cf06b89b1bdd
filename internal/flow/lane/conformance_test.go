package lane_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/amoskys/amoskys/internal/flow/capture"
	"github.com/amoskys/amoskys/internal/flow/lane"
	"github.com/amoskys/amoskys/internal/flow/tell"
	"github.com/amoskys/amoskys/internal/flow/track"
)

// TestConformance holds the flows of public captures against what others made of
// them; it needs the folder that CORPORA names, as tools/conformance.sh gives it.
//
//	CORPORA=../shared/corpora go test -run TestConformance ./internal/flow/lane
//
// CORPORA_VERBOSE=1 prints each difference, the explained ones too.
func TestConformance(t *testing.T) {
	corpora := os.Getenv("CORPORA")
	if corpora == "" {
		t.Skip("make conformance sets CORPORA to the folder of the public corpora")
	}
	verbose := os.Getenv("CORPORA_VERBOSE") != ""
	for seed, baseline := range map[uint16]string{0: "baseline_deflt.json", 1: "baseline_seed1.json"} {
		scoreIDs(t, filepath.Join(corpora, "community-id"), baseline, seed, verbose)
	}
	scoreCounts(t, filepath.Join(corpora, "ndpi"), verbose)
}

// flowsOf reads a capture to its end. What is read before a fault counts.
func flowsOf(t *testing.T, path string, o track.Options) ([]tell.Line, error) {
	t.Helper()
	source, err := capture.OpenFile(path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	var got lines
	o.Consumer = &got
	l := lane.New(lane.Options{Source: source, Table: o, NoEngine: true})
	err = l.Run(t.Context())
	l.Close()
	return got, errors.Join(err, source.Close())
}

// scoreIDs compares the set of Community IDs of the specification's captures with
// that of its reference implementation, which names one for each packet.
func scoreIDs(t *testing.T, dir, baseline string, seed uint16, verbose bool) {
	text, err := os.ReadFile(filepath.Join(dir, baseline))
	if errors.Is(err, os.ErrNotExist) {
		t.Logf("absent: %s", filepath.Join(dir, baseline))
		return
	} else if err != nil {
		t.Fatal(err)
	}
	var packets []struct{ CommunityID string }
	if err := json.Unmarshal(text, &packets); err != nil {
		t.Fatalf("%s: %v", baseline, err)
	}
	want := map[string]bool{}
	for _, p := range packets {
		want[p.CommunityID] = true
	}
	ours, err := flowsOf(t, filepath.Join(dir, "combined.pcap.gz"), track.Options{Idle: -1, Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	found, others := map[string]bool{}, 0
	for _, l := range ours {
		if want[l.CommunityID] {
			found[l.CommunityID] = true
			continue
		}
		others++
		if verbose {
			fmt.Fprintf(os.Stdout, "community-id: seed %d: %s of %s is not in %s\n", seed, l.CommunityID, l.Protocol, baseline)
		}
	}
	fmt.Fprintf(os.Stdout, "community-id   flows, seed %d: %d of %d ids, %d others\n", seed, len(found), len(want), others)
	if len(found) != len(want) || others != 0 {
		t.Errorf("seed %d: %d of %d Community IDs of %s, and %d that it has not", seed, len(found), len(want), baseline, others)
	}
}

// explained are captures in which we see other flows than nDPI, and why.
var explained = map[string]string{
	"bt-http.pcapng":                  "packets come 14 s after both sides closed, when the connection is forgotten; nDPI forgets none within a file",
	"rtsp.pcap":                       "a connection sends again a minute after its reset, when it is forgotten; nDPI forgets none within a file",
	"fuzz-2021-10-13.pcap":            "a record longer than the format allows, which tcpdump refuses too, is decoded",
	"fuzz-2021-06-07-c6c72a0a56.pcap": "a damaged frame holds one datagram with ports, which nDPI drops for its lengths",
	"ip_fragmented_garbage.pcap":      "four fragments of TCP overlap with other ports in each; nDPI takes all fragments for one flow without ports",
	"fuzz-2006-06-26-2594.pcap":       "damaged frames: where a length is wrong, nDPI counts TCP and UDP without ports, so that fewer tuples differ",
	"fuzz-2006-09-29-28586.pcap":      "damaged frames of TCP, which nDPI counts in flows of port 0 where a header is wrong",
	"fuzz-2020-02-16-11740.pcap":      "damaged frames, of which nDPI drops more for their lengths than we do",
}

// leastAgreed is the share of captures in which as many flows are found.
const leastAgreed = 0.95

// numbered is a line of nDPI's output that tells of a flow.
var numbered = regexp.MustCompile(`^\t[0-9]+\t.*\[proto: `)

// scoreCounts compares how many flows a capture has with nDPI's count. It is read as
// nDPI reads a file: no flow is ever idle, and each VLAN is a world of its own.
func scoreCounts(t *testing.T, dir string, verbose bool) {
	files, err := filepath.Glob(filepath.Join(dir, "*.out"))
	if err != nil || len(files) == 0 {
		t.Logf("absent: %s", dir)
		return
	}
	slices.Sort(files)
	agreed, excepted, flows := 0, 0, 0
	for _, out := range files {
		path := strings.TrimSuffix(out, ".out")
		name := filepath.Base(path)
		want := countNumbered(t, out)
		ours, readErr := flowsOf(t, path, track.Options{Idle: -1, VLAN: true})
		flows += len(ours)
		reason, known := explained[name]
		switch {
		case len(ours) == want:
			agreed++
			if known {
				t.Errorf("%s agrees now; take it out of the list", name)
			}
			continue
		case known:
			excepted++
		}
		if verbose || !known {
			fmt.Fprintf(os.Stdout, "ndpi           flows: %s has %d, nDPI %d; %s %v\n", name, len(ours), want, reason, readErr)
		}
	}
	share := float64(agreed) / float64(len(files))
	fmt.Fprintf(os.Stdout, "ndpi           flows: as many as nDPI in %d of %d captures, %.1f %%; %d differences explained; %d flows in all\n",
		agreed, len(files), 100*share, excepted, flows)
	if share < leastAgreed {
		t.Errorf("as many flows as nDPI in %.1f %% of captures, want %.0f %%", 100*share, 100*leastAgreed)
	}
	if unexplained := len(files) - agreed - excepted; unexplained > 0 {
		t.Errorf("%d captures differ, and nobody said why", unexplained)
	}
}

func countNumbered(t *testing.T, path string) int {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if numbered.Match(lines.Bytes()) {
			n++
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return n
}
