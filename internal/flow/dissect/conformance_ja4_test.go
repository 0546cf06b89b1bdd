package dissect_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/amoskys/amoskys/internal/flow/dissect"
)

// ja4 compares with FoxIO's snapshots: JA4 and server name of each stream.
func (s *scorer) ja4(dir string) {
	var same, all, names, sameNames int
	for _, snap := range s.captures(dir, ".snap") {
		b, err := os.ReadFile(snap)
		if err != nil {
			s.err = err
			return
		}
		got, err := flows(strings.TrimSuffix(snap, ".snap"))
		if err != nil {
			s.say("%s: %v", filepath.Base(snap), err)
		}
		for _, block := range strings.Split(string(b), "- stream:")[1:] {
			v := map[string]string{}
			for l := range strings.SplitSeq(block, "\n") {
				if k, val, ok := strings.Cut(strings.TrimSpace(l), ": "); ok {
					v[k] = strings.Trim(val, `"'`)
				}
			}
			if v["ja4"] == "" && v["tls_server_name"] == "" {
				continue
			}
			t := dissect.Tuple{Src: mapped(v["src"]), Dst: mapped(v["dst"]), SrcPort: port(v["src_port"]), DstPort: port(v["dst_port"]), Protocol: 6}
			f := find(got, t)
			if f == nil {
				t.Protocol = 17
				f = find(got, t)
			}
			ja4, sni := "", ""
			if f != nil && f.facts != nil && f.facts.TLS != nil {
				ja4, sni = f.facts.TLS.JA4, f.facts.TLS.SNI
			}
			if v["ja4"] != "" {
				all++
				if v["ja4"] == ja4 {
					same++
				} else {
					s.say("%s: %s:%s JA4 want %s got %s flow %v", filepath.Base(snap), v["src"], v["src_port"], v["ja4"], ja4, f != nil)
				}
			}
			if v["tls_server_name"] != "" {
				names++
				if v["tls_server_name"] == sni {
					sameNames++
				} else {
					s.say("%s: %s:%s name want %s got %s", filepath.Base(snap), v["src"], v["src_port"], v["tls_server_name"], sni)
				}
			}
		}
	}
	s.scores["ja4 JA4"], s.scores["ja4 server names"] = same, sameNames
	fmt.Fprintf(s.out, "ja4            JA4 %d of %d (%.1f%%), server names %d of %d (%.1f%%)\n", same, all, percent(same, all), sameNames, names, percent(sameNames, names))
}

func port(s string) uint16 {
	n, _ := strconv.Atoi(s)
	return uint16(n)
}
