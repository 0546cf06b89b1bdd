package latest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// maxPages is how many pages are made at once; whoever asks for more is told to come
// again.
const maxPages = 8

// page shows the families of a registry, and then the latest values.
type page struct {
	own    prometheus.Gatherer
	values *Values
	busy   chan struct{}
}

// Page serves what own gathers and the latest values behind it, as text or in OpenMetrics,
// whichever is asked for. own may have values registered as a Collector.
func Page(own prometheus.Gatherer, values *Values) http.Handler {
	return &page{own: own, values: values, busy: make(chan struct{}, maxPages)}
}

// ServeHTTP implements http.Handler.
func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case p.busy <- struct{}{}:
		defer func() { <-p.busy }()
	default:
		http.Error(w, fmt.Sprintf("%d others are being answered: try again in a second", maxPages), http.StatusServiceUnavailable)
		return
	}
	form := negotiate(r.Header)
	body, err := p.write(form)
	if err != nil {
		http.Error(w, "the hub's own metrics cannot be read: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", string(form))
	w.Header().Set("Vary", "Accept, Accept-Encoding")
	if takesGzip(r.Header) {
		w.Header().Set("Content-Encoding", "gzip")
		squeeze(w, body)
		return
	}
	_, _ = w.Write(body) // the client has gone
}

// negotiate chooses a format as Prometheus' own handlers do, protobuf aside: values are
// kept as text.
func negotiate(h http.Header) expfmt.Format {
	return expfmt.NegotiateAccept(h, expfmt.FmtOpenMetrics_1_0_0, expfmt.FmtOpenMetrics_0_0_1, expfmt.FmtText)
}

// write makes the page.
func (p *page) write(form expfmt.Format) ([]byte, error) {
	families, err := p.own.Gather()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	enc := expfmt.NewEncoder(&b, form)
	taken := map[string]bool{}
	for _, f := range families {
		if err := enc.Encode(f); err != nil {
			return nil, fmt.Errorf("write %s: %w", f.GetName(), err)
		}
		taken[f.GetName()] = true
		if f.GetType() == dto.MetricType_COUNTER {
			taken[strings.TrimSuffix(f.GetName(), "_total")] = true
		}
	}
	to := formatText
	if form.FormatType() == expfmt.TypeOpenMetrics {
		to = formatOpenMetrics
	}
	p.values.writeTo(&b, to, taken)
	if c, ok := enc.(expfmt.Closer); ok {
		if err := c.Close(); err != nil {
			return nil, fmt.Errorf("write the end: %w", err)
		}
	}
	return b.Bytes(), nil
}

// writeTo appends the values to b.
func (v *Values) writeTo(b *bytes.Buffer, f format, taken map[string]bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sweep()
	b.Grow(v.shown*bytesOfSeries + len(v.families)*256)
	var page []byte
	page, v.hidden = v.append(b.AvailableBuffer(), f, taken)
	b.Write(page)
}

// bytesOfSeries is what a line has, about, so that a page is seldom copied.
const bytesOfSeries = 128

func takesGzip(h http.Header) bool {
	for part := range strings.SplitSeq(h.Get("Accept-Encoding"), ",") {
		name, quality, _ := strings.Cut(strings.TrimSpace(part), ";")
		if name == "gzip" && strings.TrimSpace(quality) != "q=0" {
			return true
		}
	}
	return false
}

// squeeze writes body packed; an error means that the client has gone.
func squeeze(w io.Writer, body []byte) {
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return
	}
	_, _ = z.Write(body)
	_ = z.Close()
}
