package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/amoskys/amoskys/internal/identity/hostname"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// maxHostIPs bounds the addresses that each event carries.
const maxHostIPs = 4

// Machine describes this machine for Event.host. Its name is what the system says,
// which only stands where no certificate says otherwise. The id is the machine id of
// systemd or dbus, hashed because machine-id(5) asks not to show it; without one
// it is made from the host name.
func Machine() *pb.Host {
	name, err := os.Hostname()
	if err != nil || name == "" {
		name = "unknown"
	}
	return &pb.Host{
		Name: hostname.Normal(strings.ToValidUTF8(name, "_")), Id: hostID(machineID(), name), Ip: hostIPs(),
		OsType: runtime.GOOS, OsVersion: osVersion(), Arch: runtime.GOARCH,
	}
}

// MachineNamed is Machine under the name that a certificate gives it. In a container,
// which has no machine id and a new host name each time it is made, the id is made from
// that name, so that it outlasts the container and is that of all agents of the host.
func MachineNamed(name string) *pb.Host {
	h := Machine()
	h.Name = name
	if machineID() == "" {
		h.Id = hostID("", name)
	}
	return h
}

// hostID is the id of the host with this machine id, and this name where it has none.
func hostID(machine, name string) string {
	if machine == "" {
		machine = "name:" + name
	}
	sum := sha256.Sum256([]byte("amoskys host\x00" + machine))
	return hex.EncodeToString(sum[:16])
}

func machineID() string {
	for _, file := range []string{"/etc/machine-id", "/var/lib/dbus/machine-id"} {
		if text, err := os.ReadFile(file); err == nil && len(strings.TrimSpace(string(text))) >= 32 {
			return strings.TrimSpace(string(text))
		}
	}
	return ""
}

// osVersion is PRETTY_NAME of os-release(5), or empty.
func osVersion() string {
	text, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
			return strings.ToValidUTF8(strings.Trim(value, `"'`), "")
		}
	}
	return ""
}

// current is h, or a copy of it with what has changed since: the addresses, as when a
// machine gets its own after the agent has started or moves to another network, and
// the version of the system. Name and id stay for the life of an agent.
func current(h *pb.Host, ips []string, version string) *pb.Host {
	if slices.Equal(h.GetIp(), ips) && h.GetOsVersion() == version {
		return h
	}
	fresh := proto.CloneOf(h)
	fresh.Ip, fresh.OsVersion = ips, version
	return fresh
}

// hostIPs are this machine's addresses that others can reach, IPv4 first.
func hostIPs() []string {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var v4, v6 []string
	for _, a := range addrs {
		ipnet, ok := a.(*net.IPNet)
		if !ok || !ipnet.IP.IsGlobalUnicast() {
			continue
		}
		if ipnet.IP.To4() != nil {
			v4 = append(v4, ipnet.IP.String())
		} else {
			v6 = append(v6, ipnet.IP.String())
		}
	}
	all := append(v4, v6...)
	return all[:min(len(all), maxHostIPs)]
}
