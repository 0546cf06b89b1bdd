package bpf

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/net/bpf"
)

// MaxInstructions is how long a program may be: BPF_MAXINSNS of Linux.
const MaxInstructions = 4096

// Compile makes a program that accepts whole frames of at most snap bytes, 0
// for the others: it returns snap for a packet that the filter selects. The
// filter is in the language of pcap-filter(7), and selects what tcpdump 4.99
// with libpcap 1.10 does; docs/filters.md lists what is refused. An empty
// filter is nil, nil.
//
// The error is a *SyntaxError where there is a place in the filter to show.
// Names of ports and protocols are looked up in /etc/services and
// /etc/protocols and then in tables of our own; names of hosts never.
func Compile(filter string, link LinkType, snap uint32) ([]bpf.RawInstruction, error) {
	if strings.Trim(filter, " \r\n\t") == "" {
		return nil, nil
	}
	first, jumpsInside, err := compileCondition(filter, link, snap)
	if err != nil {
		return nil, err
	}
	// The way into Geneve jumps inside a block, which the optimiser does not
	// follow.
	if !jumpsInside {
		if err := optimize(&first); err != nil {
			return nil, fmt.Errorf("filter: %w", err)
		}
		if first.isReturn() && first.last.k == 0 {
			return nil, errors.New("filter: no packet can ever fulfil it; correct it or leave it out")
		}
	}
	return assemble(first)
}

// compileCondition reads the filter and returns the first block of its
// program, which is not optimised yet, and whether there are jumps inside of
// blocks.
func compileCondition(filter string, link LinkType, snap uint32) (first *block, jumpsInside bool, err error) {
	if !supported(link) {
		return nil, false, fmt.Errorf("filter: frames of %s cannot be filtered: leave bpf_filter empty on this interface", linkName(link))
	}
	if len(filter) > longestFilter {
		return nil, false, fmt.Errorf("filter: it is %d bytes long, and at most %d are allowed", len(filter), longestFilter)
	}
	p := parser{lexer: lexer{filter: filter}, gen: newGenerator(link)}
	c, err := p.parse()
	if err != nil {
		return nil, false, err
	}
	yes := &block{last: instr{op: clsRET, k: snap}}
	no := &block{last: instr{op: clsRET, k: 0}}
	made := 2
	first = lower(c, yes, no, &made)
	if made > mostBlocks && !p.gen.tunnelled {
		return nil, false, errTooMany
	}
	return first, p.gen.tunnelled, nil
}

// mostBlocks bounds the tests of a filter before it is optimised, and so the
// time that this takes, which grows with their square and more: 5,000 of them,
// some 200 ports or 400 hosts, take about a second.
const mostBlocks = 6000

var errTooLong = fmt.Errorf("filter: its program is longer than the %d instructions that the kernel takes; use fewer conditions, such as networks in place of hosts and portrange in place of ports", MaxInstructions)

var errTooMany = fmt.Errorf("filter: it makes more than %d tests; use fewer conditions, such as networks in place of hosts, portrange in place of ports, and tcp port in place of port", mostBlocks)
