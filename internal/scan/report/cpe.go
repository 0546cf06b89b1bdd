package report

import "strings"

// formatted makes a CPE in the form of a URI, "cpe:/a:f5:nginx:1.22.1" as nmap writes it,
// one of version 2.3 as ours are (NIST IR 7695, sections 6.1 and 6.2). What is in that form
// already, or in none, stays. The parts that pack several into one ("~") are left out.
func formatted(cpe string) string {
	rest, is := strings.CutPrefix(cpe, "cpe:/")
	if !is || rest == "" {
		return cpe
	}
	parts := strings.Split(rest, ":")
	out := make([]string, 11)
	for i := range out {
		out[i] = "*"
		if i < len(parts) && parts[i] != "" && !strings.HasPrefix(parts[i], "~") {
			out[i] = strings.ReplaceAll(parts[i], "%", `\%`)
		}
	}
	return "cpe:2.3:" + strings.Join(out, ":")
}

// uri is the reverse, for what reads nmap's XML: part, vendor, product, version, update,
// edition and language, up to the last that is known.
func uri(cpe string) string {
	rest, is := strings.CutPrefix(cpe, "cpe:2.3:")
	if !is || strings.Contains(rest, `\:`) {
		return cpe // a part with a colon has no short form that readers agree on
	}
	parts := strings.Split(rest, ":")
	parts = parts[:min(len(parts), 7)]
	for i, p := range parts {
		if p == "*" || p == "-" {
			p = ""
		}
		parts[i] = strings.ReplaceAll(p, `\`, "")
	}
	return "cpe:/" + strings.TrimRight(strings.Join(parts, ":"), ":")
}
