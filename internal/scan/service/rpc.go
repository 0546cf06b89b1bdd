package service

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// askRPCBind asks the portmapper (RFC 1833, section 3) which programs there are.
func askRPCBind(q *inquiry, l *line) Facts {
	call := []byte{
		0x41, 0x4d, 0x4f, 0x53, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0x86, 0xa0, 0, 0, 0, 2, 0, 0, 0, 4,
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	}
	f := Facts{}
	if q.protocol == udp {
		f.readRPCBind(askTwice(l, call))
		return f
	}
	mark := binary.BigEndian.AppendUint32(nil, 0x80000000|uint32(len(call)))
	if l.send(append(mark, call...)) {
		if b := l.framed(4, func(head []byte) int { return int(binary.BigEndian.Uint32(head) & 0x7fffffff) }); len(b) > 4 {
			f.readRPCBind(b[4:])
		}
	}
	return f
}

// readRPCBind reads the reply of DUMP: a list of program, version, protocol and port.
func (f Facts) readRPCBind(b []byte) {
	if len(b) < 28 || string(b[:4]) != "AMOS" || binary.BigEndian.Uint32(b[4:]) != 1 || binary.BigEndian.Uint32(b[8:]) != 0 {
		return
	}
	names := map[uint32]string{
		100000: "portmapper", 100003: "nfs", 100004: "ypserv", 100005: "mountd", 100007: "ypbind",
		100011: "rquotad", 100021: "nlockmgr", 100024: "status", 100227: "nfs_acl",
	}
	versions := map[string][]uint32{}
	for b = b[24:]; len(b) >= 20 && binary.BigEndian.Uint32(b) == 1 && len(versions) < 64; b = b[20:] {
		program, version := binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
		name := names[program]
		if name == "" {
			name = strconv.FormatUint(uint64(program), 10)
		}
		if v := versions[name]; !slices.Contains(v, version) && len(v) < 8 {
			versions[name] = append(v, version)
		}
	}
	var programs []string
	for _, name := range slices.Sorted(maps.Keys(versions)) {
		slices.Sort(versions[name])
		programs = append(programs, name+":"+strings.ReplaceAll(strings.Trim(fmt.Sprint(versions[name]), "[]"), " ", ","))
	}
	f.put("rpcbind.programs", strings.Join(programs, " "))
	if len(programs) == 0 {
		f.put("rpcbind.programs", "none")
	}
}
