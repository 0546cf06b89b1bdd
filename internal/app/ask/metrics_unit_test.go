package ask

import "testing"

// TestUnitOf: values have the unit of what they are of, where that is plain.
func TestUnitOf(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		query string
		value float64
		want  string
	}{
		{"process_memory_bytes", 18_661_376, "17.8 MiB"},
		{"topk(5, sum by (host) (process_memory_bytes)) > 7", 1500, "1.5 KiB"},
		{"sum by (host) (rate(snmp_interface_bytes_in[5m]))", 6475, "6.3 KiB/s"},
		{"process_cpu_percent and topk(3, process_cpu_percent @ end())", 12.5, "12.5%"},
		{"max_over_time(eventbus_latency_ms[1h:1m])", 3, "3 ms"},
		{"count(process_memory_bytes)", 18_661_376, "18661376"},
		{"process_memory_bytes / 2", 3, "3"},
		{"rate(amoskys_agent_events_total[5m])", 2.5, "2.5/s"},
		{"process_memory_bytes > bool 5", 1, "1"},
		{"nobody_knows", 4, "4"},
		{"(", 4, "4"},
	} {
		if got := inUnit(tt.value, unitOf(tt.query)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.query, got, tt.want)
		}
	}
}
