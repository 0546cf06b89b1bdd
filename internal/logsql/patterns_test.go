package logsql

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"regexp/syntax"
	"strconv"
	"testing"

	"github.com/amoskys/amoskys/internal/logsql/row"
)

// TestAddressPatterns holds the expressions for networks against netip.
func TestAddressPatterns(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: one goroutine")
	}
	r := rand.New(rand.NewPCG(1, 2))
	groups := []uint16{0, 0, 0, 0, 1, 0x20, 0x2001, 0xdb8, 0xfe80, 0xff}
	address := func() netip.Addr {
		if r.IntN(3) == 0 {
			return netip.AddrFrom4([4]byte{byte(r.IntN(3)), byte(r.IntN(256)), byte(r.IntN(256)), byte(r.IntN(256))})
		}
		var b [16]byte
		for i := range 8 {
			g := groups[r.IntN(len(groups))]
			b[2*i], b[2*i+1] = byte(g>>8), byte(g)
		}
		if b[0] == 0 {
			b[0] = 0x20 // ::ffff:0:0/96 is written in another way
		}
		return netip.AddrFrom16(b)
	}
	for range 3_000 {
		base := address()
		network := netip.PrefixFrom(base, r.IntN(base.BitLen()+1)).Masked()
		re, err := regexp.Compile(`^(?:` + addressPattern(network) + `)$`)
		if err != nil {
			t.Fatalf("%s: %v", network, err)
		}
		for range 20 {
			a := address()
			if r.IntN(2) == 0 && a.BitLen() == base.BitLen() { // one inside, or nearly
				x, y := a.AsSlice(), base.AsSlice()
				copy(x[:network.Bits()/8], y)
				a, _ = netip.AddrFromSlice(x)
			}
			if got, want := re.MatchString(a.String()), network.Contains(a); got != want {
				t.Fatalf("%s in %s: %v, want %v\n%s", a, network, got, want, re)
			}
		}
	}
}

// TestNumberPatterns holds the expressions for comparisons against arithmetic.
func TestNumberPatterns(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: one goroutine")
	}
	r := rand.New(rand.NewPCG(3, 4))
	number := func() float64 {
		x := float64(r.IntN(2000)-1000) / []float64{1, 1, 10, 100, 1e3, 1e9}[r.IntN(6)] * []float64{1, 1, 1, 1e6, 1e20}[r.IntN(5)]
		return x
	}
	for range 4_000 {
		x, y := number(), number()
		if r.IntN(10) == 0 {
			y = x
		}
		if x == 0 || y == 0 {
			x, y = math.Abs(x), math.Abs(y) // -0 is written in another way
		}
		for op, want := range map[string]bool{">": x > y, ">=": x >= y, "<": x < y, "<=": x <= y} {
			if math.Abs(y) >= 1e20 && math.Abs(x) >= 1e20 || y != 0 && math.Abs(y) < 1e-6 {
				continue // so large or small ones are not told apart
			}
			got := regexp.MustCompile(`^` + numberPattern(op, decimal(y)) + `$`).MatchString(decimal(x))
			if got != want {
				t.Fatalf("%s %s %s: %v\n%s", decimal(x), op, decimal(y), got, numberPattern(op, decimal(y)))
			}
		}
	}
}

// TestInsideString holds expressions for a value inside JSON against those for the value.
func TestInsideString(t *testing.T) {
	values := []string{"", "a", "b", "ab", `a"b`, `\`, "a\nb", "é", ",", "a,b", `","`, "x\x01y", "12", "A"}
	for _, expr := range []string{
		"a", "^a", "a$", "^a$", "^a|b$", ".", "^.$", "a.b", "[^a]", `"`, `\\`, `\n`, `^\w+$`, "(?i)A", "[[:punct:]]", "a{1,2}", "(a|b)+", "a?b", `\d`, "^(a|,)", "[\"x]", ".*", "^$", "b|^a", `\x01`,
	} {
		plain := regexp.MustCompile("(?s)" + expr)
		tree, err := syntax.Parse("(?s)"+expr, syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		inside := regexp.MustCompile(`[\[,]"` + insideString(tree))
		for _, v := range values {
			list := fmt.Sprintf("[%s]", row.AppendString(nil, []byte(v)))
			if got, want := inside.MatchString(list), plain.MatchString(v); got != want {
				t.Errorf("%s on %s (%s): %v, want %v\n%s", expr, strconv.Quote(v), list, got, want, inside)
			}
		}
	}
}
