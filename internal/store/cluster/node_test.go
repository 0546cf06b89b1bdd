package cluster

import (
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/store/vlogs"
)

// TestNodeIsRead: what a node's page /metrics tells, and what is told of a node that cannot
// be used.
func TestNodeIsRead(t *testing.T) {
	const good = `vl_partitions 3
vl_storage_rows{type="storage/small"} 5
vl_storage_rows{type="storage/big"} 7
vl_data_size_bytes{type="storage"} 100
vl_data_size_bytes{type="indexdb"} 20
vl_free_disk_space_bytes{path="/d"} 1e6
process_start_time_seconds 1700000000
vm_app_version{version="victoria-logs-20260101-tags-v1.52.1-0-gabc", short_version="v1.52.1"} 1
`
	for name, tt := range map[string]struct {
		more string
		up   bool
		want string
	}{
		"well":             {"", true, ""},
		"full":             {`vl_storage_is_read_only{path="/d"} 1`, true, "takes no rows"},
		"newer":            {`vm_app_version{version="x", short_version="v1.60.0"} 1`, true, "of version v1.60.0"},
		"older":            {`vm_app_version{version="x", short_version="v1.40.2"} 1`, true, ""},
		"keeps a week":     {`flag{name="retentionPeriod", value="7d", is_set="true"} 1`, false, "keeps events for 7d"},
		"keeps two months": {`flag{name="retentionPeriod", value="2", is_set="true"} 1`, true, ""},
		"keeps for ever":   {`flag{name="retentionPeriod", value="1000y", is_set="true"} 1`, true, ""},
		"deletes nothing":  {`flag{name="delete.enable", value="false", is_set="false"} 1`, false, "-delete.enable"},
	} {
		t.Run(name, func(t *testing.T) {
			text := good
			if metric, _, _ := strings.Cut(tt.more, "{"); metric == "vm_app_version" {
				text, _, _ = strings.Cut(good, "vm_app_version")
			}
			var s Node
			s.read(vlogs.ParseMetrics([]byte(text+tt.more+"\n")), 30*24*time.Hour)
			if s.Up != tt.up || tt.want == "" != (s.Reason == "") || !strings.Contains(s.Reason, tt.want) {
				t.Errorf("%+v", s)
			}
			if s.Rows != 12 || s.Bytes != 120 || s.FreeBytes != 1e6 {
				t.Errorf("%+v", s)
			}
		})
	}
	var other Node
	other.read(vlogs.ParseMetrics([]byte("go_goroutines 3\n")), 0)
	if other.Up || !strings.Contains(other.Reason, "no storage node") {
		t.Errorf("%+v", other)
	}
}

// FuzzNode: no page of another program ends ours.
func FuzzNode(f *testing.F) {
	f.Add([]byte("vl_partitions 1\nflag{name=\"retentionPeriod\", value=\"7d\"} 1\n"))
	f.Add([]byte("vl_partitions NaN\nvm_app_version{short_version=\"v1.\"} 1\nvl_storage_rows{} -1e300\n"))
	f.Fuzz(func(_ *testing.T, page []byte) {
		var s Node
		s.read(vlogs.ParseMetrics(page), time.Hour)
	})
}
