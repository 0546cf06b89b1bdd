package dissect

import (
	"encoding/hex"
	"slices"
	"testing"
)

// rfc9001Initial is a client's Initial packet made with the keys of RFC 9001,
// appendix A: its ClientHello asks for example.com.
func rfc9001Initial() []byte {
	hello, err := hex.DecodeString("060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e86804fe3a47f06a2b69484c00000413011302010000c000000010000e00000b6578616d706c652e636f6dff01000100000a00080006001d0017001800100007000504616c706e000500050100000000003300260024001d00209370b2c9caa47fbabaf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b0003020304000d0010000e0403050306030203080408050806002d00020101001c00024001003900320408ffffffffffffffff05048000ffff07048000ffff0801100104800075300901100f088394c8f03e51570806048000ffff")
	if err != nil {
		return nil
	}
	return sealInitial(quicV1, saltV1, []byte("\x83\x94\xc8\xf0\x3e\x51\x57\x08"), 2, hello)
}

// sealInitial protects frames as a client does (RFC 9001, section 5).
func sealInitial(version uint32, salt string, dcid []byte, number byte, frames []byte) []byte {
	var q quicState
	if !q.derive(version, salt, dcid) {
		return nil
	}
	frames = append(frames, make([]byte, 1162-len(frames))...)
	first := byte(0xc3)
	if version == quicV2 {
		first = 0xd3
	}
	n := len(frames) + 4 + 16
	header := []byte{first, byte(version >> 24), byte(version >> 16), byte(version >> 8), byte(version), byte(len(dcid))}
	header = append(header, dcid...)
	header = append(header, 0, 0, 0x40|byte(n>>8), byte(n), 0, 0, 0, number)
	nonce := q.iv
	nonce[11] ^= number
	out := q.aead.Seal(append([]byte(nil), header...), nonce[:], frames, header)
	at := len(header) - 4
	var mask [16]byte
	q.block.Encrypt(mask[:], out[at+4:at+20])
	out[0] ^= mask[0] & 0x0f
	for i := range 4 {
		out[at+i] ^= mask[1+i]
	}
	return out
}

func TestQUIC(t *testing.T) {
	packet := rfc9001Initial()
	// The first bytes of the protected packet, as RFC 9001, appendix A.2, prints them.
	if got := hex.EncodeToString(packet[:32]); got != "c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11" {
		t.Errorf("made %s", got)
	}
	f := play(New(Options{}), udpTuple(443), []message{{FromInitiator, packet}}, 1<<16)
	if f == nil || f.App != "quic" || f.QUIC.Version != "1" || f.TLS == nil || f.TLS.SNI != "example.com" || f.TLS.ALPN[0] != "alpn" || f.TLS.JA4[:10] != "q13d0211an" {
		t.Fatalf("%+v", f)
	}
}

// TestQUICServer: the server's side alone has a name and a version, and before the
// client's it hides nothing of that.
func TestQUICServer(t *testing.T) {
	server := sealInitial(quicV1, saltV1, []byte("of another"), 0, []byte{framePing})
	copy(server[6:], "not theirs") // the server's packets name the client's choice of an id
	client := message{FromInitiator, rfc9001Initial()}
	for name, messages := range map[string][]message{
		"alone":         {{FromResponder, server}, {FromResponder, server}},
		"first":         {{FromResponder, server}, client},
		"in between":    {client, {FromResponder, server}},
		"six before it": append(slices.Repeat([]message{{FromResponder, server}}, 6), client),
	} {
		f := play(New(Options{}), udpTuple(443), messages, 1<<16)
		if f == nil || f.App != "quic" || f.QUIC.Version != "1" || (name != "alone") != (f.TLS != nil && f.TLS.SNI == "example.com") {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// TestQUICPieces: version 2, and a ClientHello in two packets whose frames come in
// the wrong order.
func TestQUICPieces(t *testing.T) {
	frame, err := hex.DecodeString("010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e86804fe3a47f06a2b69484c00000413011302010000c000000010000e00000b6578616d706c652e636f6dff01000100000a00080006001d0017001800100007000504616c706e000500050100000000003300260024001d00209370b2c9caa47fbabaf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b0003020304000d0010000e0403050306030203080408050806002d00020101001c00024001003900320408ffffffffffffffff05048000ffff07048000ffff0801100104800075300901100f088394c8f03e51570806048000ffff")
	if err != nil {
		t.Fatal(err)
	}
	piece := func(from, to int) []byte {
		return append([]byte{frameCrypto, 0x40, byte(from), 0x40, byte(to - from)}, frame[from:to]...)
	}
	dcid := []byte("12345678")
	second := append(piece(200, len(frame)), piece(50, 100)...)
	one := sealInitial(quicV2, saltV2, dcid, 0, append(piece(100, 200), framePing))
	two := sealInitial(quicV2, saltV2, dcid, 1, append(second, piece(0, 60)...))
	f := play(New(Options{}), udpTuple(443), []message{{FromInitiator, one}, {FromInitiator, two}}, 1<<16)
	if f == nil || f.QUIC.Version != "2" || f.TLS == nil || f.TLS.SNI != "example.com" {
		t.Fatalf("%+v", f)
	}
}
