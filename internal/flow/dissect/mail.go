package dissect

import "bytes"

func mailProtocols() []protocol {
	return []protocol{
		{
			name: "smtp", category: categoryMail, tcp: []uint16{25, 587, 2525},
			client: signature{starts: "EeHhLl", match: func(l *look) answer { return anyFold(l.b, "EHLO ", "HELO ", "LHLO ") }},
			server: signature{starts: "2", match: matchMailBanner}, read: readSMTP,
			tells: "greeting, user who logs in without TLS, TLS after STARTTLS",
		},
		{
			name: "ftp", category: categoryFile, tcp: []uint16{21, 2121},
			client: signature{starts: "UuAaFfSs", match: matchFTPCommand}, server: signature{starts: "12345", match: matchFTPBanner}, read: readFTP,
			tells: "greeting, user, TLS after AUTH",
		},
		{
			name: "pop3", category: categoryMail, tcp: []uint16{110},
			client: signature{starts: "UuCcAaS", match: matchPOP3Command}, server: signature{starts: "+", match: matchPOP3Banner}, read: readPOP3,
			tells: "greeting, user who logs in without TLS, TLS after STLS",
		},
		{
			name: "imap", category: categoryMail, tcp: []uint16{143},
			client: signature{starts: "", match: matchIMAPCommand}, server: says("* OK", "* PREAUTH", "* BYE"), read: readIMAP,
			tells: "greeting, user who logs in without TLS, TLS after STARTTLS",
		},
		{
			name: "nntp", category: categoryMessage, tcp: []uint16{119},
			client: signature{starts: "MmGgXA", match: func(l *look) answer { return anyFold(l.b, "MODE READER", "GROUP ", "XOVER ", "ARTICLE ") }},
			server: signature{starts: "2", match: func(l *look) answer {
				a := anyOf(l.b, "200 ", "201 ")
				if a != yes {
					return a
				}
				greeting, whole := line(l.b)
				if !whole {
					return more
				}
				if containsFold(greeting, "NNTP") || containsFold(greeting, "NEWS") {
					return yes
				}
				return when(l.ported(119), yes)
			}},
		},
	}
}

// containsFold looks for a word, given in upper case.
func containsFold(b []byte, word string) bool {
	for i := 0; i+len(word) <= len(b); i++ {
		if startsFold(b[i:], word) == yes {
			return true
		}
	}
	return false
}

// matchMailBanner recognises SMTP's greeting. FTP greets with the same number, so the
// words must tell, or the port.
func matchMailBanner(l *look) answer {
	if a := anyOf(l.b, "220 ", "220-"); a != yes {
		return a
	}
	greeting, whole := line(l.b)
	if !whole {
		return more
	}
	if containsFold(greeting, "SMTP") || containsFold(greeting, "LMTP") || containsFold(greeting, "POSTFIX") || containsFold(greeting, "EXIM") {
		return yes
	}
	if containsFold(greeting, "FTP") {
		return no
	}
	if l.ported(25, 587, 2525) {
		return yes
	}
	if len(l.other) >= 4 && anyFold(l.other, "EHLO", "HELO") == yes {
		return yes
	}
	return when(!l.ported(21), maybe)
}

func matchFTPBanner(l *look) answer {
	if l.ported(21) && len(l.b) >= 4 && l.b[0] >= '1' && l.b[0] <= '5' && (l.b[3] == ' ' || l.b[3] == '-') && anyOf(l.b, "220", "120") != yes {
		return maybe
	}
	if a := anyOf(l.b, "220 ", "220-", "120 "); a != yes {
		return a
	}
	greeting, whole := line(l.b)
	if !whole {
		return more
	}
	if containsFold(greeting, "FTP") || containsFold(greeting, "FILEZILLA") || l.ported(21, 2121) {
		return yes
	}
	return maybe
}

func matchFTPCommand(l *look) answer {
	a := anyFold(l.b, "USER ", "AUTH TLS\r\n", "AUTH SSL\r\n", "FEAT\r\n", "SYST\r\n")
	if a != yes {
		return a
	}
	if len(l.other) >= 3 && l.other[0] >= '1' && l.other[0] <= '5' && l.other[2] >= '0' && l.other[2] <= '9' {
		return yes
	}
	return when(l.ported(21, 2121), maybe)
}

func matchPOP3Banner(l *look) answer {
	a := starts(l.b, "+OK")
	if a != yes {
		return a
	}
	greeting, whole := line(l.b)
	if !whole {
		return more
	}
	if containsFold(greeting, "POP") || bytes.IndexByte(greeting, '<') > 0 || l.ported(110) || len(greeting) >= 12 {
		return yes
	}
	return maybe
}

func matchPOP3Command(l *look) answer {
	a := anyFold(l.b, "USER ", "CAPA\r\n", "APOP ", "AUTH", "STLS\r\n")
	if a != yes {
		return a
	}
	if starts(l.other, "+OK") == yes {
		return yes
	}
	return when(l.ported(110), maybe)
}

// matchIMAPCommand recognises a tag and a command (RFC 9051, section 2.2.1).
func matchIMAPCommand(l *look) answer {
	tag := 0
	for tag < len(l.b) && tag < 12 && (alphanumeric(l.b[tag]) || l.b[tag] == '.') {
		tag++
	}
	if tag == len(l.b) && tag < 12 {
		return more
	}
	if tag == 0 || tag >= 12 || l.b[tag] != ' ' {
		return no
	}
	return anyFold(l.b[tag+1:], "CAPABILITY\r\n", "LOGIN ", "STARTTLS\r\n", "AUTHENTICATE ", "ID (", "ID NIL")
}
