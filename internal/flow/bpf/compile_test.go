package bpf

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/net/bpf"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

func TestEmptyFilterHasNoProgram(t *testing.T) {
	for _, filter := range []string{"", "  \t\r\n "} {
		program, err := Compile(filter, packet.LinkEthernet, snap)
		if program != nil || err != nil {
			t.Errorf("%q: %v, %v", filter, program, err)
		}
	}
}

func TestSnapIsReturned(t *testing.T) {
	program, err := Compile("ip", packet.LinkRaw, 96)
	if err != nil {
		t.Fatal(err)
	}
	n, err := machine(t, program).Run(make([]byte, 20))
	if n != 0 || err != nil {
		t.Errorf("no IP: %d, %v", n, err)
	}
	n, err = machine(t, program).Run(append([]byte{0x45}, make([]byte, 19)...))
	if n != 96 || err != nil {
		t.Errorf("IP: %d, %v", n, err)
	}
}

func TestFaultsHaveAPlace(t *testing.T) {
	tests := []struct {
		filter string
		offset int
		says   string
	}{
		{"tcpp port 80", 0, "did you mean tcp?"},
		{"tcp prt 80", 4, "did you mean port?"},
		{"tcp and hosst 10.0.0.1", 8, "did you mean host?"},
		{"host example.org", 5, "does not look up names of hosts"},
		{"net office", 4, "does not look up names of networks"},
		{"tcp port 70000", 9, "ports end at 65535"},
		{"tcp and", 7, "ends too early"},
		{"tcp port", 8, "ends too early"},
		{"(tcp or udp", 11, "ends too early: ) has to follow"},
		{"tcp)", 3, ") does not fit here"},
		{"10.0.0.1 and tcp", 0, "needs a word before it"},
		{"port 80 or tcp or 443", 18, "the number 443 needs a word before it"},
		{"(port 80) or 443", 13, "the number 443 needs a word before it"},
		{"port ((80 or 81) or 82)", 6, "cannot begin with another bracket"},
		{"net 10.0.0.1/8", 4, "bits outside of the mask"},
		{"net 10.0.0.0/33", 13, "longer than 32 bits"},
		{"net 2001:db8::/129", 15, "longer than 128 bits"},
		{"host 10.0.0.0/8", 5, "a mask belongs to net"},
		{"host 10.0.0.256", 5, "256 is no number from 0 to 255"},
		{"ether host 02:00:00:00:01", 11, "no Ethernet address"},
		{"host 02:00:00:00:00:01", 5, "ether host"},
		{"vlan 4096", 5, "at most 4095"},
		{"mpls 1048576", 5, "at most 1048575"},
		{"mpls and vlan", 9, "vlan cannot follow mpls"},
		{"mpls and arp", 9, "behind mpls"},
		{"tcp[0:3] = 1", 0, "1, 2 or 4 bytes"},
		{"tcp[0] + 1", 10, "a comparison"},
		{"ip[0] / 0 = 1", 10, "division by zero"},
		{"ip[0] << 32 = 1", 12, "at most by 31 bits"},
		{"ip[0] = 08", 8, "octal"},
		{"ip[0] = 4294967296", 8, "more than 4294967295"},
		{"protochain 6", 11, "loop"},
		{"ip6 protochain \\tcp", 15, "loop"},
		{"gateway gw", 8, "gateway"},
		{"inbound", 0, "who sent them"},
		{"ifindex 3", 0, "by which interface"},
		{"type mgt", 0, "of other link types"},
		{"port nosuchservice", 5, "no port with the name"},
		{"udp port ssh", 9, "22"},
		{"ip proto nosuch", 9, "no protocol with the name"},
		{"tcp host 10.0.0.1", 9, "no addresses"},
		{"ip port 80", 8, "only tcp, udp or sctp"},
		{"tcp # web", 4, "\"#\" has no meaning"},
		{"tcp and \xff", 8, "has no meaning"},
		{"radio[0] = 1", 0, "cannot be asked for"},
	}
	for _, tt := range tests {
		t.Run(tt.filter, func(t *testing.T) {
			_, err := Compile(tt.filter, packet.LinkEthernet, snap)
			var syntax *SyntaxError
			if !errors.As(err, &syntax) {
				t.Fatalf("%v", err)
			}
			if syntax.Offset != tt.offset || syntax.Filter != tt.filter || !strings.Contains(syntax.Message, tt.says) {
				t.Errorf("at %d, want %d: %v", syntax.Offset, tt.offset, err)
			}
		})
	}
}

func TestFaultsShowTheFilter(t *testing.T) {
	tests := []struct{ filter, want string }{
		{"tcp prt 80", "filter: the word prt is not known here; did you mean port?\n  tcp prt 80\n      ^"},
		{"tcp\tand é", "filter: the character \"é\" has no meaning here\n  tcp and é\n          ^"},
		{
			strings.Repeat("tcp or ", 10) + "nope or " + strings.Repeat("udp or ", 10) + "udp",
			"filter: the word nope is not known here: a condition such as tcp or port 80 has to stand here\n" +
				"  …p or tcp or tcp or tcp or tcp or tcp or nope or udp or udp or udp or udp or udp …\n" +
				"                                           ^",
		},
	}
	for _, tt := range tests {
		_, err := Compile(tt.filter, packet.LinkEthernet, snap)
		if err == nil || err.Error() != tt.want {
			t.Errorf("%q:\n%v\nwant\n%v", tt.filter, err, tt.want)
		}
	}
}

func TestWhatIsRefusedAsAWhole(t *testing.T) {
	many := func(n int, format string) string {
		words := make([]string, n)
		for i := range words {
			words[i] = fmt.Sprintf(format, i/250, i%250)
		}
		return strings.Join(words, " or ")
	}
	tests := []struct {
		name, filter string
		link         LinkType
		says         string
	}{
		{"never true", "tcp and not tcp", packet.LinkEthernet, "no packet can ever fulfil it"},
		{"never true of numbers", "1 = 2", packet.LinkEthernet, "no packet can ever fulfil it"},
		{"division found late", "ip[0] / (1 - 1) = 1", packet.LinkEthernet, "division by zero"},
		{"wireless", "tcp", packet.LinkRadiotap, "leave bpf_filter empty"},
		{"unknown link type", "tcp", 9999, "link type 9999"},
		{"too long a program", many(280, "(net 10.%d.%d.0/24 and tcp port 80)"), packet.LinkEthernet, "longer than the 4096 instructions"},
		{"far too long a program", many(3000, "host 10.0.%d.%d"), packet.LinkEthernet, "more than 6000 tests"},
		{"too long a text", strings.Repeat("tcp or ", 10000) + "tcp", packet.LinkEthernet, "at most 65536 are allowed"},
		{"too deep", strings.Repeat("(", 600) + "tcp" + strings.Repeat(")", 600), packet.LinkEthernet, "are nested"},
		{"too many nots", strings.Repeat("not ", 600) + "tcp", packet.LinkEthernet, "are nested"},
		{"too many signs", strings.Repeat("-", 600) + "1 = 1", packet.LinkEthernet, "are nested"},
		{"too deep a power", "1" + strings.Repeat(" ^ 1", 600) + " = 1", packet.LinkEthernet, "16 registers"},
		{"too many registers", strings.Repeat("1 + (", 20) + "1" + strings.Repeat(")", 20) + " = 1", packet.LinkEthernet, "16 registers"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Compile(tt.filter, tt.link, snap)
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestLongJumps holds that tests far from the end of a long program reach it.
func TestLongJumps(t *testing.T) {
	words := make([]string, 300)
	for i := range words {
		words[i] = fmt.Sprintf("10.0.%d.%d", i/200, i%200)
	}
	program, err := Compile("ip dst host "+strings.Join(words, " or "), packet.LinkRaw, snap)
	if err != nil {
		t.Fatal(err)
	}
	if len(program) < 300 {
		t.Fatalf("the program has %d instructions", len(program))
	}
	vm := machine(t, program)
	p := append([]byte{0x45}, make([]byte, 19)...)
	for i := range 400 {
		copy(p[16:], []byte{10, 0, byte(i / 200), byte(i % 200)})
		n, err := vm.Run(p)
		if want := i < 300; err != nil || n != 0 != want {
			t.Errorf("address %d: %d, %v", i, n, err)
		}
	}
}

// TestBuiltinNames holds that the tables of our own agree with the usual
// registries in what everybody uses.
func TestBuiltinNames(t *testing.T) {
	for name, want := range map[string][2]int{"http": {80, -1}, "domain": {53, 53}, "ssh": {22, -1}, "ntp": {-1, 123}, "nosuch": {-1, -1}} {
		if tcp, udp := builtinService(name); tcp != want[0] || udp != want[1] {
			t.Errorf("%s: %d, %d", name, tcp, udp)
		}
	}
	if n, ok := builtinProtocol("ospf"); n != 89 || !ok {
		t.Errorf("ospf: %d, %v", n, ok)
	}
}

func FuzzCompile(f *testing.F) {
	for _, c := range listed(f) {
		f.Add(c.filter, uint16(c.link))
	}
	for _, c := range randomCases(3, 50) {
		f.Add(c.filter, uint16(c.link))
	}
	f.Add(strings.Repeat("(", 1000), uint16(1))
	f.Add(strings.Repeat("1:", 1000), uint16(1))
	f.Add(strings.Repeat("not ", 1000)+"tcp", uint16(1))
	f.Fuzz(func(t *testing.T, filter string, link uint16) {
		program, err := Compile(filter, LinkType(link), snap)
		if err != nil {
			var syntax *SyntaxError
			if errors.As(err, &syntax) && (syntax.Offset < 0 || syntax.Offset > len(filter)) {
				t.Fatalf("the fault is at %d of %d", syntax.Offset, len(filter))
			}
			if strings.Count(err.Error(), "\n") > 2 {
				t.Fatalf("too many lines: %v", err)
			}
			return
		}
		if program == nil {
			if strings.Trim(filter, " \r\n\t") != "" {
				t.Fatal("no program")
			}
			return
		}
		checkProgram(t, program)
		vm := machine(t, program)
		for n := range 80 {
			p := make([]byte, n)
			for i := range p {
				p[i] = byte(i*7 + n)
			}
			if _, err := vm.Run(p); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// checkProgram holds what the kernel asks of a program: it is short enough,
// jumps lead forward and inside, and it ends in a return.
func checkProgram(t *testing.T, program []bpf.RawInstruction) {
	t.Helper()
	if len(program) > MaxInstructions {
		t.Fatalf("%d instructions", len(program))
	}
	for i, raw := range program {
		if raw.Op&0x07 != clsJMP {
			continue
		}
		skips := []int{int(raw.Jt), int(raw.Jf)}
		if raw.Op == clsJMP|jmpJA {
			skips = []int{int(raw.K)}
		}
		for _, skip := range skips {
			if i+1+skip >= len(program) {
				t.Fatalf("instruction %d jumps out of the program", i)
			}
		}
	}
	if program[len(program)-1].Op != clsRET {
		t.Fatal("the program does not end in a return")
	}
}
