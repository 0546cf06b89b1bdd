package logsql

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/amoskys/amoskys/internal/event"
)

// networkPattern is the filter for addresses inside a network; empty where s names
// none. Addresses in a list are compared as texts, in the form of RFC 5952.
func networkPattern(tg target, s string) string {
	network, err := netip.ParsePrefix(s)
	if err != nil || tg.field != nil && tg.field.Type != event.FieldKeyword {
		return ""
	}
	if tg.kind == targetList {
		return "~" + quote(`"(?:`+addressPattern(network.Masked())+`)"`)
	}
	if network.Addr().Is4() {
		return "ipv4_range(" + quote(s) + ")"
	}
	return "ipv6_range(" + quote(s) + ")"
}

// addressPattern is a regular expression for the addresses of a network.
func addressPattern(network netip.Prefix) string {
	if network.Addr().Is4() {
		return pattern4(network)
	}
	return pattern6(network)
}

func pattern4(network netip.Prefix) string {
	octets, bits := network.Addr().As4(), network.Bits()
	parts := make([]string, 4)
	for i := range parts {
		switch free := (i+1)*8 - bits; {
		case free <= 0:
			parts[i] = strconv.Itoa(int(octets[i]))
		case free >= 8:
			parts[i] = `\d{1,3}`
		default:
			list := make([]string, 0, 1<<free)
			for n := range 1 << free {
				list = append(list, strconv.Itoa(int(octets[i])+n))
			}
			parts[i] = "(?:" + strings.Join(list, "|") + ")"
		}
	}
	return strings.Join(parts, `\.`)
}

// pattern6 lists how the groups that the network fixes can be written: in full, or with
// a run of zeros as "::".
func pattern6(network netip.Prefix) string {
	bytes, bits := network.Addr().As16(), network.Bits()
	if bits == 0 {
		return `[0-9a-f]*:[0-9a-f:.]+`
	}
	fixed := make([]uint16, 0, bits/16)
	for i := range bits / 16 {
		fixed = append(fixed, uint16(bytes[2*i])<<8|uint16(bytes[2*i+1]))
	}
	part := ""
	if rest := bits % 16; rest != 0 {
		i := bits / 16
		part = groupRange(uint16(bytes[2*i])<<8|uint16(bytes[2*i+1]), 16-rest)
	}
	known := len(fixed)
	head := make([]string, known)
	for i, g := range fixed {
		head[i] = strconv.FormatUint(uint64(g), 16)
	}
	zeroPart := part == "" || strings.Contains("|"+part+"|", "|0|")
	var alts []string
	add := func(start string, groups []string, left int) {
		alts = append(alts, start+joinGroups(groups, part, left))
	}
	// No run of zeros begins in the fixed groups.
	add("", head, 8-known)
	for from := 0; from <= known; from++ {
		to := from
		for to < known && fixed[to] == 0 {
			to++
		}
		begin := strings.Join(head[:from], ":") + "::"
		if to-from >= 2 && to < known { // it ends in them
			add(begin, head[to:], 8-known)
		}
		if to < known {
			continue
		}
		if part != "" && to-from >= 2 { // or right behind them
			alts = append(alts, begin+"(?:"+part+")"+rest(8-known-1))
		}
		if first := known + min(len(part), 1); zeroPart && from < 7 { // or later
			alts = append(alts, begin+tail(8-max(first, from+2)))
		}
	}
	return strings.Join(alts, "|")
}

const group = `[0-9a-f]{1,4}`

// joinGroups writes known groups, then one in part of which bits are known, then what
// may follow: groups, or a run of zeros.
func joinGroups(groups []string, part string, left int) string {
	out := strings.Join(groups, ":")
	if part != "" {
		if out != "" {
			out += ":"
		}
		out += "(?:" + part + ")"
		left--
	}
	return out + rest(left)
}

// rest is how an address goes on behind a group: by n groups, of which a run may be
// written as "::".
func rest(n int) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf(`(?:(?::%s){%d}|(?::%s){0,%d}::%s)`, group, n, group, max(n-2, 0), tail(n-2))
}

// tail is what follows "::": at most n groups.
func tail(n int) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf(`(?:%s(?::%s){0,%d})?`, group, group, n-1)
}

// groupRange lists the groups from base whose lowest bits are free.
func groupRange(base uint16, free int) string {
	if free > 8 { // by the leading digit or two: they have four digits
		var list []string
		for n := range 1 << (free - 8) {
			two := fmt.Sprintf("%02x", int(base>>8)+n)
			switch {
			case two == "00":
				list = append(list, `[0-9a-f]{1,2}`, "0")
			case two[0] == '0':
				list = append(list, two[1:]+`[0-9a-f]{2}`)
			default:
				list = append(list, two+`[0-9a-f]{2}`)
			}
		}
		return strings.Join(list, "|")
	}
	var list []string
	for n := range 1 << free {
		list = append(list, strconv.FormatInt(int64(base)+int64(n), 16))
	}
	return strings.Join(list, "|")
}
