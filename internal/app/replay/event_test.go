package replay

import (
	"os"
	"path/filepath"
	"testing"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestKeyOf: what events tell of the file is in the key: its bytes, its name, and how it
// is read.
func TestKeyOf(t *testing.T) {
	dir := t.TempDir()
	keys := map[Key]string{}
	for _, c := range []struct{ name, data, how string }{
		{"a.pcap", "x", "geo 1"}, {"b.pcap", "x", "geo 1"}, {"a.pcap", "y", "geo 1"}, {"a.pcap", "x", "geo 2"},
	} {
		path := filepath.Join(dir, c.name)
		if err := os.WriteFile(path, []byte(c.data), 0o600); err != nil {
			t.Fatal(err)
		}
		var twice [2]Key
		for i := range twice {
			k, again, err := KeyOf(path, c.how, func(int64, int64) {})
			if err != nil || !again {
				t.Fatal(again, err)
			}
			twice[i] = k
		}
		if other := keys[twice[0]]; other != "" || twice[0] != twice[1] {
			t.Errorf("%v has the key of %q, or two", c, other)
		}
		keys[twice[0]] = c.name + c.data + c.how
	}
}

// TestCounts: findings are counted apart from flows.
func TestCounts(t *testing.T) {
	b := &batch{finds: []bool{false, true, false, true}}
	var c Counts
	c.take(b, &pb.PublishAck{Accepted: 2, Refused: []*pb.RefusedEvent{{Index: 0}, {Index: 3}}})
	c.take(b, &pb.PublishAck{Duplicate: true})
	if want := (Outcome{Stored: 1, Duplicates: 2, Refused: 1}); c.Outcome != want || c.Findings != want {
		t.Errorf("%+v", c)
	}
}
