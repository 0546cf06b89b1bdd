package identify_test

import (
	"fmt"
	"strings"
)

// fuzzed writes a recording in which everything that a neighbour, a forwarding table or
// an address table holds is what a fuzzer likes.
func fuzzed(index string, octets []byte, address string, number int64) string {
	var b strings.Builder
	for _, column := range []string{
		"1.0.8802.1.1.2.1.4.1.1.5", "1.0.8802.1.1.2.1.4.1.1.7", "1.0.8802.1.1.2.1.4.1.1.9", "1.0.8802.1.1.2.1.4.1.1.12",
		"1.0.8802.1.1.2.1.3.7.1.3", "1.3.6.1.4.1.9.9.23.1.2.1.1.4", "1.3.6.1.4.1.9.9.23.1.2.1.1.9", "1.3.6.1.2.1.31.1.1.1.1",
	} {
		fmt.Fprintf(&b, "%s.%s|4x|%x\n", column, index, octets)
	}
	for _, column := range []string{
		"1.0.8802.1.1.2.1.4.1.1.4", "1.0.8802.1.1.2.1.4.1.1.6", "1.0.8802.1.1.2.1.3.7.1.2", "1.3.6.1.2.1.17.1.4.1.2",
		"1.3.6.1.2.1.17.7.1.2.2.1.2", "1.3.6.1.2.1.17.7.1.2.2.1.3", "1.3.6.1.2.1.17.4.3.1.2",
	} {
		fmt.Fprintf(&b, "%s.%s|2|%d\n", column, index, number)
	}
	fmt.Fprintf(&b, "1.0.8802.1.1.2.1.4.2.1.3.%s.%s|2|%d\n", index, address, number)
	fmt.Fprintf(&b, "1.3.6.1.2.1.4.35.1.4.%s.%s|4x|%x\n", index, address, octets)
	fmt.Fprintf(&b, "1.3.6.1.2.1.4.22.1.2.%s.%s|4x|%x\n", index, address, octets)
	return b.String()
}
