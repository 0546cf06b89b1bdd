package service

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// askMQTT connects without a name (MQTT 3.1.1, section 3.1) and, where that is allowed,
// reads the topic in which brokers tell their version.
func askMQTT(_ *inquiry, l *line) Facts {
	const id, topic = "amoskys-scan", "$SYS/broker/version"
	connect := append([]byte{0x10, byte(12 + len(id)), 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 10, 0, byte(len(id))}, id...)
	answer := l.say(connect, func(b []byte) bool { return len(b) >= 4 })
	f := Facts{}
	if len(answer) < 4 || answer[0] != 0x20 || answer[1] != 2 {
		return f
	}
	if answer[3] != 0 {
		f.put("mqtt", fmt.Sprintf("refused %d", answer[3]))
		return f
	}
	f.put("mqtt", "accepted")
	subscribe := append([]byte{0x82, byte(5 + len(topic)), 0, 1, 0, byte(len(topic))}, topic...)
	said := l.say(append(subscribe, 0), func(b []byte) bool { return bytes.Contains(b, []byte(topic)) })
	f.readMQTT(said, topic)
	l.send([]byte{0xe0, 0})
	return f
}

// readMQTT takes what was published in topic.
func (f Facts) readMQTT(b []byte, topic string) {
	at := bytes.Index(b, []byte(topic))
	if at < 3 {
		return
	}
	// The fixed header ends two octets before the topic; its length is one octet, as
	// versions are short.
	total := int(b[at-3])
	end := at - 2 + total
	if total < 128 && end >= at+len(topic) && end <= len(b) {
		f.put("mqtt.version", printable(string(b[at+len(topic):end]), 100))
	}
}

// bsonText and others are the types of BSON (bsonspec.org, version 1.1) that are used.
const (
	bsonDouble = 1
	bsonText   = 2
	bsonDoc    = 3
	bsonArray  = 4
	bsonBinary = 5
	bsonID     = 7
	bsonBool   = 8
	bsonTime   = 9
	bsonInt32  = 16
	bsonStamp  = 17
	bsonInt64  = 18
)

// readBSON returns the texts and numbers of a document's first level, as text.
func readBSON(b []byte) map[string]string {
	out := map[string]string{}
	if len(b) < 5 {
		return out
	}
	for b = b[4:]; len(b) > 1 && b[0] != 0 && len(out) < 64; {
		kind := b[0]
		name, rest, ok := bytes.Cut(b[1:], []byte{0})
		if !ok {
			return out
		}
		size := bsonSize(kind, rest)
		if size < 0 || size > len(rest) {
			return out
		}
		value := rest[:size]
		switch kind {
		case bsonDouble:
			out[string(name)] = fmt.Sprint(math.Float64frombits(binary.LittleEndian.Uint64(value)))
		case bsonText:
			out[string(name)] = strings.TrimRight(string(value[4:]), "\x00")
		case bsonInt32:
			out[string(name)] = strconv.Itoa(int(int32(binary.LittleEndian.Uint32(value))))
		}
		b = rest[size:]
	}
	return out
}

// bsonSize is the length of a value; -1 where it cannot be told.
func bsonSize(kind byte, b []byte) int {
	long := func(more int) int {
		if len(b) < 4 {
			return -1
		}
		n := binary.LittleEndian.Uint32(b)
		if n > maxAnswer {
			return -1
		}
		return int(n) + more
	}
	switch kind {
	case bsonDouble, bsonTime, bsonStamp, bsonInt64:
		return 8
	case bsonText:
		return long(4)
	case bsonDoc, bsonArray:
		if n := long(0); n >= 5 {
			return n
		}
		return -1
	case bsonBinary:
		return long(5)
	case bsonID:
		return 12
	case bsonBool:
		return 1
	case bsonInt32:
		return 4
	case 10:
		return 0
	}
	return -1
}

// mongoCommand is an OP_MSG with a command of one number on the database admin.
func mongoCommand(command string) []byte {
	doc := append(append([]byte{bsonInt32}, command...), 0, 1, 0, 0, 0)
	doc = append(append(doc, bsonText), "$db\x00\x06\x00\x00\x00admin\x00"...)
	doc = append(doc, 0)
	doc = append(binary.LittleEndian.AppendUint32(nil, uint32(len(doc)+4)), doc...)
	b := binary.LittleEndian.AppendUint32(nil, uint32(16+5+len(doc)))
	b = append(b, 1, 0, 0, 0, 0, 0, 0, 0, 0xdd, 7, 0, 0, 0, 0, 0, 0, 0)
	return append(b, doc...)
}

func mongoAsk(l *line, command string) map[string]string {
	if !l.send(mongoCommand(command)) {
		return nil
	}
	b := l.framed(16, func(head []byte) int { return int(int32(binary.LittleEndian.Uint32(head))) - 16 })
	if len(b) < 26 || binary.LittleEndian.Uint32(b[12:]) != 2013 || b[20] != 0 {
		return nil
	}
	return readBSON(b[21:])
}

// askMongoDB asks for the build, which everybody may, and for the names of databases,
// which only those may who are logged in, unless there is no login.
func askMongoDB(_ *inquiry, l *line) Facts {
	f := Facts{}
	build := mongoAsk(l, "buildInfo")
	if build == nil {
		return f
	}
	f.put("mongodb", "yes")
	f.put("mongodb.version", printable(build["version"], 40))
	if names := mongoAsk(l, "listDatabases"); names["ok"] == "1" {
		f.put("mongodb.open", "yes")
	}
	return f
}
