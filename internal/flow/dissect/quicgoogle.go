package dissect

import "bytes"

// maxGoogleTags is how many tags of a CHLO are looked at.
const maxGoogleTags = 64

// googleHello reads the CHLO of Google's QUIC, a table of tags with the ends of
// their values ("QUIC Crypto", Google 2016), which lies in the clear in a packet of
// versions up to Q046.
func (r *reading) googleHello(b []byte) Verdict {
	at := bytes.Index(b[:min(len(b), 128)], []byte("CHLO"))
	if at < 0 || len(b) < at+8 {
		return r.quicTried()
	}
	b = b[at:]
	n := int(le16(b, 4))
	if n == 0 || n > maxGoogleTags || len(b) < 8+8*n {
		return r.quicTried()
	}
	values, from := b[8+8*n:], 0
	for i := range n {
		tag, to := string(b[8+8*i:12+8*i]), int(le32(b, 12+8*i))
		if to < from || to > len(values) {
			break
		}
		switch v := values[from:to]; tag {
		case "SNI\x00":
			r.tls().SNI = hostName(v)
		case "UAID":
			r.facts().QUIC.UserAgent = text(v, maxText)
		}
		from = to
	}
	return Done
}
