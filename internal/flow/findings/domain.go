package findings

import (
	"math"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/amoskys/amoskys/internal/flow/dissect"
	"github.com/amoskys/amoskys/internal/flow/packet"
)

type tunnelKey struct {
	source packet.Addr
	domain string
}

// tunnel is what one source asked about the names of one registered domain.
type tunnel struct {
	start     int64
	questions int
	bytes     int // of what stands before the registered domain
	longest   int // label
	names     sketch
	letters   [37]uint32 // a to z, 0 to 9, others
}

// guessing is which registered domains that do not exist one source asked for.
type guessing struct {
	start   int64
	missing sketch
	absent  int // names without a bit of another in missing
	found   int
	score   float64 // sum over absent
	example string
}

// domain judges a question and its answer. An answer that nobody asked for says nothing
// about its receiver.
func (w *Watch) domain(t dissect.Tuple, d *dissect.DNS) {
	name := strings.ToLower(strings.TrimSuffix(d.Query, "."))
	if !d.Asked || d.Multicast || len(name) < 4 || strings.HasSuffix(name, ".arpa") || w.trustsDomain(name) {
		return
	}
	registered, err := publicsuffix.EffectiveTLDPlusOne(name)
	if err != nil {
		return
	}
	w.guess(t, d, registered)
	if sub := strings.TrimSuffix(strings.TrimSuffix(name, registered), "."); sub != "" {
		w.carry(t, sub, registered)
	}
}

func (w *Watch) trustsDomain(name string) bool {
	return slices.ContainsFunc(w.cfg.DNSTunnel.TrustedDomains, func(d string) bool {
		return name == d || strings.HasSuffix(name, "."+d)
	})
}

// carry judges whether names carry data: many that were never asked before, long, and
// of letters as even as those of coded bytes.
func (w *Watch) carry(t dissect.Tuple, sub, registered string) {
	c := &w.cfg.DNSTunnel
	s, fresh := w.tunnels.Use(tunnelKey{t.Src, registered})
	if fresh || w.elapsed(s.start, seconds(c.WindowSeconds)) {
		*s = tunnel{start: w.now}
	}
	s.questions++
	s.bytes += len(sub)
	s.names.add(hashText(sub))
	for label := range strings.SplitSeq(sub, ".") {
		s.longest = max(s.longest, len(label))
		for i := range len(label) {
			s.letters[letter(label[i])]++
		}
	}
	names, mean, entropy := s.names.count(), float64(s.bytes)/float64(s.questions), entropyOf(s.letters[:])
	if names < c.Names || mean < float64(c.MeanLength) || entropy < c.EntropyBits || 2*names < min(s.questions, sketchFull) {
		return
	}
	w.raise(sighting{
		subject: subject{kind: DNSTunnel, source: t.Src, name: registered},
		against: t.Dst, port: t.DstPort, protocol: t.Protocol, count: uint64(s.questions), more: 1,
		numbers: [4]float64{float64(names), mean, entropy, float64(s.longest)},
	})
}

func letter(c byte) int {
	switch {
	case c >= 'a' && c <= 'z':
		return int(c - 'a')
	case c >= '0' && c <= '9':
		return 26 + int(c-'0')
	}
	return 36
}

// entropyOf is Shannon's, in bits a character.
func entropyOf(counts []uint32) float64 {
	total := 0.0
	for _, n := range counts {
		total += float64(n)
	}
	bits := 0.0
	for _, n := range counts {
		if n > 0 {
			p := float64(n) / total
			bits -= p * math.Log2(p)
		}
	}
	return bits
}

// guess judges whether a source tries domains that a program makes up, until one
// exists.
func (w *Watch) guess(t dissect.Tuple, d *dissect.DNS, registered string) {
	c := &w.cfg.DGA
	s, fresh := w.guesses.Use(t.Src)
	if fresh || w.elapsed(s.start, seconds(c.WindowSeconds)) {
		*s = guessing{start: w.now}
	}
	switch d.Response {
	case "NOERROR":
		s.found++
		return
	case "NXDOMAIN":
	default:
		return
	}
	before := s.missing
	s.missing.add(hashText(registered))
	if s.missing == before {
		return
	}
	label, _, _ := strings.Cut(registered, ".")
	s.absent++
	s.score += randomness(label)
	s.example = registered
	n, mean := s.missing.count(), s.score/float64(s.absent)
	if n < c.Domains || !mostly(n, s.found, c.MissingShare) || mean < c.Randomness {
		return
	}
	w.raise(sighting{
		subject: subject{kind: GeneratedDomains, source: t.Src},
		against: t.Dst, port: t.DstPort, protocol: t.Protocol, method: s.example, count: uint64(n), more: 1,
		numbers: [4]float64{float64(n), mean, float64(s.found), float64(w.now-s.start) / float64(time.Second)},
	})
}

// randomness is how little a label looks like words, 0 to 1: by its share of vowels, by
// its longest run of consonants, and by how often letters and digits take turns. Short
// labels say nothing.
func randomness(label string) float64 {
	const short = 7
	if len(label) < short || strings.HasPrefix(label, "xn--") {
		return 0
	}
	var vowels, letters, digits, run, longest, turns int
	digitBefore := false
	for i := range len(label) {
		c := label[i]
		digit := c >= '0' && c <= '9'
		if i > 0 && digit != digitBefore {
			turns++
		}
		digitBefore = digit
		switch {
		case digit:
			digits++
			run = 0
		case strings.IndexByte("aeiouy", c) >= 0:
			vowels++
			letters++
			run = 0
		case c >= 'a' && c <= 'z':
			letters++
			run++
			longest = max(longest, run)
		default:
			run = 0
		}
	}
	score := 0.0
	if share := float64(vowels) / float64(max(1, letters)); share < 0.27 || share > 0.65 {
		score += 0.4
	}
	switch {
	case longest >= 5:
		score += 0.4
	case longest == 4:
		score += 0.25
	}
	if turns >= 3 || digits > letters {
		score += 0.4
	}
	return min(1, score)
}
