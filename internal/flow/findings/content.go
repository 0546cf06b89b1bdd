package findings

import (
	"time"

	"github.com/amoskys/amoskys/internal/flow/dissect"
	"github.com/amoskys/amoskys/internal/flow/track"
)

// content judges what the Facts of a flow say. more is 1 for a flow that is new, 0 for
// one that is looked at again.
func (w *Watch) content(f *track.Flow, more uint64) {
	if f.Facts == nil {
		return
	}
	if f.Facts.Cleartext != nil {
		w.login(f, f.Facts.Cleartext, more)
	}
	if f.Facts.TLS != nil && f.Facts.TLS.SHA256 != "" {
		w.certificate(f, f.Facts.TLS, more)
	}
}

// login raises a login that anyone on the way could read. The secret is not known here.
func (w *Watch) login(f *track.Flow, c *dissect.Cleartext, more uint64) {
	w.raise(sighting{
		subject: subject{kind: CleartextLogin, source: f.Src, target: f.Dst, name: c.Protocol + " " + c.User},
		against: f.Dst, port: f.DstPort, protocol: f.Protocol, method: c.Protocol, user: c.User, count: 1, more: more,
	})
}

// certificate raises what is wrong with a server's certificate at the time of the flow.
func (w *Watch) certificate(f *track.Flow, t *dissect.TLS, more uint64) {
	at := time.Unix(0, f.First)
	raise := func(kind Kind, days float64) {
		w.raise(sighting{
			subject: subject{kind: kind, target: f.Dst, name: t.SHA256},
			against: f.Src, port: f.DstPort, protocol: f.Protocol, method: t.Subject, user: t.SNI,
			count: 1, more: more, numbers: [4]float64{days},
		})
	}
	grace := time.Duration(w.cfg.Certificates.GraceHours) * time.Hour
	switch {
	case !t.NotAfter.IsZero() && at.Sub(t.NotAfter) > grace:
		raise(CertificateExpired, at.Sub(t.NotAfter).Hours()/24)
	case !t.NotBefore.IsZero() && t.NotBefore.Sub(at) > grace:
		raise(CertificateNotYetValid, t.NotBefore.Sub(at).Hours()/24)
	}
	// WebRTC's are signed by themselves by design (RFC 8827, section 5).
	if t.SelfSigned && f.Protocol == protoTCP {
		raise(CertificateSelfSigned, 0)
	}
}
