package proc

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/amoskys/amoskys/internal/mask"
)

const statTail = " S 1 2 3 34816 4 4194304 10 20 0 0 150 50 7 8 20 0 3 0 12345 1048576 256 18446744073709551615 1 1 7 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 256\n"

func TestParseStat(t *testing.T) {
	want := stat{
		name: "bash", state: 'S', ppid: 1, session: 3, tty: 34816, utime: 150, stime: 50,
		threads: 3, start: 12345, vsize: 1048576, rssPages: 256, image: image{1, 1, 7}, exit: 256,
	}
	named := func(name string) stat {
		s := want
		s.name = name
		return s
	}
	tests := []struct {
		name, line string
		want       stat
		ok         bool
	}{
		{"usual", "42 (bash)" + statTail, want, true},
		{"spaces", "42 (my program)" + statTail, named("my program"), true},
		{"parentheses", "42 (a) R 1 (b))" + statTail, named("a) R 1 (b)"), true},
		{"line break", "42 (a\nb)" + statTail, named("a\uFFFDb"), true},
		{"invalid UTF-8", "42 (\xff\xfe)" + statTail, named("\uFFFD"), true},
		{"empty name", "42 ()" + statTail, named(""), true},
		{"no exit code", "42 (bash) S 1 2 3 34816 4 4194304 10 20 0 0 150 50 7 8 20 0 3 0 12345 1048576 256 1 1", func() stat {
			s := want
			s.exit, s.image = 0, image{}
			return s
		}(), true},
		{"empty", "", stat{}, false},
		{"cut in the name", "42 (ba", stat{}, false},
		{"cut behind the name", "42 (bash)", stat{}, false},
		{"cut in the numbers", "42 (bash) S 1 2 3", stat{}, false},
		{"letters", "42 (bash) S a b c", stat{}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got stat
			ok := parseStat([]byte(tt.line), &got)
			if ok != tt.ok {
				t.Fatalf("ok %v, want %v", ok, tt.ok)
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(stat{}, image{})); ok && diff != "" {
				t.Error(diff)
			}
		})
	}
}

// plain masks nothing.
func plain(args []string) []string { return args }

// TestSecretsAreMaskedWhole, though the command line is cut.
func TestSecretsAreMaskedWhole(t *testing.T) {
	masker, err := mask.New(mask.Rules{})
	if err != nil {
		t.Fatal(err)
	}
	key := "AKIAIOSFODNN7EXAMPLE"
	for _, at := range []int{10, maxCommand - 10, maxCommand - 30, maxRaw - 10, maxRaw + 10} {
		for _, blank := range []string{"\x00", " "} {
			line := "program" + blank + strings.Repeat("x", at) + blank + key + blank + "--token" + blank + "s3cret" + blank + strings.Repeat("y", maxRaw)
			command, args := parseCommand([]byte(line), masker.Args)
			if all := command + strings.Join(args, "|"); strings.Contains(all, "AKIA") || strings.Contains(all, "s3c") {
				t.Errorf("at %d a secret shows", at)
			}
		}
	}
}

func TestParseCommand(t *testing.T) {
	long := strings.Repeat("é", maxCommand)
	tests := []struct {
		name, in, command string
		args              []string
	}{
		{"usual", "ls\x00-l\x00", "ls -l", []string{"ls", "-l"}},
		{"kernel thread", "", "", nil},
		{"one word written over the arguments", "nginx: master process\x00\x00\x00", "nginx: master process", []string{"nginx: master process"}},
		{"empty argument", "a\x00\x00b\x00", "a  b", []string{"a", "", "b"}},
		{"invalid UTF-8", "a\xff\x00", "a\uFFFD", []string{"a\uFFFD"}},
		{"huge", long, strings.Repeat("é", maxCommand/2) + "…", []string{strings.Repeat("é", maxCommand/2) + "…"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			command, args := parseCommand([]byte(tt.in), plain)
			if command != tt.command {
				t.Errorf("command %.40q, want %.40q", command, tt.command)
			}
			if diff := cmp.Diff(tt.args, args); diff != "" {
				t.Errorf("args %s", diff)
			}
		})
	}
	if _, args := parseCommand([]byte(strings.Repeat("x\x00", 10_000)), plain); len(args) != maxArgs {
		t.Errorf("%d arguments are kept, want %d", len(args), maxArgs)
	}
}

func TestParseIDsAndIO(t *testing.T) {
	uid, gid, ok := parseIDs([]byte("Name:\tx\nUid:\t1000\t1001\t1000\t1000\nGid:\t5\t6\t5\t5\n"))
	if uid != 1001 || gid != 6 || !ok {
		t.Errorf("ids %d %d %v", uid, gid, ok)
	}
	if _, _, ok := parseIDs([]byte("Name:\tx\n")); ok {
		t.Error("ids found where there are none")
	}
	r, w, ok := parseIO([]byte("rchar: 9\nwchar: 8\nread_bytes: 4096\nwrite_bytes: 12\ncancelled_write_bytes: 0\n"))
	if r != 4096 || w != 12 || !ok {
		t.Errorf("io %d %d %v", r, w, ok)
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("42 (bash)" + statTail))
	f.Add([]byte("42 (a) R 1 (b))" + statTail))
	f.Add([]byte("1 (\xff\n) Z -1 -1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s stat
		if parseStat(b, &s) && (!utf8.ValidString(s.name) || s.rssPages < 0) {
			t.Errorf("%q gives %+v", b, s)
		}
	})
}

func FuzzParseText(f *testing.F) {
	f.Add([]byte("ls\x00-l\x00"))
	f.Add([]byte("0::/system.slice/docker-" + strings.Repeat("a", 64) + ".scope\n"))
	f.Add([]byte("\nUid:\t1\t2\t3\t4\nGid:\t1\t2\nread_bytes: 5\nwrite_bytes: 6\n"))
	masker, err := mask.New(mask.Rules{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		command, args := parseCommand(b, masker.Args)
		group, in := parseCgroup(b)
		for _, s := range append(args, command, group, in.id, in.pod) {
			if !utf8.ValidString(s) || len(s) > 3*maxCommand+8 {
				t.Errorf("%q gives %q", b, s)
			}
		}
		parseIDs(b)
		parseIO(b)
	})
}
