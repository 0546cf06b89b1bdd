package hub

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/amoskys/amoskys/internal/config"
)

func TestConfigTemplateIsTheDefault(t *testing.T) {
	var got Config
	if err := config.Decode("eventbus_config.yaml", ConfigTemplate(), &got, config.DecodeOptions{Env: config.NoEnv}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(DefaultConfig(), got); diff != "" {
		t.Errorf("(-default +template):\n%s", diff)
	}
}

// TestReferenceConfig: the keys of the reference guide, as it writes them.
func TestReferenceConfig(t *testing.T) {
	const text = `
server:  {port: 5000, workers: 4, timeout_seconds: 30}
wal:     {enabled: true, path: data/wal/, rotation_size_mb: 100, retention_days: 7}
tls:     {enabled: true, cert_file: certs/eventbus.crt, key_file: certs/eventbus.key, ca_cert: certs/ca.crt, require_client_auth: true}
metrics: {enabled: true, port: 9090, interval_seconds: 5}
`
	got := DefaultConfig()
	if err := config.Decode("f", []byte(text), &got, config.DecodeOptions{Env: config.NoEnv}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(DefaultConfig(), got); diff != "" {
		t.Errorf("the guide's values are not the defaults (-default +guide):\n%s", diff)
	}
}

func TestConfigFaults(t *testing.T) {
	tests := []struct{ text, want string }{
		{"server: {port: 70000}", "server.port: must be from 0 to 65535"},
		{"server: {prot: 1}", `did you mean "port"?`},
		{"server: {host: 'a b'}", "server.host"},
		{"server: {timeout_seconds: 0}", "server.timeout_seconds"},
		{"server: {workers: x}", "a whole number"},
		{"server: {max_event_kb: 16384, max_message_mb: 1}", "must not be more than server.max_message_mb"},
		{"server: {max_batch_events: 100}", "server.max_batch_events"},
		{"wal: {enabled: false}", "an event is acknowledged only when it is on disk"},
		{"wal: {path: ''}", "wal.path: must not be empty"},
		{"wal: {rotation_size_mb: 2}", "must not be less than server.max_message_mb"},
		{"wal: {retention_days: -1}", "wal.retention_days"},
		{"tls: {enabled: false}", "decided by certificates"},
		{"tls: {require_client_auth: false}", "decided by certificates"},
		{"tls: {cert_file: ' '}", "tls.cert_file: must not be empty"},
		{"metrics: {port: 5000}", "metrics.port: is the same as server.port"},
		{"metrics: {interval_seconds: 0}", "metrics.interval_seconds"},
		{"logging: {level: LOUD}", "valid: DEBUG, INFO, WARNING, ERROR, CRITICAL"},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			c := DefaultConfig()
			err := config.Decode("f", []byte(tt.text), &c, config.DecodeOptions{Env: config.NoEnv})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q in it", err, tt.want)
			}
		})
	}
}

// TestMessageLimit: a batch of an agent always fits, and so does the largest event.
func TestMessageLimit(t *testing.T) {
	for _, tt := range []struct{ eventKB, messageMB, want int }{
		{1024, 16, 1088 << 10},
		{64, 16, 320 << 10},
		{4096, 16, 4160 << 10},
		{1024, 1, 1 << 20},
	} {
		c := ServerConfig{MaxEventKB: tt.eventKB, MaxMessageMB: tt.messageMB}
		if got := c.messageLimit(); got != tt.want {
			t.Errorf("max_event_kb %d, max_message_mb %d: %d, want %d", tt.eventKB, tt.messageMB, got, tt.want)
		}
	}
}

func TestConnectionsFollowFromTheMachine(t *testing.T) {
	for name, tc := range map[string]struct {
		set         int
		memory      int64
		descriptors int
		want        int
	}{
		"set":                {5, 1 << 30, 1 << 20, 5},
		"memory":             {0, 512 << 20, 1 << 20, 2_048},
		"a machine of 8 GiB": {0, 8 << 30, 1 << 20, 32_768},
		"descriptors":        {0, 8 << 30, 4_096, 3_584},
		"very few":           {0, 1 << 20, 100, 64},
		"nothing known":      {0, 0, 0, 8_192},
		"huge":               {0, 1 << 50, 0, 1_000_000},
	} {
		c := ServerConfig{MaxConnections: tc.set}
		if got := c.connections(tc.memory, tc.descriptors); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
}
