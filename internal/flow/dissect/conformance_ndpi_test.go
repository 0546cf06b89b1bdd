package dissect_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/amoskys/amoskys/internal/flow/dissect"
)

var (
	flowLine = regexp.MustCompile(`(?m)^\s*\d+\s+(TCP|UDP|ICMP|ICMPV6|\S+) (\S+?) (?:<->|->) (\S+?) \[.*$`)
	ports    = regexp.MustCompile(`^(\[?[^\]]*?\]?):(\d+)$`)
	protoTag = regexp.MustCompile(`\[proto: [\d.]+/([^\]]+)\]`)
	sniTag   = regexp.MustCompile(`\[Hostname/SNI: ([^\]]+)\]`)
	ja4Tag   = regexp.MustCompile(`\[JA4: ([^\]]+)\]`)
)

// expected is one flow as nDPI tells it.
type expected struct {
	tuple    dissect.Tuple
	proto    string
	sni, ja4 string
	line     string
}

func parseNDPI(text string) []expected {
	if i := strings.Index(text, "Undetected flows:"); i >= 0 {
		text = text[:i]
	}
	var all []expected
	for _, m := range flowLine.FindAllStringSubmatch(text, -1) {
		tag := protoTag.FindStringSubmatch(m[0])
		if tag == nil {
			continue
		}
		e := expected{proto: tag[1], line: m[0]}
		e.tuple.Protocol = map[string]uint8{"TCP": 6, "UDP": 17, "ICMP": 1, "ICMPV6": 58, "IGMP": 2, "SCTP": 132, "GRE": 47, "ESP": 50, "OSPF": 89, "VRRP": 112}[m[1]]
		if n := port(m[1]); n != 0 {
			e.tuple.Protocol = uint8(n)
		}
		e.tuple.Src, e.tuple.SrcPort = end(m[2])
		e.tuple.Dst, e.tuple.DstPort = end(m[3])
		if x := sniTag.FindStringSubmatch(m[0]); x != nil {
			e.sni = x[1]
		}
		if x := ja4Tag.FindStringSubmatch(m[0]); x != nil {
			e.ja4 = x[1]
		}
		all = append(all, e)
	}
	return all
}

func end(s string) (a [16]byte, p uint16) {
	if m := ports.FindStringSubmatch(s); m != nil && (strings.Count(s, ":") == 1 || strings.HasPrefix(s, "[")) {
		return mapped(m[1]), port(m[2])
	}
	return mapped(s), 0
}

// ndpi compares protocols, server names and JA4 with nDPI's own results.
func (s *scorer) ndpi(dir string) {
	var same, all, unknown, missing, skipped int
	var byPort, byPortSame, ja4Forms int
	var sni, sniSame, ja4, ja4Same int
	wrong := map[string]int{}
	total := map[string]int{}
	for _, out := range s.captures(dir, ".out") {
		b, err := os.ReadFile(out)
		if err != nil {
			s.err = err
			return
		}
		name := strings.TrimSuffix(filepath.Base(out), ".out")
		got, err := flows(strings.TrimSuffix(out, ".out"))
		if err != nil {
			s.say("%s: %v", name, err)
		}
		for _, e := range parseNDPI(string(b)) {
			f := find(got, e.tuple)
			if f == nil {
				missing++
				s.say("%s: no flow %s", name, cut(e.line))
				continue
			}
			app := ""
			var tls *dissect.TLS
			if f.facts != nil {
				app, tls = f.facts.App, f.facts.TLS
			}
			master, _, _ := strings.Cut(e.proto, ".")
			if master != "Unknown" {
				want := names(e.proto)
				if strings.Contains(e.line, "Match by port") {
					byPort++
					if want != nil && slices.Contains(want, app) {
						byPortSame++
					}
					continue
				}
				switch want {
				case nil:
					skipped++
					s.say("%s: skipped %s as we say %q", name, e.proto, app)
				default:
					all++
					total[master]++
					if slices.Contains(want, app) || f.facts != nil && slices.Contains(want, f.facts.Service) {
						same++
					} else {
						wrong[master]++
						if app == "" {
							unknown++
						}
						s.say("%s: want %s got %q %v: %s", name, e.proto, app, f.facts, cut(e.line))
					}
				}
			} else if app != "" && f.facts.Confidence == 1 {
				s.say("%s: unknown to nDPI, we say %s: %s", name, app, cut(e.line))
			}
			if e.ja4 != "" {
				ja4++
				if tls != nil && (tls.JA4 == e.ja4 || asNDPI(tls) == e.ja4) {
					if tls.JA4 != e.ja4 {
						ja4Forms++
					}
					ja4Same++
				} else {
					s.say("%s: JA4 want %s got %v: %s", name, e.ja4, tls, cut(e.line))
				}
			}
			if e.sni != "" && e.ja4 != "" {
				sni++
				if tls != nil && strings.EqualFold(tls.SNI, e.sni) {
					sniSame++
				} else {
					s.say("%s: SNI want %s got %v: %s", name, e.sni, tls, cut(e.line))
				}
			}
		}
	}
	s.scores["ndpi protocol"], s.scores["ndpi server names"], s.scores["ndpi JA4"] = same, sniSame, ja4Same
	fmt.Fprintf(s.out, "ndpi           protocol %d of %d (%.1f%%), %d unnamed; server names %d of %d (%.1f%%); JA4 %d of %d (%.1f%%), %d of them in nDPI's deviating form; %d flows not found, %d of protocols that we do not name; %d named by nDPI by port alone, of which we agree on %d\n",
		same, all, percent(same, all), unknown, sniSame, sni, percent(sniSame, sni), ja4Same, ja4, percent(ja4Same, ja4), ja4Forms, missing, skipped, byPort, byPortSame)
	if s.verbose {
		for _, k := range sorted(wrong) {
			fmt.Fprintf(s.out, "  wrong %-20s %d of %d\n", k, wrong[k], total[k])
		}
	}
}

func cut(s string) string { return strings.TrimSpace(s)[:min(160, len(strings.TrimSpace(s)))] }

func sorted(m map[string]int) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int { return m[b] - m[a] })
	return keys
}

// asNDPI writes our JA4 as nDPI does where it departs from FoxIO's specification:
//   - d stands also where there is no server name;
//   - of the ALPN it takes the first two characters, not the first and the last;
//   - the hash of no extensions is that of an empty text, not zeros;
//   - the version of DTLS is the legacy one, and 0x0100 of an early OpenSSL is s3.
func asNDPI(t *dissect.TLS) string {
	j := []byte(t.JA4)
	if len(j) < 36 {
		return t.JA4
	}
	j[3] = 'd'
	if len(t.ALPN) > 0 && len(t.ALPN[0]) >= 2 {
		copy(j[8:10], t.ALPN[0][:2])
	}
	if string(j[24:]) == "000000000000" {
		copy(j[24:], "e3b0c44298fc")
	}
	if j[0] == 'd' {
		switch string(j[1:3]) {
		case "d3":
			copy(j[1:3], "d2")
		case "00":
			copy(j[1:3], "s3")
		}
	}
	return string(j)
}
