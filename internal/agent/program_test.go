package agent

import (
	"slices"
	"strings"
	"testing"
)

// TestProgramSpans: of what is mapped, those pages are given back that are as in the file.
func TestProgramSpans(t *testing.T) {
	t.Parallel()
	const smaps = `00400000-01000000 r-xp 00000000 fe:00 12 /usr/bin/amoskys
Size:              12288 kB
Private_Dirty:         0 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
01000000-02000000 r--p 00c00000 fe:00 12 /usr/bin/amoskys
Private_Dirty:         0 kB
Anonymous:             0 kB
02000000-02100000 r--p 01c00000 fe:00 12 /usr/bin/amoskys
Private_Dirty:         4 kB
Anonymous:             4 kB
02100000-02200000 rw-p 01d00000 fe:00 12 /usr/bin/amoskys
Private_Dirty:         0 kB
Anonymous:             0 kB
02200000-02300000 rw-p 00000000 00:00 0 
Private_Dirty:         0 kB
Anonymous:             0 kB
7f0000000000-7f0000001000 r--p 00000000 fe:00 13 /usr/lib/locale: odd
Private_Dirty:         0 kB
Anonymous:             0 kB
zz-yy r--p 00000000 fe:00 12 /usr/bin/amoskys
Private_Dirty:         0 kB
Anonymous:             0 kB
`
	want := []span{{0x400000, 0x1000000}, {0x1000000, 0x2000000}}
	if got := programSpans(strings.NewReader(smaps), "/usr/bin/amoskys"); !slices.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
}

// TestProgramGoesOn: a program whose pages were given back goes on.
func TestProgramGoesOn(t *testing.T) {
	t.Parallel()
	letProgramGo()
	if !strings.Contains(strings.Repeat("goes on ", 3), "on goes") {
		t.Error("it does not")
	}
}
