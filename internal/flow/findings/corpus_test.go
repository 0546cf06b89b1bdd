package findings

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/amoskys/amoskys/internal/flow/capture"
	"github.com/amoskys/amoskys/internal/flow/dissect"
	"github.com/amoskys/amoskys/internal/flow/lane"
	"github.com/amoskys/amoskys/internal/flow/track"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// hostile are captures that show an attack or a fault by their names.
var hostile = regexp.MustCompile(`scan|tunnel-|dns2tcp|bad-dns|fuzz|malicious|log4j|malformed|overflow|garbage`)

// TestCorpus scores the detectors over captures of other people's tests: how many of
// those that are benign by name raise each kind. Logins and certificates are judged by
// what they are and not by the capture's name, so theirs is a rate of findings and not
// of false ones.
func TestCorpus(t *testing.T) {
	folder := os.Getenv("CAPTURE_CORPUS")
	if folder == "" {
		t.Skip("needs captures, in the folder that CAPTURE_CORPUS names")
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.pcap*"))
	if err != nil {
		t.Fatal(err)
	}
	benign, attacks := 0, 0
	raised, caught := map[string][]string{}, map[string][]string{}
	for _, file := range files {
		if strings.HasSuffix(file, ".out") || strings.HasSuffix(file, ".snap") {
			continue
		}
		name := filepath.Base(file)
		into := raised
		if hostile.MatchString(name) {
			into = caught
			attacks++
		} else {
			benign++
		}
		for _, kind := range findIn(t, file) {
			into[kind] = append(into[kind], name)
		}
	}
	for _, kind := range Names() {
		t.Logf("findings: %-26s %3d of %d benign captures (%.1f %%) %v", kind, len(raised[kind]), benign, 100*float64(len(raised[kind]))/float64(benign), raised[kind])
	}
	for kind, names := range caught {
		t.Logf("findings: in %d captures that are not benign: %s %v", attacks, kind, names)
	}
}

// findIn lists the kinds that were found in a capture file.
func findIn(t *testing.T, file string) []string {
	source, err := capture.OpenFile(file)
	if err != nil {
		t.Logf("%s: %v", file, err)
		return nil
	}
	defer func() { _ = source.Close() }()
	var kinds []string
	w := New(DefaultConfig(), func(e *pb.Event) { kinds = append(kinds, strings.TrimPrefix(e.GetType(), TypePrefix)) })
	l := lane.New(lane.Options{Source: source, Table: track.Options{Consumer: w}, Identify: dissect.Options{OnDNS: w.DNS}})
	if err := l.Run(t.Context()); err != nil {
		t.Logf("%s: %v", file, err)
	}
	l.Close()
	return slices.Compact(slices.Sorted(slices.Values(kinds)))
}
