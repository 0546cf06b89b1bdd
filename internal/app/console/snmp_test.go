package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/snmp"
	"github.com/amoskys/amoskys/internal/snmp/play"
	"github.com/amoskys/amoskys/internal/snmp/snmptest"
)

const aDevice = `1.3.6.1.2.1.1.1.0|4x|61206465766963651b5b6d
1.3.6.1.2.1.1.5.0|4|sw-1
1.3.6.1.2.1.2.2.1.6.1|4x|0000c0ffee00
1.3.6.1.2.1.31.1.1.1.6.1|70|18446744073709551615
`

// askDevice runs a command against a device with the community "c0mmunity".
func askDevice(t *testing.T, o SNMPOptions, run func(context.Context, *cli.Env, SNMPOptions) error) (stdout, stderr string, err error) {
	t.Helper()
	device := play.NewDevice("c0mmunity", snmptest.Load(t, aDevice))
	device.Users = []snmp.Credential{{Version: snmp.V3, User: "monitor", Auth: snmp.SHA, AuthPassword: "authent1cation"}}
	_, at := snmptest.Start(t, device)
	o.Host, o.Timeout = at.String(), 200*time.Millisecond
	var out, complaints bytes.Buffer
	e := &cli.Env{Stdout: &out, Stderr: &complaints, Now: time.Now}
	err = run(t.Context(), e, o)
	return out.String(), complaints.String(), err
}

func walkFrom(root string) func(context.Context, *cli.Env, SNMPOptions) error {
	return func(ctx context.Context, e *cli.Env, o SNMPOptions) error { return SNMPWalk(ctx, e, o, root) }
}

func TestSNMPWalkPrintsATable(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "community")
	if err := os.WriteFile(file, []byte("c0mmunity\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, _, err := askDevice(t, SNMPOptions{Community: config.Secret("file:" + file)}, walkFrom("1.3.6.1"))
	want := `OID                       TYPE          VALUE
1.3.6.1.2.1.1.1.0         OCTET STRING  61:20:64:65:76:69:63:65:1b:5b:6d
1.3.6.1.2.1.1.5.0         OCTET STRING  sw-1
1.3.6.1.2.1.2.2.1.6.1     OCTET STRING  00:00:c0:ff:ee:00
1.3.6.1.2.1.31.1.1.1.6.1  Counter64     18446744073709551615
`
	if err != nil || got != want {
		t.Errorf("got %v\n%s", err, got)
	}
}

func TestSNMPWalkPrintsOneVariable(t *testing.T) {
	t.Parallel()
	got, _, err := askDevice(t, SNMPOptions{Community: "c0mmunity", JSON: true}, walkFrom("1.3.6.1.2.1.1.5.0"))
	if err != nil || got != `{"oid":"1.3.6.1.2.1.1.5.0","type":"OCTET STRING","value":"sw-1"}`+"\n" {
		t.Errorf("got %v\n%s", err, got)
	}
	got, complaint, err := askDevice(t, SNMPOptions{Community: "c0mmunity"}, walkFrom("1.3.6.1.9"))
	if err != nil || got != "" || !strings.Contains(complaint, "nothing at or below 1.3.6.1.9") {
		t.Errorf("got %v\n%s%s", err, got, complaint)
	}
}

func TestSNMPGetPrintsJSON(t *testing.T) {
	t.Parallel()
	o := SNMPOptions{User: "monitor", Auth: "sha", AuthPassword: "authent1cation", JSON: true}
	got, _, err := askDevice(t, o, func(ctx context.Context, e *cli.Env, o SNMPOptions) error {
		return SNMPGet(ctx, e, o, []string{"1.3.6.1.2.1.31.1.1.1.6.1", ".1.3.6.1.2.1.2.2.1.6.1", "1.3.6.1.2.1.1.9.0"})
	})
	want := `{"oid":"1.3.6.1.2.1.31.1.1.1.6.1","type":"Counter64","value":18446744073709551615}
{"oid":"1.3.6.1.2.1.2.2.1.6.1","type":"OCTET STRING","value":null,"hex":"0000c0ffee00"}
{"oid":"1.3.6.1.2.1.1.9.0","type":"noSuchInstance","value":null}
`
	if err != nil || got != want {
		t.Errorf("got %v\n%s", err, got)
	}
}

// TestSNMPNames: who asks by name is answered by name.
func TestSNMPNames(t *testing.T) {
	t.Parallel()
	got, _, err := askDevice(t, SNMPOptions{Community: "c0mmunity"}, func(ctx context.Context, e *cli.Env, o SNMPOptions) error {
		return SNMPGet(ctx, e, o, []string{"sysName.0", "IF-MIB::ifHCInOctets.1"})
	})
	want := "OID                      TYPE          VALUE\nSNMPv2-MIB::sysName.0    OCTET STRING  sw-1\nIF-MIB::ifHCInOctets.1   Counter64     18446744073709551615\n"
	if err != nil || strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(want), " ") {
		t.Errorf("got %v\n%s", err, got)
	}
	got, _, err = askDevice(t, SNMPOptions{Community: "c0mmunity", JSON: true}, walkFrom("system"))
	if err != nil || !strings.Contains(got, `{"oid":"1.3.6.1.2.1.1.5.0","name":"SNMPv2-MIB::sysName.0","type":"OCTET STRING","value":"sw-1"}`) {
		t.Errorf("got %v\n%s", err, got)
	}
	_, _, err = askDevice(t, SNMPOptions{Community: "c0mmunity"}, walkFrom("noSuchObject"))
	if _, usage := errors.AsType[*cli.UsageError](err); !usage || !strings.Contains(err.Error(), "--mibs") {
		t.Errorf("a name that nobody has: %v", err)
	}
}

// TestSNMPWithin: what a slow device is asked ends after the time that is given.
func TestSNMPWithin(t *testing.T) {
	t.Parallel()
	device := play.NewDevice("public", play.Switch("sw-1", 2, 1000))
	device.Break(play.Faults{Delay: 100 * time.Millisecond})
	_, at := snmptest.Start(t, device)
	var out, complaints bytes.Buffer
	e := &cli.Env{Stdout: &out, Stderr: &complaints, Now: time.Now}
	err := SNMPProbe(t.Context(), e, SNMPOptions{Host: at.String(), Timeout: time.Second, Within: 250 * time.Millisecond})
	if err == nil || !strings.Contains(err.Error(), "--within") {
		t.Errorf("a device that is slow: %v", err)
	}
}

func TestSNMPSaysWhatToDoNext(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		options SNMPOptions
		want    string
		usage   bool
	}{
		"wrong community":   {SNMPOptions{Community: "s3cret"}, "a wrong community looks the same", false},
		"wrong password":    {SNMPOptions{User: "monitor", Auth: "SHA", AuthPassword: "s3cret s3cret"}, "check --auth and --auth-password", false},
		"unknown user":      {SNMPOptions{User: "nobody", Auth: "SHA", AuthPassword: "s3cret s3cret"}, "check --user", false},
		"password too weak": {SNMPOptions{User: "monitor", Auth: "SHA", AuthPassword: "s3cret"}, "less than 8 bytes", true},
		"no such protocol":  {SNMPOptions{User: "monitor", Auth: "ROT13"}, "--auth: authentication protocol \"ROT13\"", true},
		"password alone":    {SNMPOptions{User: "monitor", AuthPassword: "s3cret s3cret"}, "--auth-password needs --auth", true},
		"privacy alone":     {SNMPOptions{User: "monitor", Auth: "SHA", AuthPassword: "s3cret s3cret", PrivacyPassword: "s3cret s3cret"}, "--privacy-password needs --privacy", true},
		"a wait below 0":    {SNMPOptions{Community: "c0mmunity", Within: -1}, "--within", true},
		"both":              {SNMPOptions{User: "monitor", Version: "2c"}, "for version 3", true},
		"no such file":      {SNMPOptions{Community: "file:/nonexistent/s3cret"}, "--community: read secret", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := askDevice(t, test.options, walkFrom("1.3.6.1"))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v", err)
			}
			if strings.Contains(strings.ReplaceAll(err.Error(), "/nonexistent/s3cret", ""), "s3cret") {
				t.Errorf("a secret is told: %v", err)
			}
			if _, usage := errors.AsType[*cli.UsageError](err); usage != test.usage {
				t.Errorf("called wrongly: %t, want %t", usage, test.usage)
			}
		})
	}
}

func TestResolveDevice(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"127.0.0.1": "127.0.0.1:161", "127.0.0.1:1161": "127.0.0.1:1161", "::1": "[::1]:161", "[::1]:1161": "[::1]:1161",
		"127.0.0.1:0": "", "127.0.0.1:99999": "", ":161": "", "": "",
	} {
		at, err := resolveDevice(t.Context(), text)
		if want == "" && err == nil || want != "" && at.String() != want {
			t.Errorf("%q: %s, %v; want %s", text, at, err, want)
		}
	}
}

func TestSNMPProbe(t *testing.T) {
	t.Parallel()
	device := play.NewDevice("public", play.Switch("sw-1", 2, 1000))
	_, at := snmptest.Start(t, device)
	var out, complaints bytes.Buffer
	e := &cli.Env{Stdout: &out, Stderr: &complaints, Now: time.Now}
	if err := SNMPProbe(t.Context(), e, SNMPOptions{Host: at.String(), JSON: true}); err != nil {
		t.Fatal(err)
	}
	var got struct {
		SysObjectID string `json:"sys_object_id"`
		Interfaces  []struct {
			Index uint32 `json:"index"`
			Name  string `json:"name"`
			Speed uint64 `json:"speed"`
		} `json:"interfaces"`
		CPU    []float64 `json:"cpu_percent"`
		Memory []struct {
			Name  string `json:"name"`
			Used  uint64 `json:"used_bytes"`
			Total uint64 `json:"total_bytes"`
		} `json:"memory"`
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.SysObjectID != "1.3.6.1.4.1.8072.3.2.10" || len(got.Interfaces) != 2 || got.Interfaces[1].Name != "Gi0/2" || got.Interfaces[1].Speed != 1_000_000_000 ||
		len(got.CPU) != 1 || got.CPU[0] != 7 || len(got.Memory) != 1 || got.Memory[0].Total != 512<<20 || got.Memory[0].Used != 128<<20 {
		t.Errorf("got %+v", got)
	}
	out.Reset()
	if err := SNMPProbe(t.Context(), e, SNMPOptions{Host: at.String()}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"sw-1", "cpu %", "INTERFACE", "Gi0/2", "1,000,000,000", "512.0 MiB"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}

// TestSNMPWalkPrintsWhileItComes: rows of a long table leave the memory in blocks, under
// one heading.
func TestSNMPWalkPrintsWhileItComes(t *testing.T) {
	t.Parallel()
	out := variablePrinter{table: newVariableTable()}
	var b bytes.Buffer
	out.e = &cli.Env{Stdout: &b}
	for _, oid := range []string{"1.3.6.1.1", "1.3.6.1.2"} {
		if err := errors.Join(out.print(snmp.Variable{OID: oid, Type: snmp.Null}), out.flush()); err != nil {
			t.Fatal(err)
		}
		if out.table.Len() != 0 {
			t.Errorf("%d rows are kept after they were printed", out.table.Len())
		}
	}
	if got := b.String(); strings.Count(got, "OID") != 1 || strings.Count(got, "1.3.6.1.") != 2 || out.finish() != nil {
		t.Errorf("printed %s", got)
	}
}

func TestAuthorizationErrorSaysWhatToCheck(t *testing.T) {
	t.Parallel()
	err := advise(SNMPOptions{}, &snmp.StatusError{Status: 16})
	if !strings.Contains(err.Error(), "authorizationError") || !strings.Contains(err.Error(), "--privacy") {
		t.Error(err)
	}
}
