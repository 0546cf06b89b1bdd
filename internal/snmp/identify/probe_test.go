package identify_test

import (
	"testing"

	"github.com/amoskys/amoskys/internal/snmp/identify"
	"github.com/amoskys/amoskys/internal/snmp/snmptest"
)

// smallSwitch is a device of our own making.
const smallSwitch = `1.3.6.1.2.1.1.1.0|4|Linux edge 5.10.0-8-amd64 #1 SMP Debian x86_64
1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.8072.3.2.10
1.3.6.1.2.1.1.3.0|67|123456
1.3.6.1.2.1.1.5.0|4|edge
1.3.6.1.2.1.2.2.1.1.2|2|2
1.3.6.1.2.1.2.2.1.2.2|4|eth0
1.3.6.1.2.1.2.2.1.3.2|2|6
1.3.6.1.2.1.2.2.1.5.2|66|4294967295
1.3.6.1.2.1.2.2.1.6.2|4x|020000000001
1.3.6.1.2.1.2.2.1.7.2|2|1
1.3.6.1.2.1.2.2.1.8.2|2|2
1.3.6.1.2.1.2.2.1.10.2|65|77
1.3.6.1.2.1.25.2.3.1.2.1|6|1.3.6.1.2.1.25.2.1.2
1.3.6.1.2.1.25.2.3.1.3.1|4|Physical memory
1.3.6.1.2.1.25.2.3.1.4.1|2|1024
1.3.6.1.2.1.25.2.3.1.5.1|2|1000
1.3.6.1.2.1.25.2.3.1.6.1|2|250
1.3.6.1.2.1.25.3.3.1.2.196608|2|7
1.3.6.1.2.1.31.1.1.1.1.2|4|eth0
1.3.6.1.2.1.31.1.1.1.6.2|70|18446744073709551615
1.3.6.1.2.1.31.1.1.1.15.2|66|10000
1.3.6.1.2.1.31.1.1.1.18.2|4|uplink
1.3.6.1.6.3.10.2.1.1.0|4x|80001f8880e9630000d61ff449
`

func TestProbe(t *testing.T) {
	t.Parallel()
	prober, err := identify.NewBuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	r, id, err := prober.Probe(t.Context(), snmptest.Load(t, smallSwitch))
	if err != nil {
		t.Fatal(err)
	}
	if id.OS != "Linux" || id.OSVersion != "5.10.0-8-amd64" || r.GetSysName() != "edge" || r.GetEngineId() != "80001f8880e9630000d61ff449" {
		t.Errorf("it is %+v", id)
	}
	if len(r.GetInterfaces()) != 1 {
		t.Fatalf("interfaces: %v", r.GetInterfaces())
	}
	port := r.GetInterfaces()[0]
	if port.GetName() != "eth0" || port.GetAlias() != "uplink" || port.GetSpeedBps() != 10_000_000_000 || port.GetOperStatus() != "down" ||
		port.GetMac() != "02:00:00:00:00:01" || port.GetBytesIn() != 1<<64-1 {
		t.Errorf("interface: %v", port)
	}
	if cpu := r.GetCpuPercent(); len(cpu) != 1 || cpu[0] != 7 {
		t.Errorf("processors: %v", cpu)
	}
	if m := r.GetMemory(); len(m) != 1 || m[0].GetUsedBytes() != 256_000 || m[0].GetTotalBytes() != 1_024_000 {
		t.Errorf("memory: %v", m)
	}
	if up := r.GetUptime().AsDuration(); up.Milliseconds() != 1_234_560 {
		t.Errorf("uptime: %v", up)
	}
}

// TestModelOfParts: the model is that of the part which is the device, and nothing else's.
func TestModelOfParts(t *testing.T) {
	t.Parallel()
	prober, err := identify.NewBuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	const part = "1.3.6.1.2.1.47.1.1.1.1."
	for name, tt := range map[string]struct{ parts, model, serial string }{
		"a chassis":             {part + "5.1|2|3\n" + part + "11.1|4|SN12345\n" + part + "13.1|4|X1\n" + part + "13.9|4|SFP\n", "X1", "SN12345"},
		"in nothing":            {part + "4.1|2|0\n" + part + "4.2|2|1\n" + part + "11.1|4|SN12345\n" + part + "13.1|4|X1\n" + part + "13.2|4|LINE-CARD\n", "X1", "SN12345"},
		"of an unknown kind":    {part + "4.1|2|0\n" + part + "5.1|2|1\n" + part + "5.2|2|9\n" + part + "13.1|4|X1\n" + part + "13.2|4|LINE-CARD\n", "X1", ""},
		"the only one named":    {part + "7.1|4|Switch System\n" + part + "13.7|4|X1\n" + part + "13.9|4|X1\n", "X1", ""},
		"several, and no order": {part + "13.7|4|X1\n" + part + "13.9|4|X2\n", "", ""},
		"fans in nothing":       {part + "4.1|2|0\n" + part + "5.1|2|7\n" + part + "13.1|4|FAN-1\n", "", ""},
	} {
		r, id, err := prober.Probe(t.Context(), snmptest.Load(t, "1.3.6.1.2.1.1.1.0|4|Some system\n1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.99999.1\n"+tt.parts))
		if err != nil || r.GetHardware() != tt.model || id.Serial != tt.serial {
			t.Errorf("%s: model %q, serial %q, %v", name, r.GetHardware(), id.Serial, err)
		}
	}
}
