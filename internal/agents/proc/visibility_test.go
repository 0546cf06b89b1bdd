package proc

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestProcOptions(t *testing.T) {
	const plainProc = "22 27 0:21 / /proc rw,nosuid,relatime shared:5 master:1 - proc proc rw\n"
	tests := []struct {
		name, mounts, hidepid, gid string
		subset                     bool
	}{
		{"usual", plainProc, "", "0", false},
		{"numbers", "22 27 0:21 / /proc rw - proc proc rw,hidepid=2,gid=4\n", "2", "4", false},
		{"words", "22 27 0:21 / /proc rw shared:5 - proc proc rw,gid=26,hidepid=invisible\n", "invisible", "26", false},
		{"off", "22 27 0:21 / /proc rw - proc proc rw,hidepid=off\n", "", "0", false},
		{"processes alone", "22 27 0:21 / /proc rw - proc proc rw,hidepid=ptraceable,subset=pid\n", "ptraceable", "0", true},
		{"mounted over", "22 27 0:21 / /proc rw - proc proc rw,hidepid=2\n" + plainProc, "", "0", false},
		{"another mount", "22 27 0:21 / /jail/proc rw - proc proc rw,hidepid=2\n" + plainProc, "", "0", false},
		{"no proc", "22 27 0:21 / /proc rw - tmpfs tmpfs rw,hidepid=2\n", "", "0", false},
		{"source without options", "22 27 0:21 / /proc rw - proc proc\n", "", "0", false},
		{"cut", "22 27 0:21 / /proc rw", "", "0", false},
		{"nothing", "", "", "0", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			hidepid, gid, subset := readOptions(procOptions([]byte(tt.mounts), "/proc"))
			if hidepid != tt.hidepid || gid != tt.gid || subset != tt.subset {
				t.Errorf("hidepid %q gid %q subset %v, want %q %q %v", hidepid, gid, subset, tt.hidepid, tt.gid, tt.subset)
			}
		})
	}
}

// TestWhatIsNotSeenIsSaid, until it is seen.
func TestWhatIsNotSeenIsSaid(t *testing.T) {
	tests := []struct {
		name          string
		sight         sight
		hidden, total int
		want          string // part of it; "" for none
	}{
		{"all", sight{all: true}, 0, 100, ""},
		{"own processes alone, and there are no others", sight{user: 7}, 0, 5, ""},
		{"a plain user", sight{user: 7, remedy: "sudo this"}, 60, 100, "60 of 100 processes hide their program, folder and exit code from user 7: sudo this"},
		{"hidepid", sight{user: 7, hidepid: "invisible", remedy: "sudo this"}, 0, 3, "hidepid=invisible, which hides other users' processes from user 7: sudo this"},
		{"one that nobody may read", sight{all: true}, 1, 100, ""},
		{"another user namespace", sight{all: true}, 90, 100, "run the agent on the host"},
		{"processes alone", sight{all: true, subset: true}, 0, 9, "subset=pid"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.sight.blind(tt.hidden, tt.total)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("said %v, want %q", err, tt.want)
			}
		})
	}

	f, a, r := newFake(t, DefaultConfig().Monitoring)
	var said []string
	a.o.Condition = func(name string, err error) {
		if name == "visibility" && err != nil {
			said = append(said, err.Error())
		}
	}
	f.seen = sight{user: 7, remedy: "sudo this"}
	f.add(1, 0, "init", 1).facts.hidden = true
	f.add(2, 0, "own", 2)
	f.add(3, 0, "denied", 3).denied = true
	f.add(4, 2, "kthread", 4).stat.vsize = 0
	step(t, a, r, true)
	delete(f.processes, 1)
	delete(f.processes, 3)
	step(t, a, r, true)
	f.add(1, 0, "init", 10)
	want := []string{"2 of 3 processes hide their program, folder and exit code from user 7: sudo this"}
	step(t, a, r, true)
	if diff := cmp.Diff(want, said); diff != "" {
		t.Error(diff)
	}
}

func FuzzMountinfo(f *testing.F) {
	f.Add([]byte("22 27 0:21 / /proc rw,relatime shared:5 - proc proc rw,hidepid=invisible,gid=4\n"))
	f.Fuzz(func(t *testing.T, mounts []byte) {
		hidepid, _, _ := readOptions(procOptions(mounts, "/proc"))
		if len(hidepid) > maxName+len("…") || !utf8.ValidString(hidepid) {
			t.Errorf("hidepid %q", hidepid)
		}
	})
}

func FuzzCgroup(f *testing.F) {
	f.Add([]byte("0::/system.slice/docker-" + strings.Repeat("a", 64) + ".scope\n"))
	f.Add([]byte("1:name=systemd:/kubepods/pod91a8fc3a-0ecf-48b4-81bf-78a7275d348c/" + strings.Repeat("a", 64) + "\n"))
	f.Add([]byte("0::/machine.slice/systemd-nspawn@web\\x2d1.service/payload\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, in := parseCgroup(b)
		if !utf8.ValidString(in.id) || len(in.id) > maxPath+len("…") || in.id == "" && in.pod != "" {
			t.Errorf("%q gives %+v", b, in)
		}
	})
}
