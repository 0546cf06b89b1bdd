package obs

import "strconv"

// Counted writes a number with its noun in a sentence for people: "1 fault",
// "2 faults", "0 faults".
func Counted[N int | int64 | uint32 | uint64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	if n < 0 {
		return strconv.FormatInt(int64(n), 10) + " " + many
	}
	return strconv.FormatUint(uint64(n), 10) + " " + many
}
