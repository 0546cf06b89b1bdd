package collect_test

import (
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amoskys/amoskys/internal/flow/collect"
)

var router = netip.MustParseAddr("192.0.2.254")

// bytesOf reads hex with spaces and comments behind "#".
func bytesOf(t testing.TB, text string) []byte {
	t.Helper()
	var digits strings.Builder
	for line := range strings.SplitSeq(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		digits.WriteString(strings.Join(strings.Fields(line), ""))
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// flow5 was exported at 2023-11-14T22:13:20Z with an uptime of 10 s, and went from 8 s
// to 9 s of it. One of 100 packets was sampled.
const flow5 = `
0005 0001  00002710  6553f100 00000000  00000007  00 01  4064
c0000201 c6336402 00000000  0003 0004  00000005 000001f4  00001f40 00002328
9c40 01bb 00 1b 06 00 fde9 fdea 18 18 0000`

// template9 has addresses, ports, protocol, bytes, packets and times.
const template9 = `
0009 0001  00002710 6553f100  00000000  00000001
0000 002c  0100 0009
0008 0004  000c 0004  0007 0002  000b 0002  0004 0001  0001 0004  0002 0004  0016 0004  0015 0004`

const data9 = `
0009 0001  00002710 6553f100  00000001  00000001
0100 0024  c0000201 c6336402 9c40 0035 11 000001f4 00000005 00001f40 00002328 000000`

// sampler9 says by options that sampler 1 takes one of 10.
const sampler9 = `
0009 0002  00002710 6553f100  00000001  00000001
0001 0016  0101 0004 0008  0001 0004  0030 0001  0032 0004
0101 0010  00000000 01 0000000a 000000`

// biflow10 is a template of RFC 5103 (reverse octets and packets), with an element of
// an enterprise and a string of variable length, and one record of each length form.
const biflow10 = `
000a 0092  6553f100 00000000 0000000c
0002 0044  0100 000c
0008 0004  000c 0004  0007 0002  000b 0002  0004 0001  0098 0008  0099 0008
0001 0008  8001 0008 00007279  8002 0004 00007279  8063 ffff 00000009  0060 ffff
0100 003e
c0000201 c6336402 9c40 0050 06
0000018bcfe56800 0000018bcfe56be8
00000000000003e8 00000000000007d0 00000014
03 616263  ff0002 6869`

func read(t testing.TB, c *collect.Collector, datagrams ...string) []collect.Record {
	t.Helper()
	var out []collect.Record
	for _, d := range datagrams {
		if err := c.Datagram(netip.AddrPortFrom(router, 2055), bytesOf(t, d), 1_700_000_000_500_000_000, func(r *collect.Record) { out = append(out, *r) }); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// line says what a record says.
func line(r *collect.Record) string {
	s := recordSaid(r)
	at := func(ns int64) string { return time.Unix(0, ns).UTC().Format("15:04:05.000") }
	return strings.Join([]string{r.Format.String(), s.Flow, at(r.Start), at(r.End), number(s.PacketsOut), number(s.BytesOut), number(s.PacketsIn), number(s.BytesIn), "1/" + number(r.SamplingRate)}, " ")
}

func number(n uint64) string { return strconv.FormatUint(n, 10) }

func TestGolden(t *testing.T) {
	for name, c := range map[string]struct {
		datagrams []string
		want      string
	}{
		"v5, sampled": {[]string{flow5}, "netflow5 6 192.0.2.1:40000>198.51.100.2:443 22:13:18.000 22:13:19.000 500 50000 0 0 1/100"},
		"v9":          {[]string{template9, data9}, "netflow9 17 192.0.2.1:40000>198.51.100.2:53 22:13:18.000 22:13:19.000 5 500 0 0 1/1"},
		"v9, data before the template": {
			[]string{data9, template9}, "netflow9 17 192.0.2.1:40000>198.51.100.2:53 22:13:18.000 22:13:19.000 5 500 0 0 1/1",
		},
		"v9, sampled by options": {
			[]string{template9, sampler9, strings.Replace(data9, "00000001  00000001", "00000002 00000001", 1)},
			"netflow9 17 192.0.2.1:40000>198.51.100.2:53 22:13:18.000 22:13:19.000 50 5000 0 0 1/10",
		},
		"v9, uptime wrapped around": {
			[]string{template9, strings.NewReplacer("00002710", "000003e8", "00001f40 00002328", "fffffc18 00000000").Replace(data9)},
			"netflow9 17 192.0.2.1:40000>198.51.100.2:53 22:13:18.000 22:13:19.000 5 500 0 0 1/1",
		},
		"ipfix biflow": {[]string{biflow10}, "ipfix 6 192.0.2.1:40000>198.51.100.2:80 22:13:20.000 22:13:21.000 0 1000 20 2000 1/1"},
	} {
		t.Run(name, func(t *testing.T) {
			got := read(t, collect.New(collect.Options{}), c.datagrams...)
			if len(got) != 1 {
				t.Fatalf("%d records", len(got))
			}
			if diff := cmp.Diff(c.want, line(&got[0])); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestSequence(t *testing.T) {
	c := collect.New(collect.Options{})
	for _, n := range []string{"00000001", "00000002", "00000006", "00000005", "f0000000"} {
		read(t, c, strings.Replace(template9, "00000000  00000001", n+" 00000001", 1))
	}
	if s := c.Stats(); s.Lost != 3 || s.Reordered != 1 || s.Restarts != 1 {
		t.Errorf("lost %d, reordered %d, restarts %d", s.Lost, s.Reordered, s.Restarts)
	}
}

func TestWithdrawal(t *testing.T) {
	const withdraw = `000a 0018 6553f100 00000001 0000000c  0002 0008 0100 0000`
	for _, stream := range []bool{false, true} {
		c := collect.New(collect.Options{Stream: stream})
		read(t, c, biflow10, withdraw)
		want := uint64(0)
		if stream {
			want = 1
		}
		if got := c.Stats().TemplatesWithdrawn; got != want {
			t.Errorf("stream %v: %d templates were withdrawn", stream, got)
		}
	}
}
