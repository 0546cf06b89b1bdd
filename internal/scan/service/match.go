package service

import (
	"maps"
	"slices"
	"strings"
)

// Facts are what a service said, by name: the raw answer to a probe has the probe's
// name, such as "banner"; what a decoder read has dots, such as "http.server". Bytes of
// raw answers are runes of the same number (ISO 8859-1), so that patterns can name
// each of them.
type Facts map[string]string

// maxFact is how many bytes of one fact are kept.
const maxFact = 16 << 10

// put notes a fact; empty ones are none.
func (f Facts) put(name, value string) {
	if value == "" {
		return
	}
	if len(value) > maxFact {
		value = strings.ToValidUTF8(value[:maxFact], "")
	}
	f[name] = value
}

// latin writes bytes as runes of the same number.
func latin(b []byte) string {
	b = b[:min(len(b), maxFact/2)]
	var s strings.Builder
	s.Grow(len(b))
	for _, c := range b {
		s.WriteRune(rune(c))
	}
	return s.String()
}

// octets is the reverse of latin; false where s has runes above 255.
func octets(s string) ([]byte, bool) {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		if r > 255 {
			return nil, false
		}
		b = append(b, byte(r))
	}
	return b, true
}

// printable shortens text for people: control signs become dots, at most limit bytes.
func printable(s string, limit int) string {
	var out strings.Builder
	for _, r := range strings.TrimSpace(s) {
		switch {
		case r == '\r':
			continue
		case r == '\n' || r == '\t':
			r = ' '
		case r < ' ' || r >= 0x7f && r < 0xa0 || r == '\ufffd' || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069:
			r = '.'
		}
		if out.Len()+len(string(r)) > limit {
			break
		}
		out.WriteRune(r)
	}
	return strings.TrimSpace(out.String())
}

// Says is what a fingerprint tells of a service and of its host. In each text ${NAME}
// is what the group NAME of its patterns matched.
type Says struct {
	// Service is the IANA name, such as "ssh".
	Service string `yaml:"service"`
	Product string `yaml:"product"`
	Version string `yaml:"version"`
	// CPE is part, vendor, product and as many more as are known, such as
	// "a:openbsd:openssh"; the version is put behind where it is not there.
	CPE string `yaml:"cpe"`
	// Remarks are for people: "no password".
	Remarks []string `yaml:"remarks"`
	// Of the host.
	OS        string `yaml:"os"`
	OSVersion string `yaml:"os_version"`
	Vendor    string `yaml:"vendor"`
	Model     string `yaml:"model"`
	Class     string `yaml:"class"`
	Hostname  string `yaml:"hostname"`
}

// texts are the fields of s that are texts, by the name of the group that fills each.
func (s *Says) texts() map[string]*string {
	return map[string]*string{
		"service": &s.Service, "product": &s.Product, "version": &s.Version, "cpe": &s.CPE,
		"os": &s.OS, "os_version": &s.OSVersion, "vendor": &s.Vendor, "model": &s.Model,
		"class": &s.Class, "hostname": &s.Hostname,
	}
}

// matches returns what f says of these facts, and false where a pattern fails.
func (f *Fingerprint) matches(facts Facts) (Says, bool) {
	groups := map[string]string{}
	for _, w := range f.when {
		text, ok := facts[w.fact]
		if !ok {
			return Says{}, false
		}
		m := w.pattern.FindStringSubmatch(text)
		if m == nil {
			return Says{}, false
		}
		for i, name := range w.pattern.SubexpNames() {
			if name != "" && m[i] != "" {
				groups[name] = printable(m[i], maxWord)
			}
		}
	}
	s := f.Says
	for name, text := range s.texts() {
		if *text == "" {
			*text = groups[name]
			continue
		}
		*text = strings.TrimSpace(expand(*text, groups))
	}
	s.Remarks = slices.Clone(s.Remarks)
	for i := range s.Remarks {
		s.Remarks[i] = expand(s.Remarks[i], groups)
	}
	s.CPE = CPE(s.CPE, s.Version)
	return s, true
}

// maxWord is how many bytes of what a group matched are kept.
const maxWord = 128

// expand replaces ${NAME}; groups that matched nothing are empty.
func expand(text string, groups map[string]string) string {
	if !strings.Contains(text, "${") {
		return text
	}
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		text = strings.ReplaceAll(text, "${"+name+"}", groups[name])
	}
	for {
		before, rest, ok := strings.Cut(text, "${")
		if !ok {
			return text
		}
		_, after, _ := strings.Cut(rest, "}")
		text = before + after
	}
}

// CPE writes a CPE 2.3 name (NIST IR 7695, section 6.2) from "part:vendor:product", to
// which update and others may be added; version stands where there is none. Empty
// without a product.
func CPE(short, version string) string {
	parts := strings.Split(short, ":")
	if len(parts) < 3 {
		return ""
	}
	if len(parts) == 3 {
		parts = append(parts, version)
	}
	var out strings.Builder
	out.WriteString("cpe:2.3")
	for i := range 11 {
		part := ""
		if i < len(parts) {
			part = parts[i]
		}
		out.WriteString(":" + component(part))
	}
	return out.String()
}

// component quotes what has a meaning in a CPE name; nothing is any.
func component(s string) string {
	if s == "" || s == "*" {
		return "*"
	}
	var out strings.Builder
	for _, r := range strings.ToLower(s) {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '.', r == '-', r == '_':
			out.WriteRune(r)
		case r == ' ':
			out.WriteByte('_')
		case r > ' ' && r < 0x7f:
			out.WriteByte('\\')
			out.WriteRune(r)
		}
	}
	if out.Len() == 0 {
		return "*"
	}
	return out.String()
}
