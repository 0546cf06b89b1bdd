// Package bpf compiles filters in the language of pcap-filter(7), as people
// write them for tcpdump, to programs of the classic BPF machine, which the
// kernel or golang.org/x/net/bpf runs over each packet.
//
// A filter is read (lex.go, parse.go), and while it is read its condition is
// made (gen.go and gen_*.go): tests, joined by and, or and not. The condition
// becomes blocks that jump (code.go), which are optimised (optimize.go) and
// put in a line (assemble.go). The language for users is in docs/filters.md.
//
// The programs select what those of tcpdump 4.99 with libpcap 1.10 select, of
// packets that are cut short too. They are compared with them; none of their
// code is in here.
package bpf
