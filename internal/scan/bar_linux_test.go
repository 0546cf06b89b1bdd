package scan

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// barRuns is how often contenders take turns.
const barRuns = 10

// TestScanBar holds `amoskys scan` against nmap: the same hosts, in turn, the middle of
// ten. SCAN_BAR is the program; `tools/bars.sh scan` sets it. It needs a machine that
// does little else.
func TestScanBar(t *testing.T) {
	program := os.Getenv("SCAN_BAR")
	if program == "" {
		t.Skip("SCAN_BAR is not a program; tools/bars.sh scan sets it")
	}
	if _, err := exec.LookPath("nmap"); err != nil {
		t.Skip("needs the Debian package nmap")
	}
	for _, c := range []struct {
		name          string
		hosts, silent int
		oneIn         int     // packets lost, 0 for none
		most          float64 // our time by nmap's, 0 for no bar
		runs          int
	}{
		{"20 hosts that answer", 20, 0, 0, 1.25, barRuns},
		{"250 hosts that answer", 250, 0, 0, 1.25, barRuns},
		{"20 hosts, 4 of them silent", 20, 4, 0, 0.25, barRuns},
		{"250 hosts, 10 of them silent", 250, 10, 0, 0.25, 3},
		{"20 hosts, 1 packet in 100 lost", 20, 0, 100, 0, barRuns},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBar(t, program, c.hosts, c.silent, c.oneIn)
			var ours, theirs []time.Duration
			for range c.runs {
				took, found, rss := b.ours(b.targets(), "--ports", "1-1000")
				ours = append(ours, took)
				same(t, "ours", found, slices.Clone(b.want))
				if rss > 100e6 {
					t.Errorf("%d bytes of memory", rss)
				}
				took, found = b.nmap("-sS", "-T4", "-n", "-p", "1-1000", strings.ReplaceAll(b.nmapTargets(), " ", ","))
				theirs = append(theirs, took)
				if c.oneIn == 0 {
					same(t, "nmap", found, slices.Clone(b.want))
				} else if !slices.Equal(found, b.want) {
					t.Logf("nmap found %d of %d", len(found), len(b.want))
				}
			}
			b.verdict(ours, theirs, c.most)
		})
	}
	t.Run("ARP sweep of a /24", func(t *testing.T) {
		b := newBar(t, program, 40, 0, 0)
		var ours, theirs []time.Duration
		for range barRuns {
			took, found, _ := b.ours("10.77.0.0/24", "--ports", "")
			ours = append(ours, took)
			if len(found) != 40 {
				t.Errorf("%d hosts", len(found))
			}
			took, found = b.nmap("-sn", "-PR", "-n", "10.77.0.0/24")
			theirs = append(theirs, took)
			if len(found) != 40 {
				t.Errorf("nmap: %d hosts", len(found))
			}
		}
		b.verdict(ours, theirs, 0.2)
	})
}

type bar struct {
	*lab
	program string
	want    []string
}

func newBar(t *testing.T, program string, hosts, silent, oneIn int) *bar {
	b := &bar{program: program}
	if oneIn > 0 {
		b.lab = newLossyLab(t, hosts, oneIn)
	} else {
		b.lab = newLab(t, hosts)
	}
	b.listen(":22", ":80", ":443")
	for i := range hosts {
		if i < silent {
			b.silence(i)
			continue
		}
		for _, p := range []string{"22", "80", "443"} {
			b.want = append(b.want, b.host(i)+":"+p)
		}
	}
	slices.Sort(b.want)
	return b
}

func (b *bar) nmapTargets() string { return fmt.Sprintf("10.77.0.1-%d", b.hosts) }

func (b *bar) run(args ...string) (took time.Duration, out []byte, rss int64) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	var said, wrote bytes.Buffer
	cmd.Stdout, cmd.Stderr = &wrote, &said
	began := time.Now()
	b.scanner.do(cmd.Start)
	if err := cmd.Wait(); err != nil {
		b.t.Fatalf("%v: %v: %s", args, err, said.String())
	}
	return time.Since(began), wrote.Bytes(), residentMost(cmd)
}

// ours runs our program, and gives what is open as "address:port", or the hosts where no
// port is asked.
func (b *bar) ours(targets string, args ...string) (took time.Duration, found []string, rss int64) {
	b.t.Helper()
	took, out, rss := b.run(append([]string{b.program, "scan", targets, "--json", "--no-names", "--no-services"}, args...)...)
	d := json.NewDecoder(bytes.NewReader(out))
	for {
		var h struct {
			IP    string
			Ports []struct{ Port int }
		}
		err := d.Decode(&h)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			b.t.Fatal(err)
		}
		if slices.Contains(args, "") {
			found = append(found, h.IP)
		}
		for _, p := range h.Ports {
			found = append(found, fmt.Sprintf("%s:%d", h.IP, p.Port))
		}
	}
	slices.Sort(found)
	return took, found, rss
}

// nmap runs nmap, likewise.
func (b *bar) nmap(args ...string) (took time.Duration, found []string) {
	b.t.Helper()
	took, out, _ := b.run(append([]string{"nmap", "-oG", "-"}, args...)...)
	port := regexp.MustCompile(`(\d+)/open/tcp`)
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "Host:" {
			continue
		}
		if slices.Contains(args, "-sn") && strings.Contains(line, "Status: Up") && f[1] != "10.77.255.254" {
			found = append(found, f[1])
		}
		for _, m := range port.FindAllStringSubmatch(line, -1) {
			found = append(found, f[1]+":"+m[1])
		}
	}
	slices.Sort(found)
	return took, found
}

func (b *bar) verdict(ours, theirs []time.Duration, most float64) {
	b.t.Helper()
	slices.Sort(ours)
	slices.Sort(theirs)
	a, n := ours[len(ours)/2], theirs[len(theirs)/2]
	ratio := float64(a) / float64(n)
	b.t.Logf("BAR %s: %.2f s (%.2f to %.2f), nmap %.2f s (%.2f to %.2f), ratio %.2f", b.t.Name(), a.Seconds(), ours[0].Seconds(), ours[len(ours)-1].Seconds(),
		n.Seconds(), theirs[0].Seconds(), theirs[len(theirs)-1].Seconds(), ratio)
	if most > 0 && ratio > most {
		b.t.Errorf("%.2f times nmap's time, want at most %.2f", ratio, most)
	}
}

// residentMost is the most memory that a program had, in bytes.
func residentMost(cmd *exec.Cmd) int64 {
	usage, is := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !is {
		return 0
	}
	return usage.Maxrss * 1024
}
