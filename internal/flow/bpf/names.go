package bpf

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// etherNames are the names that ether proto takes.
func etherNumber(name string) (uint32, bool) {
	switch name {
	case "ip":
		return etherIP, true
	case "ip6":
		return etherIPv6, true
	case "arp":
		return etherARP, true
	case "rarp":
		return etherRARP, true
	case "atalk":
		return etherAppleTalk, true
	case "aarp":
		return etherAARP, true
	case "decnet":
		return etherDECnet, true
	case "lat":
		return etherLAT, true
	case "sca":
		return etherSCA, true
	case "mopdl":
		return etherMOPDL, true
	case "moprc":
		return etherMOPRC, true
	case "loopback":
		return etherLoopback, true
	case "iso":
		return sapISO, true
	case "stp":
		return sapSTP, true
	case "ipx":
		return sapIPX, true
	case "netbeui":
		return sapNetBEUI, true
	default:
		return 0, false
	}
}

// protocolNumber looks up the name of a protocol that in carries.
func protocolNumber(name string, in proto) (uint32, error) {
	switch in {
	case protoAny, protoIP, protoIPv6:
		for _, entry := range entries("/etc/protocols") {
			if slices.Contains(entry.names, name) {
				if n, err := strconv.ParseUint(entry.value, 10, 8); err == nil {
					return uint32(n), nil
				}
			}
		}
		if n, ok := builtinProtocol(name); ok {
			return n, nil
		}
	case protoLink:
		if n, ok := etherNumber(name); ok {
			return n, nil
		}
	case protoISO:
		switch name {
		case "esis":
			return isoESIS, nil
		case "isis":
			return isoISIS, nil
		case "clnp":
			return isoCLNP, nil
		}
	default:
	}
	return 0, fmt.Errorf("no protocol with the name %s is known here; use its number", plain(name))
}

// namedPorts is the condition on a port by its name, or a range of two ports
// by names or numbers.
func (g *generator) namedPorts(name string, q qualifiers) (*cond, error) {
	protocol, err := portProtocol(q.proto)
	if err != nil {
		return nil, err
	}
	if q.kind == kindPort {
		n, of, err := lookUpPort(name, protocol)
		if err != nil {
			return nil, err
		}
		return g.portsOf(of, n, n, false, q.dir)
	}
	left, right, ok := strings.Cut(name, "-")
	if !ok {
		return nil, fmt.Errorf("%s is no range: two ports with - between them make one, such as 6000-6008", plain(name))
	}
	first, _, err := lookUpPort(left, 0)
	if err != nil {
		return nil, err
	}
	last, _, err := lookUpPort(right, 0)
	if err != nil {
		return nil, err
	}
	return g.portsOf(protocol, first, last, true, q.dir)
}

// lookUpPort finds a port by its name or number. of is the protocol to which
// the name belongs, 0 if it is of several; a protocol that was asked for has
// to be it.
func lookUpPort(name string, asked uint32) (port, of uint32, err error) {
	if n, err := strconv.ParseUint(name, 10, 32); err == nil {
		if n > 0xffff {
			return 0, 0, fmt.Errorf("%d is no port: ports end at 65535", n)
		}
		return uint32(n), asked, nil
	}
	tcp, udp := service(name)
	switch {
	case tcp < 0 && udp < 0:
		return 0, 0, fmt.Errorf("no port with the name %s is known here; use its number", plain(name))
	case tcp == udp:
		return uint32(tcp), asked, nil
	case tcp >= 0:
		port, of = uint32(tcp), ipTCP
	default:
		port, of = uint32(udp), ipUDP
	}
	if asked != 0 && asked != of {
		return 0, 0, fmt.Errorf("the port %s is of the other protocol; use its number, which is %d", plain(name), port)
	}
	return port, of, nil
}

// service looks up a service in /etc/services, as tcpdump does, and then among
// those that are known everywhere. A port is -1 where the protocol has none.
func service(name string) (tcp, udp int) {
	tcp, udp = -1, -1
	for _, entry := range entries("/etc/services") {
		if !slices.Contains(entry.names, name) {
			continue
		}
		number, protocol, _ := strings.Cut(entry.value, "/")
		n, err := strconv.ParseUint(number, 10, 16)
		switch {
		case err != nil:
		case protocol == "tcp" && tcp < 0:
			tcp = int(n)
		case protocol == "udp" && udp < 0:
			udp = int(n)
		}
	}
	if tcp < 0 && udp < 0 {
		return builtinService(name)
	}
	return tcp, udp
}

// entry is a line of /etc/services or /etc/protocols: the name and its
// aliases, and the second column.
type entry struct {
	names []string
	value string
}

const (
	// longestTable bounds how many lines of such a file are read.
	longestTable = 20000
)

// entries reads such a file. One that is missing or cannot be read is empty:
// the names that are built in remain.
func entries(path string) []entry {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	var list []entry
	for lines := bufio.NewScanner(f); lines.Scan() && len(list) < longestTable; {
		text, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(text)
		if len(fields) >= 2 {
			list = append(list, entry{names: append([]string{fields[0]}, fields[2:]...), value: fields[1]})
		}
	}
	return list
}
