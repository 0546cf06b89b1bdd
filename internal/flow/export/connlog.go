package export

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"os"

	"github.com/amoskys/amoskys/internal/flow/packet"
	"github.com/amoskys/amoskys/internal/flow/tell"
	"github.com/amoskys/amoskys/internal/flow/track"
)

// ConnLine is a flow with the names of Zeek's conn.log (base/protocols/conn). What is
// not known is left out, as Zeek does.
type ConnLine struct {
	TS       float64  `json:"ts"` // Unix seconds
	UID      string   `json:"uid"`
	OrigHost string   `json:"id.orig_h"`
	OrigPort uint16   `json:"id.orig_p"`
	RespHost string   `json:"id.resp_h"`
	RespPort uint16   `json:"id.resp_p"`
	Proto    string   `json:"proto"` // "tcp", "udp", "icmp" or "unknown_transport"
	Service  string   `json:"service,omitempty"`
	Duration *float64 `json:"duration,omitempty"` // seconds
	// Payload in bytes.
	OrigBytes uint64 `json:"orig_bytes"`
	RespBytes uint64 `json:"resp_bytes"`
	ConnState string `json:"conn_state"`
	// MissedBytes is always 0: holes in a stream are not counted.
	MissedBytes uint64 `json:"missed_bytes"`
	// History has one letter for each kind of packet and side, in the order that such
	// packets usually have, since the order in which they came is not kept.
	History     string `json:"history,omitempty"`
	OrigPkts    uint64 `json:"orig_pkts"`
	OrigIPBytes uint64 `json:"orig_ip_bytes"`
	RespPkts    uint64 `json:"resp_pkts"`
	RespIPBytes uint64 `json:"resp_ip_bytes"`
	CommunityID string `json:"community_id,omitempty"`
	VLAN        uint16 `json:"vlan,omitempty"`
	OrigMAC     string `json:"orig_l2_addr,omitempty"`
	RespMAC     string `json:"resp_l2_addr,omitempty"`
}

// ConnLineOf describes a flow.
func ConnLineOf(f *track.Flow) ConnLine {
	l := ConnLine{
		TS: float64(f.First/1000) / 1e6, UID: uid(f),
		OrigHost: tell.Address(f.Src), OrigPort: f.SrcPort, RespHost: tell.Address(f.Dst), RespPort: f.DstPort,
		Proto: proto(f.Protocol), OrigBytes: f.Out.Payload, RespBytes: f.In.Payload,
		ConnState: f.State, History: history(f),
		OrigPkts: f.Out.Packets, OrigIPBytes: f.Out.Bytes, RespPkts: f.In.Packets, RespIPBytes: f.In.Bytes,
		CommunityID: f.ID.CommunityID(), VLAN: f.VLAN, OrigMAC: tell.Hardware(f.SrcMAC), RespMAC: tell.Hardware(f.DstMAC),
	}
	if f.Out.Packets+f.In.Packets > 1 {
		seconds := float64((f.Last-f.First)/1000) / 1e6
		l.Duration = &seconds
	}
	if f.Facts != nil {
		l.Service = service(f.Facts.App)
	}
	if l.ConnState == "" { // Zeek says so of what has no connections.
		switch {
		case f.Out.Packets > 0 && f.In.Packets > 0:
			l.ConnState = "SF"
		case f.Out.Packets > 0:
			l.ConnState = "S0"
		default:
			l.ConnState = "SHR"
		}
	}
	return l
}

// service is Zeek's name of what it calls otherwise.
func service(app string) string {
	if app == "tls" {
		return "ssl"
	}
	return app
}

func proto(number uint8) string {
	switch number {
	case 6:
		return "tcp"
	case 17:
		return "udp"
	case 1, 58:
		return "icmp"
	}
	return "unknown_transport"
}

// uid names a flow as Zeek does: "C" and 17 digits of base 62. It is the same whenever
// the same packets are read.
func uid(f *track.Flow) string {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	h := fnv.New128a()
	var b [13]byte
	binary.BigEndian.PutUint64(b[:], uint64(f.First))
	binary.BigEndian.PutUint16(b[8:], f.SrcPort)
	binary.BigEndian.PutUint16(b[10:], f.DstPort)
	b[12] = f.Protocol
	_, _ = h.Write(b[:]) // A hash takes all.
	_, _ = h.Write(f.Src[:])
	_, _ = h.Write(f.Dst[:])
	sum := h.Sum(nil)
	name := [18]byte{'C'}
	high, low := binary.BigEndian.Uint64(sum), binary.BigEndian.Uint64(sum[8:])
	for i := 1; i < len(name); i++ {
		from := &high
		if i > 8 {
			from = &low
		}
		name[i] = digits[*from%62]
		*from /= 62
	}
	return string(name[:])
}

// history writes Zeek's letters: S a SYN, H a SYN with ACK, A an ACK, D payload, F a FIN,
// R a RST; upper case is the originator's.
func history(f *track.Flow) string {
	var b []byte
	add := func(is bool, letter byte) {
		if is {
			b = append(b, letter)
		}
	}
	out, in := f.Out, f.In
	if f.Protocol == 6 {
		add(out.Flags&packet.SYN != 0, 'S')
		add(in.Flags&packet.SYN != 0, 'h')
		add(out.Flags&packet.ACK != 0, 'A')
	}
	add(out.Payload > 0, 'D')
	if f.Protocol == 6 {
		add(in.Flags&packet.ACK != 0 && in.Packets > 1, 'a')
	}
	add(in.Payload > 0, 'd')
	if f.Protocol == 6 {
		add(out.Flags&packet.FIN != 0, 'F')
		add(in.Flags&packet.FIN != 0, 'f')
		add(out.Flags&packet.RST != 0, 'R')
		add(in.Flags&packet.RST != 0, 'r')
	}
	return string(b)
}

// ConnLogOptions set up a ConnLog.
type ConnLogOptions struct {
	Path string
	// MaxBytes is how long the file may get before it is renamed to Path + ".1", which
	// takes the place of the one before: 100 MiB if 0.
	MaxBytes int64
}

// ConnLog writes flows that ended to a file. One goroutine uses it.
type ConnLog struct {
	o    ConnLogOptions
	file *os.File
	w    *bufio.Writer
	size int64
}

// OpenConnLog appends to a file, or makes it, readable by its owner alone.
func OpenConnLog(o ConnLogOptions) (*ConnLog, error) {
	if o.MaxBytes <= 0 {
		o.MaxBytes = 100 << 20
	}
	l := &ConnLog{o: o}
	return l, l.open()
}

func (l *ConnLog) open() error {
	f, err := os.OpenFile(l.o.Path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the log of connections: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return fmt.Errorf("open the log of connections: %w", err)
	}
	l.file, l.size, l.w = f, info.Size(), bufio.NewWriter(f)
	return nil
}

// Write appends a flow. It lies in memory until Flush, or until the file is exchanged.
func (l *ConnLog) Write(f *track.Flow) error {
	line, err := json.Marshal(ConnLineOf(f))
	if err != nil {
		return fmt.Errorf("write connection: %w", err)
	}
	if l.size > 0 && l.size+int64(len(line))+1 > l.o.MaxBytes {
		if err := l.exchange(); err != nil {
			return err
		}
	}
	l.size += int64(len(line)) + 1
	if _, err := l.w.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write connection: %w", err)
	}
	return nil
}

// exchange begins a new file.
func (l *ConnLog) exchange() error {
	if err := l.Close(); err != nil {
		return err
	}
	if err := os.Rename(l.o.Path, l.o.Path+".1"); err != nil {
		return fmt.Errorf("set the full log of connections aside: %w", err)
	}
	return l.open()
}

// Flush hands what was written to the system.
func (l *ConnLog) Flush() error {
	if err := l.w.Flush(); err != nil {
		return fmt.Errorf("write connections: %w", err)
	}
	return nil
}

// Close flushes and closes the file.
func (l *ConnLog) Close() error {
	flushed := l.Flush()
	if err := l.file.Close(); err != nil {
		return fmt.Errorf("close the log of connections: %w", err)
	}
	return flushed
}
