package snmp

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gosnmp/gosnmp"

	"github.com/amoskys/amoskys/internal/agent/agenttest"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/snmp"
	"github.com/amoskys/amoskys/internal/snmp/play"
	"github.com/amoskys/amoskys/internal/snmp/snmptest"
	"github.com/amoskys/amoskys/internal/snmp/trap"
)

// edgeSwitch is a recording of a switch: three ports, one of which is the uplink, and who
// is behind them.
const edgeSwitch = `1.3.6.1.2.1.1.1.0|4|Test switch, version 1.2
1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.8072.3.2.10
1.3.6.1.2.1.1.3.0|67|360000
1.3.6.1.2.1.1.4.0|4|noc
1.3.6.1.2.1.1.5.0|4|edge-1
1.3.6.1.2.1.1.6.0|4|cellar
1.3.6.1.2.1.2.2.1.1.1|2|1
1.3.6.1.2.1.2.2.1.1.2|2|2
1.3.6.1.2.1.2.2.1.1.24|2|24
1.3.6.1.2.1.2.2.1.2.1|4|port 1
1.3.6.1.2.1.2.2.1.2.2|4|port 2
1.3.6.1.2.1.2.2.1.2.24|4|port 24
1.3.6.1.2.1.2.2.1.3.1|2|6
1.3.6.1.2.1.2.2.1.3.2|2|6
1.3.6.1.2.1.2.2.1.3.24|2|6
1.3.6.1.2.1.2.2.1.5.1|66|1000000000
1.3.6.1.2.1.2.2.1.5.2|66|1000000000
1.3.6.1.2.1.2.2.1.6.1|4x|00005e005301
1.3.6.1.2.1.2.2.1.6.2|4x|00005e005302
1.3.6.1.2.1.2.2.1.7.1|2|1
1.3.6.1.2.1.2.2.1.7.2|2|1
1.3.6.1.2.1.2.2.1.7.24|2|1
1.3.6.1.2.1.2.2.1.8.1|2|1
1.3.6.1.2.1.2.2.1.8.2|2|2
1.3.6.1.2.1.2.2.1.8.24|2|1
1.3.6.1.2.1.2.2.1.14.1|65|3
1.3.6.1.2.1.2.2.1.20.1|65|4
1.3.6.1.2.1.2.2.1.10.24|65|4294967000
1.3.6.1.2.1.2.2.1.16.24|65|500
1.3.6.1.2.1.31.1.1.1.1.1|4|Gi1
1.3.6.1.2.1.31.1.1.1.1.2|4|Gi2
1.3.6.1.2.1.31.1.1.1.1.24|4|Gi24
1.3.6.1.2.1.31.1.1.1.6.1|70|10000000000
1.3.6.1.2.1.31.1.1.1.6.2|70|20000000000
1.3.6.1.2.1.31.1.1.1.10.1|70|7
1.3.6.1.2.1.31.1.1.1.10.2|70|8
1.3.6.1.2.1.31.1.1.1.15.24|66|10000
1.3.6.1.2.1.31.1.1.1.18.1|4|desk 7
1.3.6.1.2.1.17.1.1.0|4x|00005e005300
1.3.6.1.2.1.17.1.4.1.2.1|2|1
1.3.6.1.2.1.17.1.4.1.2.2|2|2
1.3.6.1.2.1.17.1.4.1.2.3|2|24
1.3.6.1.2.1.17.7.1.2.2.1.2.7.0.0.94.0.83.17|2|1
1.3.6.1.2.1.17.7.1.2.2.1.2.7.0.0.94.0.83.18|2|2
1.3.6.1.2.1.17.7.1.2.2.1.2.7.0.0.94.0.83.0|2|0
1.3.6.1.2.1.17.7.1.2.2.1.3.7.0.0.94.0.83.17|2|3
1.3.6.1.2.1.17.7.1.2.2.1.3.7.0.0.94.0.83.18|2|3
1.3.6.1.2.1.17.7.1.2.2.1.3.7.0.0.94.0.83.0|2|4
1.3.6.1.2.1.17.7.1.4.2.1.3.0.10|66|7
1.3.6.1.2.1.4.22.1.2.1.192.0.2.17|4x|00005e005311
`

// starting is the configuration of an agent that polls one address and settles at once.
func starting(at netip.AddrPort) string {
	return "agent: {interval_seconds: 0.2}\nsnmp: {targets: ['" + at.String() + "'], community: opensesame}\n" +
		"polling: {timeout_seconds: 1, retries: 1}\nplaces: {interval_seconds: 1}\n" +
		"traps: {listen: '127.0.0.1:0'}\n"
}

func TestConformance(t *testing.T) {
	_, at := snmptest.Start(t, play.NewDevice("opensesame", snmptest.Load(t, edgeSwitch)))
	reader := trap.NewReader([]snmp.Credential{monitor()}, "test", time.Now, trap.State{})
	agenttest.Suite{
		Definition: Definition(), Config: starting(at),
		Types: []string{event.TypeSNMPReading, event.TypeDeviceDiscovered, event.TypeDeviceMoved},
		Metrics: []string{
			"snmp_up", "snmp_system_uptime", "snmp_interface_bytes_in", "snmp_interface_bytes_out", "snmp_interface_errors",
			"amoskys_snmp_devices", "amoskys_snmp_polls_total", "amoskys_snmp_traps_total",
		},
		Decoders: []agenttest.Decoder{
			{Name: "trap", Seeds: []string{string(linkDown(t, gosnmp.SNMPv2Trap)), string(linkDown(t, gosnmp.InformRequest))}, Decode: func(b []byte) { _, _, _ = reader.Decode(b) }},
			{Name: devicesFile, Seeds: []string{`{"version":1,"devices":[{"addr":"192.0.2.1:161"}]}`}, Decode: func(b []byte) { _, _ = parseMemory(b) }},
			{
				Name: trapsFile, Seeds: []string{`{"version":1,"boots":7,"engines":[{"engine":"80001f8804","boots":3,"seconds":9}],"taken":[{"engine":"80001f8804","boots":3,"seconds":9,"sum":"00112233445566778899aabbccddeeff"}]}`},
				Decode: func(b []byte) {
					if s, err := parseTraps(b); err == nil {
						trap.NewReader(nil, "test", time.Now, s)
					}
				},
			},
		},
	}.Run(t)
}

func TestTemplateIsTheDefault(t *testing.T) {
	got := Config{}
	if err := config.Decode("template", ConfigTemplate(), &got, config.DecodeOptions{Env: config.NoEnv}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(DefaultConfig(), got); diff != "" {
		t.Error(diff)
	}
	if got.sends() {
		t.Error("the defaults name somebody to be asked")
	}
}

// TestAddresses: each address once, none that nobody has, none that is excluded.
func TestAddresses(t *testing.T) {
	got, err := addresses([]string{"192.0.2.0/29", "192.0.2.4/30", "192.0.2.9", "2001:db8::/126", "198.51.100.0/31"}, []string{"192.0.2.2", "2001:db8::3"}, 100)
	if err != nil {
		t.Fatal(err)
	}
	var text []string
	for _, a := range got {
		text = append(text, a.String())
	}
	want := "192.0.2.1 192.0.2.3 192.0.2.4 192.0.2.5 192.0.2.6 192.0.2.9 2001:db8:: 2001:db8::1 2001:db8::2 198.51.100.0 198.51.100.1"
	if diff := cmp.Diff(want, strings.Join(text, " ")); diff != "" {
		t.Error(diff)
	}
	for _, network := range []string{"10.0.0.0/8", "::/0", "2001:db8::/64"} {
		if _, err := addresses([]string{network}, nil, 65536); err == nil || !strings.Contains(err.Error(), network) {
			t.Errorf("%s: %v", network, err)
		}
	}
}

// TestDue: polls keep their phase, and become rarer while nobody answers.
func TestDue(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	d := newDevice(netip.MustParseAddrPort("192.0.2.1:161"), "")
	first := d.due(now, time.Minute)
	if wait := first.Sub(now); wait <= 0 || wait > time.Minute {
		t.Errorf("first after %v", wait)
	}
	if again := d.due(first, time.Minute); again.Sub(first) != time.Minute {
		t.Errorf("again after %v", again.Sub(first))
	}
	last := time.Duration(0)
	for d.failures = 1; d.failures < 20; d.failures++ {
		wait := d.due(now, time.Minute).Sub(now)
		if wait < last || wait > time.Hour+time.Minute {
			t.Errorf("after %d failures: %v", d.failures, wait)
		}
		last = wait
	}
	spread := map[time.Time]bool{}
	for i := range 100 {
		d := newDevice(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 161), "")
		spread[d.due(now, time.Minute).Truncate(time.Second)] = true
	}
	if len(spread) < 30 {
		t.Errorf("100 devices are polled within %d seconds of the minute", len(spread))
	}
}

// TestSerials: what is none does not join devices.
func TestSerials(t *testing.T) {
	for serial, want := range map[string]bool{
		"FOC1234X0AB": true, "": false, "0000000000": false, "N/A": false, "To be filled by O.E.M.": false, "Default string": false, "---": false, "1234": false,
	} {
		if isSerial(serial) != want {
			t.Errorf("%q: %t", serial, !want)
		}
	}
}

// TestCredentials: in the order of the file, those of the version first, and no secret
// shows.
func TestCredentials(t *testing.T) {
	t.Setenv("SITE", "from the environment")
	s := SNMP{
		Version: "3", Community: "first", Communities: []config.Secret{"env:SITE", "env:MISSING"},
		V3Credentials: V3Credentials{Username: "u", AuthProtocol: "SHA256", AuthPassword: "12345678", PrivacyProtocol: "AES"},
		Credentials:   []V3Credentials{{Username: "plain"}},
	}
	names := func() string {
		list, err := s.credentials(config.Home(t.TempDir()))
		if err == nil || !strings.Contains(err.Error(), "snmp.communities[1]") || strings.Contains(err.Error(), "first") {
			t.Errorf("error %v", err)
		}
		var out []string
		for _, c := range list {
			out = append(out, c.name)
		}
		return strings.Join(out, " ")
	}
	if got := names(); got != "snmp.v3_credentials snmp.credentials[0] snmp.communities[0]" {
		t.Error(got)
	}
	s.Version = "2c"
	if got := names(); got != "snmp.community snmp.communities[0] snmp.v3_credentials snmp.credentials[0]" {
		t.Error(got)
	}
	list, _ := s.credentials("")
	if c := list[2].Credential; c.Auth != snmp.SHA256 || c.Privacy != snmp.NoPrivacy {
		t.Errorf("%+v", c)
	}
}
