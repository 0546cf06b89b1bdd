package snmp_test

import (
	"cmp"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/amoskys/amoskys/internal/snmp"
	"github.com/amoskys/amoskys/internal/snmp/identify"
	"github.com/amoskys/amoskys/internal/snmp/play"
	"github.com/amoskys/amoskys/internal/snmp/snmptest"
)

// TestProbeOverTheNetwork: what is read of a device through packets is what is read of
// its recording, by any version.
func TestProbeOverTheNetwork(t *testing.T) {
	t.Parallel()
	record, prober := play.Switch("sw-1", 48, 1000), newProber(t)
	for _, c := range []snmp.Credential{{Version: snmp.V1, Community: "public"}, {Community: "public"}, user(snmp.SHA256, snmp.AES)} {
		t.Run(c.String(), func(t *testing.T) {
			t.Parallel()
			compareProbes(t, prober, record, c)
		})
	}
}

// TestCorpusOverTheNetwork does the same with every recording of the corpus that
// CORPORA names, as TestConformance of package identify does without a network.
func TestCorpusOverTheNetwork(t *testing.T) {
	corpora := os.Getenv("CORPORA")
	if corpora == "" {
		t.Skip("make conformance sets CORPORA to the folder of the public corpora")
	}
	files, err := filepath.Glob(filepath.Join(corpora, "snmprec", "*.snmprec"))
	if err != nil || len(files) == 0 {
		t.Skipf("no recordings in %s", corpora)
	}
	prober := newProber(t)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			in, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			record, err := play.Parse(in)
			if err != nil {
				t.Fatal(err)
			}
			compareProbes(t, prober, record, snmp.Credential{Community: "public"})
		})
	}
}

func newProber(t *testing.T) *identify.Prober {
	t.Helper()
	prober, err := identify.NewBuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	return prober
}

func compareProbes(t *testing.T, prober *identify.Prober, record *play.Record, credential snmp.Credential) {
	t.Helper()
	d := play.NewDevice("public", record)
	if credential.Version == snmp.V3 {
		d.Users = []snmp.Credential{credential}
	}
	_, at := snmptest.Start(t, d)
	c := open(t, at, func(target *snmp.Target) { target.Credential = credential })
	got, gotID, err := prober.Probe(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	want, wantID, err := prober.Probe(t.Context(), record)
	if err != nil {
		t.Fatal(err)
	}
	got.ResponseTime, want.ResponseTime = nil, nil
	if credential.Version == snmp.V1 { // which reads no 64-bit counters
		for i := range got.GetInterfaces() {
			got.Interfaces[i], want.Interfaces[i] = nil, nil
		}
	}
	if !proto.Equal(got, want) {
		t.Errorf("read by packets:\n%v\nread from the recording:\n%v", got, want)
	}
	if a, b := cmp.Or(gotID.Vendor, "none"), cmp.Or(wantID.Vendor, "none"); a != b {
		t.Errorf("vendor %s, want %s", a, b)
	}
	if n := c.Counts(); n.Timeouts+n.Malformed+n.Panics > 0 {
		t.Errorf("counted %+v", n)
	}
}
