package synth

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// fleet is the made-up place that events come from.
type fleet struct {
	hosts []*host
	users []*pb.User
}

// host is one made-up machine.
type host struct {
	msg   *pb.Host
	ip    string
	mac   string
	class string
	pid   uint32
	shell *pb.Process
}

// Blocks that are reserved for documentation. The fleet lives in the first; the
// others are the world outside.
const (
	insideBlock  = "192.0.2."        // TEST-NET-1, RFC 5737
	outsideBlock = "198.51.100."     // TEST-NET-2
	hostileBlock = "203.0.113."      // TEST-NET-3
	outsideV6    = "2001:db8::"      // RFC 3849
	macBlock     = "00:00:5e:00:53:" // RFC 7042
)

func newFleet(rng *rand.Rand, n int, start time.Time) *fleet {
	classes := []string{"web", "db", "laptop", "build", "mail", "printer", "nas", "vpn"}
	systems := []string{"linux", "linux", "darwin", "linux", "linux", "linux", "linux", "linux"}
	f := &fleet{}
	for i, name := range []string{"root", "alice", "bob", "carol", "dave", "erin", "frank", "grace"} {
		id := strconv.Itoa(1000 + i)
		if name == "root" {
			id = "0"
		}
		f.users = append(f.users, &pb.User{Name: name, Uid: id, Gid: id, GroupName: name})
	}
	for i := range n {
		class := classes[i%len(classes)]
		h := &host{
			class: class, ip: insideBlock + strconv.Itoa(i+10), mac: macBlock + fmt.Sprintf("%02x", i+16),
			pid: uint32(1000 + rng.IntN(3000)),
		}
		h.msg = &pb.Host{
			Name: fmt.Sprintf("%s-%02d.example.com", class, i/len(classes)+1), Id: fmt.Sprintf("%016x", rng.Uint64()),
			Ip: []string{h.ip}, OsType: systems[i%len(systems)], Arch: "amd64",
		}
		h.shell = h.process("bash", "/bin/bash", []string{"bash"}, f.users[1+i%(len(f.users)-1)], start)
		f.hosts = append(f.hosts, h)
	}
	return f
}

// process makes a process with the next pid of its host.
func (h *host) process(name, exe string, args []string, user *pb.User, at time.Time) *pb.Process {
	h.pid++
	return &pb.Process{
		Pid: h.pid, Uid: fmt.Sprintf("%s-%08x", h.msg.GetId(), h.pid), Name: name, Executable: exe,
		CmdLine: strings.Join(args, " "), Args: args, User: user, CreatedTime: timestamppb.New(at),
	}
}

// pick is a random element.
func pick[T any](rng *rand.Rand, list []T) T { return list[rng.IntN(len(list))] }

// outside is an address of the world outside, one in eight of IPv6.
func (g *Generator) outside() *pb.Endpoint {
	if g.rng.IntN(8) == 0 {
		return &pb.Endpoint{Ip: outsideV6 + fmt.Sprintf("%x", 1+g.rng.IntN(0xfffe))}
	}
	n := 1 + g.rng.IntN(250)
	return &pb.Endpoint{Ip: outsideBlock + strconv.Itoa(n), Hostname: fmt.Sprintf("srv-%03d.example.net", n)}
}

func (g *Generator) hostile() *pb.Endpoint {
	n := 1 + g.rng.IntN(250)
	return &pb.Endpoint{Ip: hostileBlock + strconv.Itoa(n), Hostname: fmt.Sprintf("node-%03d.example.org", n)}
}

// inside is the end of a connection at one of our hosts.
func (h *host) endpoint(port uint32) *pb.Endpoint {
	return &pb.Endpoint{Ip: h.ip, Port: port, Hostname: h.msg.GetName(), Mac: h.mac}
}

// ephemeral is a client's port (RFC 6335).
func (g *Generator) ephemeral() uint32 { return uint32(49152 + g.rng.IntN(16384)) }
