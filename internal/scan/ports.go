package scan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ParsePorts reads ports as "22,80,8000-8100"; "-" is all and "" none. Order and
// doubles do not matter.
func ParsePorts(text string) ([]uint16, error) {
	var set [1 << 16]bool
	if text = strings.TrimSpace(text); text == "-" {
		text = "1-65535"
	}
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		from, to, is := strings.Cut(part, "-")
		if !is {
			to = from
		}
		first, err1 := strconv.ParseUint(strings.TrimSpace(from), 10, 16)
		last, err2 := strconv.ParseUint(strings.TrimSpace(to), 10, 16)
		if err1 == nil && err2 == nil && last < first {
			return nil, fmt.Errorf("ports %q: a range begins with its lower end: write %d-%d", part, last, first)
		}
		if err1 != nil || err2 != nil || first == 0 {
			return nil, fmt.Errorf("ports %q: want numbers from 1 to 65535 and ranges of them, such as 22,80,8000-8100", part)
		}
		for p := first; p <= last; p++ {
			set[p] = true
		}
	}
	var ports []uint16
	for p, in := range set {
		if in {
			ports = append(ports, uint16(p))
		}
	}
	return ports, nil
}

// FormatPorts is the reverse of ParsePorts for ports in ascending order.
func FormatPorts(ports []uint16) string {
	var b strings.Builder
	for i := 0; i < len(ports); {
		j := i
		for j+1 < len(ports) && ports[j+1] == ports[j]+1 {
			j++
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(int(ports[i])))
		if j > i {
			b.WriteString("-" + strconv.Itoa(int(ports[j])))
		}
		i = j + 1
	}
	return b.String()
}

// frequentPorts are those that are open most often, so that a scan learns soon which
// hosts answer at all.
func frequentPorts() []uint16 {
	return []uint16{80, 443, 22, 445, 139, 135, 3389, 8080, 53, 21, 23, 25, 8443, 9100, 515, 631, 5900, 554, 3306, 5432, 161, 111, 110, 143, 993, 587, 389, 88, 1883, 5000}
}

// portOrder puts the frequent ones first and spreads the others, so that a host's
// neighbours in number are not asked one after the other, as many guards watch for.
func portOrder(ports []uint16) []uint16 {
	out := make([]uint16, 0, len(ports))
	var first [1 << 16]bool
	for _, p := range frequentPorts() {
		if _, in := slices.BinarySearch(ports, p); in {
			out = append(out, p)
			first[p] = true
		}
	}
	rest := make([]uint16, 0, len(ports))
	for _, p := range ports {
		if !first[p] {
			rest = append(rest, p)
		}
	}
	// A stride that has no factor in common with the number of ports meets each once.
	n := len(rest)
	stride := n*382/1000 | 1
	for n > 0 && gcd(stride, n) != 1 {
		stride++
	}
	for i, at := 0, 0; i < n; i++ {
		out = append(out, rest[at])
		at = (at + stride) % n
	}
	return out
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
