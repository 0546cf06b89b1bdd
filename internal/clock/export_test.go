package clock

import (
	"bytes"
	"hash/crc32"
	"strconv"
	"testing"
)

// Save writes the state now.
func Save(c *Clock) { c.save() }

// CheckDecode: what is believed of a file is written as it was read.
func CheckDecode(t *testing.T, b []byte) {
	if _, body, ok := bytes.Cut(b, []byte("\n")); ok { // let the fuzzer past the checksum
		body = bytes.TrimSuffix(body, []byte("\n"))
		sum := strconv.FormatUint(uint64(crc32.Checksum(body, castagnoli()))|1<<32, 16)[1:]
		b = append([]byte(sum+"\n"), append(body, '\n')...)
	}
	s, err := decode(b)
	if err != nil {
		return
	}
	again, err := s.encode()
	if err != nil {
		return // a time beyond what JSON can say
	}
	if _, err := decode(again); err != nil {
		t.Fatalf("%s: %v", again, err)
	}
}
