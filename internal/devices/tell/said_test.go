package tell_test

import (
	"strings"
	"testing"

	"github.com/amoskys/amoskys/internal/devices/tell"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestSplitFilter: what asks for marks is taken out of a filter, and all else stays.
func TestSplitFilter(t *testing.T) {
	t.Parallel()
	nobody := (*pb.DeviceMark)(nil)
	noc := &pb.DeviceMark{Known: true, Owner: "NOC team", Tags: []string{"Rack4"}, Note: "spare disk"}
	for _, tt := range []struct {
		filter, rest string
		of           *pb.DeviceMark
		takes        bool
	}{
		{"", "", nobody, true},
		{"class:printer  hp", "class:printer  hp", nobody, true},
		{"owner:noc", "", noc, true},
		{"owner:noc", "", nobody, false},
		{"-owner:noc", "", nobody, true},
		{`owner:"noc team" up:true`, "up:true", noc, true},
		{`owner:""`, "", nobody, true},
		{`owner:""`, "", noc, false},
		{`-owner:""`, "", noc, true},
		{"tag:rack4 class:switch", "class:switch", noc, true},
		{"tag:rack", "", noc, false}, // a tag is whole
		{"device.tags:RACK4", "", noc, true},
		{`tag:""`, "", nobody, true},
		{"known:false", "", nobody, true},
		{"known:no", "", noc, false},
		{"Known:YES note:disk", "", noc, true},
		{"known:true tag:other", "", noc, false},
		{`vendor:"a owner:b"`, `vendor:"a owner:b"`, nobody, true}, // in quotes it is a word
		{`"owner:noc"`, `"owner:noc"`, nobody, true},
		{`-"known:true x" fe80::1`, `-"known:true x" fe80::1`, nobody, true},
		{"owners:x", "owners:x", nobody, true}, // the store says that there is no such fact
	} {
		rest, said, err := tell.SplitFilter(tt.filter)
		if err != nil || rest != tt.rest || said.Takes(tt.of) != tt.takes || said.Asks() != (rest != strings.TrimSpace(tt.filter)) {
			t.Errorf("%s: rest %q, takes %t, %v", tt.filter, rest, said.Takes(tt.of), err)
		}
	}
	for _, bad := range []string{"owner:", "known:", `known:""`, "known:perhaps", `tag:"x`, strings.Repeat("tag:x ", 33)} {
		if rest, _, err := tell.SplitFilter(bad); err == nil {
			t.Errorf("%s is taken, with the rest %q", bad, rest)
		}
	}
}

// FuzzSplitFilter: what people type is split or refused.
func FuzzSplitFilter(f *testing.F) {
	for _, seed := range []string{"", `owner:"a b" x`, `-tag:x known:no "`, "note:\xff -", `vendor:"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, filter string) {
		rest, said, err := tell.SplitFilter(filter)
		if err != nil {
			return
		}
		said.Takes(nil)
		again, more, err := tell.SplitFilter(rest)
		if err != nil || more.Asks() || again != rest {
			t.Errorf("%q: the rest %q is split again: %q, %v", filter, rest, again, err)
		}
	})
}
