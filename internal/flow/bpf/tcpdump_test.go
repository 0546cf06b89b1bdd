package bpf

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/bpf"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

// tcpdumpName is the name of a link type that tcpdump -y takes.
func tcpdumpName(l LinkType) string {
	switch l {
	case packet.LinkNull:
		return "NULL"
	case packet.LinkEthernet:
		return "EN10MB"
	case packet.LinkPPP:
		return "PPP"
	case packet.LinkIPv4:
		return "IPV4"
	case packet.LinkIPv6:
		return "IPV6"
	case packet.LinkRaw:
		return "RAW"
	case packet.LinkLoop:
		return "LOOP"
	case packet.LinkCooked:
		return "LINUX_SLL"
	default:
		return "LINUX_SLL2"
	}
}

// refusedError is what tcpdump says about a filter that it does not take.
type refusedError string

func (e refusedError) Error() string { return string(e) }

// tcpdumpProgram is the program that tcpdump makes of a filter.
func tcpdumpProgram(t testing.TB, filter string, link LinkType, options ...string) ([]bpf.RawInstruction, error) {
	t.Helper()
	args := append([]string{"-ddd", "-s", "65535", "-y", tcpdumpName(link)}, options...)
	cmd := exec.CommandContext(t.Context(), "tcpdump", append(args, "--", filter)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() == 1 {
			return nil, refusedError(strings.TrimSpace(stderr.String()))
		}
		t.Fatalf("tcpdump %q: %v: %s", filter, err, stderr.String())
	}
	lines := strings.Split(strings.TrimSpace(stdout.String()), "\n")
	var program []bpf.RawInstruction
	for _, line := range lines[1:] {
		var op, jt, jf, k uint64
		for i, field := range strings.Fields(line) {
			v, err := strconv.ParseUint(field, 10, 32)
			if err != nil {
				t.Fatalf("tcpdump printed %q", line)
			}
			*[]*uint64{&op, &jt, &jf, &k}[i] = v
		}
		program = append(program, bpf.RawInstruction{Op: uint16(op), Jt: uint8(jt), Jf: uint8(jf), K: uint32(k)})
	}
	return program, nil
}

// listing prints a program, one instruction a line.
func listing(program []bpf.RawInstruction) string {
	var b strings.Builder
	for i, raw := range program {
		fmt.Fprintf(&b, "%3d %s   %#x\n", i, raw.Disassemble(), raw)
	}
	return b.String()
}
