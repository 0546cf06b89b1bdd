package service

import (
	"bytes"
	"slices"
)

// wholeLine tells that a greeting of lines is whole: it ends with a line end, and its
// last line is none that says that more follow, as "220-" does (RFC 5321, section
// 4.2.1).
func wholeLine(b []byte) bool {
	if !bytes.HasSuffix(b, []byte("\n")) {
		return false
	}
	body := bytes.TrimRight(b, "\r\n")
	last := body[bytes.LastIndexByte(body, '\n')+1:]
	goesOn := len(last) >= 4 && last[3] == '-' && isDigits(last[:3])
	return !goesOn && !bytes.HasPrefix(last, []byte("SIP/")) && !bytes.HasPrefix(last, []byte("HTTP/"))
}

func isDigits(b []byte) bool {
	return !slices.ContainsFunc(b, func(c byte) bool { return c < '0' || c > '9' })
}

// Telnet's words (RFC 854).
const (
	telnetIAC  = 255
	telnetDont = 254
	telnetDo   = 253
	telnetWont = 252
	telnetWill = 251
	telnetSB   = 250
	telnetSE   = 240
)

// telnetOptions returns the refusals that answer the options in b; false where b does
// not begin with such.
func telnetOptions(b []byte) (reply []byte, ok bool) {
	if len(b) < 3 || b[0] != telnetIAC || b[1] < telnetSE {
		return nil, false
	}
	for i := 0; i+2 < len(b) && len(reply) < 256; i++ {
		if b[i] != telnetIAC {
			continue
		}
		switch b[i+1] {
		case telnetDo:
			reply = append(reply, telnetIAC, telnetWont, b[i+2])
		case telnetWill:
			reply = append(reply, telnetIAC, telnetDont, b[i+2])
		}
		i += 2
	}
	return reply, true
}

// telnetText is b without options.
func telnetText(b []byte) []byte {
	var text []byte
	for i := 0; i < len(b); i++ {
		switch {
		case b[i] != telnetIAC:
			text = append(text, b[i])
		case i+1 < len(b) && b[i+1] == telnetIAC:
			text = append(text, telnetIAC)
			i++
		case i+1 < len(b) && b[i+1] == telnetSB:
			end := bytes.Index(b[i:], []byte{telnetIAC, telnetSE})
			if end < 0 {
				return text
			}
			i += end + 1
		default:
			i += 2
		}
	}
	return text
}

// readTelnet refuses each option that the peer wants, as a client without any does, and
// returns what it then shows before the login.
func readTelnet(l *line, heard, reply []byte) Facts {
	text := telnetText(heard)
	for range 4 {
		if len(bytes.TrimSpace(text)) > 8 || len(reply) == 0 {
			break
		}
		more := l.say(reply, nil)
		if len(more) == 0 {
			break
		}
		reply, _ = telnetOptions(more)
		text = append(text, telnetText(more)...)
	}
	f := Facts{"telnet": "yes"}
	f.put("telnet.text", latin(text))
	f.put(bannerFact, latin(text))
	return f
}
