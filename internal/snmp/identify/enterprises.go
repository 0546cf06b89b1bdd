package identify

import (
	"bufio"
	"bytes"
	"compress/gzip"
	_ "embed"
	"strconv"
	"strings"
)

// assigned is IANA's list of private enterprise numbers, "NUMBER\tORGANIZATION\n" in
// the order of numbers, packed. data/enterprises.go makes it of
// https://www.iana.org/assignments/enterprise-numbers.txt, without people and addresses.
//
//go:embed data/enterprises.tsv.gz
var assigned []byte

// Organization is who IANA assigned an enterprise number to, or "". It reads through the
// packed list, which takes some milliseconds, and is meant for makers that are not in
// the table of facts; callers ask once a device and day.
func Organization(enterprise uint32) string {
	unpacked, err := gzip.NewReader(bytes.NewReader(assigned))
	if err != nil {
		return ""
	}
	want := strconv.FormatUint(uint64(enterprise), 10)
	lines := bufio.NewScanner(unpacked)
	for lines.Scan() {
		number, name, _ := strings.Cut(lines.Text(), "\t")
		if number == want {
			return brief(name)
		}
	}
	return ""
}

// brief leaves out what a name in a list needs not: what is in brackets, and the form of
// the company.
func brief(name string) string {
	name, _, _ = strings.Cut(name, " (")
	for {
		shorter := strings.TrimRight(name, " ,.")
		for _, form := range []string{
			"Inc", "Ltd", "LLC", "GmbH", "AG", "S.A", "SA", "B.V", "BV", "Co", "Corp", "Corporation", "Limited",
			"Incorporated", "AB", "A/S", "AS", "Oy", "Pty", "s.r.o", "S.p.A", "SpA", "S.r.l", "Srl", "SAS", "N.V", "K.K",
			"Company", "PLC", "plc", "a.s", "d.o.o", "Sp. z o.o", "SARL", "S.L",
		} {
			if cut, ok := strings.CutSuffix(shorter, " "+form); ok {
				shorter = cut
			} else if cut, ok := strings.CutSuffix(shorter, ","+form); ok {
				shorter = cut
			}
		}
		shorter = strings.TrimRight(shorter, " ,.")
		if shorter == name || shorter == "" {
			return name
		}
		name = shorter
	}
}
