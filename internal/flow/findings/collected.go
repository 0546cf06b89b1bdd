package findings

import "github.com/amoskys/amoskys/internal/flow/track"

// Collected looks at a flow that an exporter told of, once, as it ended there. It says
// nothing of what our own interfaces see. at is when it came, in Unix nanoseconds: the
// exporter's clock moves nothing here.
//
// Where the exporter samples, that no answer was seen is no sign that there was none,
// so that scans, beacons and floods of many flows are not looked for: what is left is
// how much was sent.
func (w *Watch) Collected(f *track.Flow, at int64, sampled bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pass(at, true)
	if sampled {
		w.flood(f, false)
		w.uploadOf(f)
		return
	}
	w.scan(f)
	w.flood(f, true)
	w.flood(f, false)
	w.beacon(f, true)
	w.beacon(f, false)
	w.uploadOf(f)
	w.destination(f)
}

// uploadOf is upload for a flow that is told once, by its exporter.
func (w *Watch) uploadOf(f *track.Flow) {
	if w.leaves(f) {
		w.left(f, f.Out.Bytes)
	}
}
