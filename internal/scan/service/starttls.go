package service

import (
	"bytes"
	"maps"
	"strings"
)

// askSTARTTLS asks a service of lines to go on within TLS (RFC 3207, RFC 2595, RFC
// 4217), and takes the certificate. Nothing is said within. What SMTP and IMAP tell of
// themselves before that is taken too.
func askSTARTTLS(q *inquiry, l *line) Facts {
	f := Facts{}
	if len(l.hear(long, wholeLine)) == 0 {
		return f
	}
	var ask, good string
	switch q.port.GetService() {
	case "smtp":
		said := l.say([]byte("EHLO scanner.invalid\r\n"), wholeLine)
		f.put("smtp.ehlo", latin(said))
		ask, good = "STARTTLS\r\n", "220"
		if !bytes.Contains(said, []byte("STARTTLS")) {
			return f
		}
	case "imap":
		ask, good = "a1 STARTTLS\r\n", "a1 OK"
	case "pop3":
		ask, good = "STLS\r\n", "+OK"
	case "ftp":
		ask, good = "AUTH TLS\r\n", "234"
	default:
		return f
	}
	if !strings.HasPrefix(string(l.say([]byte(ask), wholeLine)), good) {
		return f
	}
	inner, facts := q.handshake(l)
	maps.Copy(f, facts)
	f["starttls"] = "yes"
	if inner != nil {
		_ = inner.Close()
	}
	return f
}
