package collect

import (
	"encoding/binary"
	"math"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

// Numbers of IANA's registry of IPFIX information elements, which v9 shares up to
// 127 (RFC 3954, section 8).
const (
	ieOctets           = 1
	iePackets          = 2
	ieProtocol         = 4
	ieTCPFlags         = 6
	ieSrcPort          = 7
	ieSrcIPv4          = 8
	ieInput            = 10
	ieDstPort          = 11
	ieDstIPv4          = 12
	ieOutput           = 14
	ieSrcAS            = 16
	ieDstAS            = 17
	ieEndUptime        = 21
	ieStartUptime      = 22
	iePostOctets       = 23
	iePostPackets      = 24
	ieSrcIPv6          = 27
	ieDstIPv6          = 28
	ieICMPv4           = 32
	ieSamplingInterval = 34
	ieSamplerID        = 48
	ieSamplerInterval  = 50
	ieSrcMAC           = 56
	ieVLAN             = 58
	ieDstMAC           = 80
	ieOctetsTotal      = 85
	iePacketsTotal     = 86
	ieEndReason        = 136
	ieICMPv6           = 139
	ieStartSeconds     = 150
	ieEndSeconds       = 151
	ieStartMillis      = 152
	ieEndMillis        = 153
	ieStartMicros      = 154
	ieEndMicros        = 155
	ieStartNanos       = 156
	ieEndNanos         = 157
	ieStartDelta       = 158
	ieEndDelta         = 159
	ieBoot             = 160
	ieDurationMillis   = 161
	ieDurationMicros   = 162
	ieICMPType4        = 176
	ieICMPCode4        = 177
	ieICMPType6        = 178
	ieICMPCode6        = 179
	ieInitiatorOctets  = 231
	ieResponderOctets  = 232
	ieBiflowDirection  = 239
	ieInitiatorPackets = 298
	ieResponderPackets = 299
	ieSelectorID       = 302
	iePacketInterval   = 305
	iePacketSpace      = 306
	ieSamplingSize     = 309
	iePopulation       = 310
	ieProbability      = 311
)

// span is when a direction began and ended, in the units that exporters use.
type span struct {
	start, end       int64 // Unix nanoseconds, 0 if not said
	startUp, endUp   uint32
	hasStart, hasEnd bool  // of startUp and endUp: milliseconds of uptime
	startAgo, endAgo int64 // nanoseconds before the export, 0 if not said
	duration         int64
}

// reading is one record while it is read.
type reading struct {
	record   Record
	spans    [2]span // of the record, and of its other direction
	post     Count   // behind the device, where nothing else is said
	total    [2]Count
	boot     int64
	selector uint64
	// Of sampling (RFC 5477 and RFC 3954).
	interval, packetInterval, packetSpace, size, population uint64
	probability                                             float64
	hasSelector                                             bool
	biflow                                                  uint8
}

// number reads an unsigned number of up to 8 bytes (RFC 7011, section 6.2, allows
// fewer than an element has); a longer one is 0.
func number(b []byte) uint64 {
	switch len(b) {
	case 4:
		return uint64(be32(b))
	case 8:
		return binary.BigEndian.Uint64(b)
	}
	if len(b) > 8 {
		return 0
	}
	var n uint64
	for _, x := range b {
		n = n<<8 | uint64(x)
	}
	return n
}

// ntp reads a time of 64 bits as NTP writes it (RFC 5905, section 6); 0 for one
// before 1970.
func ntp(b []byte) int64 {
	if len(b) != 8 {
		return 0
	}
	seconds := int64(be32(b)) - 2_208_988_800
	if seconds < 0 {
		return 0
	}
	return seconds*1e9 + int64(uint64(be32(b[4:]))*1_000_000_000>>32)
}

// nanos makes nanoseconds of a number of units; 0 where they do not fit.
func nanos(n uint64, unit int64) int64 {
	if n > uint64(math.MaxInt64/unit) {
		return 0
	}
	return int64(n) * unit
}

// set notes one field.
func (x *reading) set(element uint16, b []byte) {
	if element&reversed != 0 {
		x.setReverse(element&^reversed, b)
		return
	}
	r := &x.record
	switch element {
	case ieSrcIPv4, ieSrcIPv6:
		setAddress(&r.Src, b)
	case ieDstIPv4, ieDstIPv6:
		setAddress(&r.Dst, b)
	case ieSrcPort:
		r.SrcPort = uint16(number(b))
	case ieDstPort:
		r.DstPort = uint16(number(b))
	case ieProtocol:
		r.Protocol = uint8(number(b))
	case ieOctets, ieInitiatorOctets:
		r.Out.Bytes = number(b)
	case iePackets, ieInitiatorPackets:
		r.Out.Packets = number(b)
	case ieResponderOctets:
		r.In.Bytes = number(b)
	case ieResponderPackets:
		r.In.Packets = number(b)
	case ieOctetsTotal:
		x.total[0].Bytes = number(b)
	case iePacketsTotal:
		x.total[0].Packets = number(b)
	case iePostOctets:
		x.post.Bytes = number(b)
	case iePostPackets:
		x.post.Packets = number(b)
	case ieTCPFlags:
		r.Out.Flags = uint8(number(b))
	case ieEndReason:
		r.EndReason = uint8(number(b))
	case ieBiflowDirection:
		x.biflow = uint8(number(b))
	default:
		if !x.spans[0].set(element, b) && !x.setICMP(element, b) && !x.setPlace(element, b) {
			x.setSampling(element, b)
		}
	}
}

// setReverse notes a field of the other direction (RFC 5103).
func (x *reading) setReverse(element uint16, b []byte) {
	switch element {
	case ieOctets:
		x.record.In.Bytes = number(b)
	case iePackets:
		x.record.In.Packets = number(b)
	case ieOctetsTotal:
		x.total[1].Bytes = number(b)
	case iePacketsTotal:
		x.total[1].Packets = number(b)
	case ieTCPFlags:
		x.record.In.Flags = uint8(number(b))
	default:
		x.spans[1].set(element, b)
	}
}

// setICMP notes type and code, which are one number or two.
func (x *reading) setICMP(element uint16, b []byte) bool {
	r := &x.record
	switch element {
	case ieICMPv4, ieICMPv6:
		n := number(b)
		if n == 0 && r.HasICMP { // A record with both elements leaves one of them empty.
			return true
		}
		r.ICMPType, r.ICMPCode = uint8(n>>8), uint8(n)
	case ieICMPType4, ieICMPType6:
		r.ICMPType = uint8(number(b))
	case ieICMPCode4, ieICMPCode6:
		r.ICMPCode = uint8(number(b))
	default:
		return false
	}
	r.HasICMP = true
	return true
}

// setPlace notes through what a flow went.
func (x *reading) setPlace(element uint16, b []byte) bool {
	r := &x.record
	switch element {
	case ieInput:
		r.Input = uint32(number(b))
	case ieOutput:
		r.Output = uint32(number(b))
	case ieSrcAS:
		r.SrcAS = uint32(number(b))
	case ieDstAS:
		r.DstAS = uint32(number(b))
	case ieVLAN:
		r.VLAN = uint16(number(b)) & 0xfff
	case ieSrcMAC:
		setMAC(&r.SrcMAC, b)
	case ieDstMAC:
		setMAC(&r.DstMAC, b)
	default:
		return false
	}
	return true
}

// setSampling notes what options, or a record itself, say of sampling.
func (x *reading) setSampling(element uint16, b []byte) {
	switch element {
	case ieSamplerID, ieSelectorID:
		x.selector, x.hasSelector = number(b), true
	case ieSamplingInterval, ieSamplerInterval:
		x.interval = number(b)
	case iePacketInterval:
		x.packetInterval = number(b)
	case iePacketSpace:
		x.packetSpace = number(b)
	case ieSamplingSize:
		x.size = number(b)
	case iePopulation:
		x.population = number(b)
	case ieProbability:
		if len(b) == 8 {
			x.probability = math.Float64frombits(number(b))
		}
	case ieBoot:
		x.boot = nanos(number(b), 1e6)
	}
}

// maxRate is the highest rate that is believed.
const maxRate = 1 << 32

// rate is one of how many packets was counted, 0 if not said.
func (x *reading) rate() uint64 {
	var rate uint64
	switch {
	case x.interval > 0:
		rate = x.interval
	case x.packetInterval > 0 && x.packetInterval < maxRate && x.packetSpace < maxRate:
		rate = (x.packetInterval + x.packetSpace + x.packetInterval/2) / x.packetInterval
	case x.size > 0 && x.population >= x.size && x.population < maxRate:
		rate = (x.population + x.size/2) / x.size
	case x.probability > 1.0/maxRate && x.probability <= 1:
		rate = uint64(1/x.probability + 0.5)
	}
	if rate > maxRate {
		return 0
	}
	return rate
}

// setAddress notes an address; where a record has one of each version, the one that
// is not zero counts.
func setAddress(a *packet.Addr, b []byte) {
	switch len(b) {
	case 4:
		if be32(b) != 0 || *a == (packet.Addr{}) {
			*a = packet.Addr4([4]byte(b))
		}
	case 16:
		if v6 := packet.Addr(b); v6 != (packet.Addr{}) {
			*a = v6
		}
	}
}

func setMAC(a *packet.MAC, b []byte) {
	if len(b) == len(a) {
		*a = packet.MAC(b)
	}
}
