package export

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// send sends batches, one after the other, until ctx ends.
func (s *sender) send(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case b := <-s.queue:
			body, header := s.encoder.encode(b)
			if !s.deliver(ctx, b, body, header) {
				return
			}
			s.pending.Add(-1)
		}
	}
}

// refusal is an answer that says no.
type refusal struct {
	status int
	text   string
	after  time.Duration // 0: it says nothing
}

func (r *refusal) Error() string { return fmt.Sprintf("it answers %d: %s", r.status, r.text) }

// again reports whether the same may be taken later.
func (r *refusal) again() bool {
	return r.status == http.StatusTooManyRequests || r.status == http.StatusRequestTimeout || r.status >= 500 && r.status != http.StatusNotImplemented
}

// deliver sends one batch until it is taken or refused for good; false: ctx has ended.
func (s *sender) deliver(ctx context.Context, b *batch, body []byte, header map[string]string) bool {
	for pause := s.e.o.firstPause; ; pause = min(2*pause, s.e.o.lastPause) {
		began := time.Now()
		err := s.post(ctx, b, body, header)
		s.metrics.seconds.Observe(time.Since(began).Seconds())
		if ctx.Err() != nil {
			return false
		}
		s.note(ctx, err)
		if err == nil {
			s.metrics.sent.Add(float64(len(b.points)))
			s.metrics.newest.Set(float64(b.newest) / 1e3)
			s.place.set(b.end, b.round)
			return true
		}
		r, answered := errors.AsType[*refusal](err)
		if answered && !r.again() {
			s.metrics.dropped.WithLabelValues(dropRefused).Add(float64(len(b.points)))
			s.place.set(b.end, b.round)
			return true
		}
		s.metrics.retries.Inc()
		wait := pause/2 + rand.N(pause) //nolint:gosec // spread, not secrecy
		if answered && r.after > 0 {
			wait = min(r.after, s.e.o.lastPause)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return false
		case <-timer.C:
		}
	}
}

// maxAnswer bounds what is read of an answer, and maxSaid what of it is told, in bytes.
const (
	maxAnswer = 64 << 10
	maxSaid   = 300
)

// post sends a batch once.
func (s *sender) post(ctx context.Context, b *batch, body []byte, header map[string]string) error {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make a request: %w", err)
	}
	if s.Header != nil {
		own, err := s.Header()
		if err != nil {
			return err
		}
		maps.Copy(req.Header, own)
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	req.Header.Set("User-Agent", "amoskys/"+s.e.o.Version)
	resp, err := s.Client.Do(req)
	if u, is := errors.AsType[*url.Error](err); is {
		err = u.Err // the rest is the address, which may hold a token
	}
	if err != nil {
		return fmt.Errorf("send metrics: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode/100 != 2 {
		r := &refusal{status: resp.StatusCode, text: said(answer)}
		if seconds, bad := strconv.Atoi(resp.Header.Get("Retry-After")); bad == nil && seconds > 0 {
			r.after = time.Duration(seconds) * time.Second
		}
		return r
	}
	if err != nil {
		return nil //nolint:nilerr // it was taken
	}
	if n, why := s.encoder.refused(resp.Header, answer, len(b.points)); n > 0 {
		s.metrics.dropped.WithLabelValues(dropPartly).Add(float64(n))
		s.log.DebugContext(ctx, "a receiver of metrics has left samples out", "samples", n, "reason", said([]byte(why)))
	}
	return nil
}

// said is what an answer says, for people: one line.
func said(b []byte) string {
	text := strings.Join(strings.Fields(strings.ToValidUTF8(string(b[:min(len(b), maxSaid)]), "�")), " ")
	if text == "" {
		return "nothing more"
	}
	return text
}
