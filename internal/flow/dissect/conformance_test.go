package dissect_test

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/amoskys/amoskys/internal/flow/capture"
	"github.com/amoskys/amoskys/internal/flow/dissect"
	"github.com/amoskys/amoskys/internal/flow/packet"
)

// TestConformance prints scores and fails where one is below its floor; it needs the folder that CORPORA names.
//
//	CORPORA=../shared/corpora go test -run TestConformance ./internal/flow/dissect
//
// CORPORA_VERBOSE=1 prints each difference, CORPORA_ONLY=NAME reads fewer files.
func TestConformance(t *testing.T) {
	corpora := os.Getenv("CORPORA")
	if corpora == "" {
		t.Skip("make conformance sets CORPORA to the folder of the public corpora")
	}
	s := scorer{verbose: os.Getenv("CORPORA_VERBOSE") != "", only: os.Getenv("CORPORA_ONLY"), out: os.Stdout, scores: map[string]int{}}
	s.ja4(filepath.Join(corpora, "ja4"))
	s.ndpi(filepath.Join(corpora, "ndpi"))
	if s.err != nil {
		t.Error(s.err)
	}
	if s.only != "" {
		return
	}
	for what, least := range scoreFloors() {
		if got := s.scores[what]; got < least {
			t.Errorf("%s: %d, the floor is %d", what, got, least)
		}
	}
}

// scoreFloors are how many answers were right when the last change of them landed: a
// change may raise them, and a lower score is a regression.
func scoreFloors() map[string]int {
	return map[string]int{
		"ja4 JA4": 87, "ja4 server names": 88,
		"ndpi protocol": 1122, "ndpi server names": 138, "ndpi JA4": 175,
	}
}

type scorer struct {
	scores  map[string]int // how many are right
	verbose bool
	only    string
	out     io.Writer
	err     error
}

func (s *scorer) say(format string, args ...any) {
	if s.verbose {
		fmt.Fprintf(s.out, format+"\n", args...)
	}
}

// flow is one conversation of a capture.
type flow struct {
	tuple dissect.Tuple
	facts *dissect.Facts
	state *dissect.State
	done  bool
}

// key is a tuple in which the lesser end comes first.
func key(t dissect.Tuple) dissect.Tuple {
	if string(t.Src[:]) > string(t.Dst[:]) || t.Src == t.Dst && t.SrcPort > t.DstPort {
		t.Src, t.Dst, t.SrcPort, t.DstPort = t.Dst, t.Src, t.DstPort, t.SrcPort
	}
	return t
}

// flows reads a capture.
func flows(path string) ([]*flow, error) {
	src, err := capture.OpenFile(path)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	var d packet.Decoder
	var f packet.Frame
	var p packet.Packet
	e := dissect.New(dissect.Options{})
	table := map[dissect.Tuple]*flow{}
	var all []*flow
	var readErr error
	for {
		if err := src.Next(&f); err != nil {
			if !errors.Is(err, io.EOF) {
				err = fmt.Errorf("read %s: %w", path, err)
			} else {
				err = nil
			}
			readErr = err
			break
		}
		if err := d.Decode(&f, &p); err != nil || p.Version == 0 {
			continue
		}
		t := dissect.Tuple{Src: p.Src, Dst: p.Dst, SrcPort: p.SrcPort, DstPort: p.DstPort, Protocol: p.Protocol}
		k := key(t)
		fl := table[k]
		if fl == nil {
			if p.Protocol == 6 && p.Flags&packet.SYN != 0 && p.Flags&packet.ACK != 0 {
				t.Src, t.Dst, t.SrcPort, t.DstPort = t.Dst, t.Src, t.DstPort, t.SrcPort
			}
			fl = &flow{tuple: t, state: e.Begin(t)}
			table[k] = fl
			all = append(all, fl)
		}
		dir := dissect.FromInitiator
		if p.Src != fl.tuple.Src || p.SrcPort != fl.tuple.SrcPort {
			dir = dissect.FromResponder
		}
		if !fl.done {
			fl.done = e.Inspect(fl.state, dir, &p) == dissect.Done
		}
	}
	for _, fl := range all {
		fl.facts = e.End(fl.state)
	}
	return all, readErr
}

func mapped(s string) packet.Addr {
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		return packet.Addr{}
	}
	return packet.Addr(a.As16())
}

func find(all []*flow, k dissect.Tuple) *flow {
	k = key(k)
	for _, f := range all {
		if key(f.tuple) == k {
			return f
		}
	}
	return nil
}

func (s *scorer) captures(dir, end string) []string {
	files, _ := filepath.Glob(filepath.Join(dir, "*"+end))
	slices.Sort(files)
	return slices.DeleteFunc(files, func(f string) bool { return s.only != "" && !strings.Contains(filepath.Base(f), s.only) })
}

func percent(a, b int) float64 {
	if b == 0 {
		return 100
	}
	return 100 * float64(a) / float64(b)
}
