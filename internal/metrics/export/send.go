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
			if !s.deliver(ctx, b) {
				return
			}
			s.pending.Add(-1)
		}
	}
}

// deliver sends one batch: what is in order, and then what came late. False: ctx has ended.
func (s *sender) deliver(ctx context.Context, b *batch) bool {
	s.place.underWay(ctx, b.end, b.round, s.log)
	of := &delivery{parts: partsMost, refused: map[string]int{}}
	for i, points := range [][]point{b.points, b.late} {
		if len(points) == 0 {
			continue
		}
		switch {
		case b.again:
			of.reason = dropAgain
		case i == 0:
			of.reason = dropRefused
		default:
			of.reason = dropLate
		}
		request := b
		if len(points) < b.size() || i > 0 {
			request = b.part(points)
		}
		if !s.request(ctx, of, request) {
			return false
		}
		s.endOf(of)
	}
	s.noteRefused(ctx, of)
	s.place.set(b.end, b.round)
	return true
}

// refusal is an answer that says no.
type refusal struct {
	status int
	text   string
	after  time.Duration // 0: it says nothing
	// written is how many samples of the request it took all the same; -1: it says nothing.
	written int
}

func (r *refusal) Error() string { return fmt.Sprintf("it answers %d: %s", r.status, r.text) }

// again reports whether the same may be taken later.
func (r *refusal) again() bool {
	return r.status == http.StatusTooManyRequests || r.status == http.StatusRequestTimeout || r.status >= 500 && r.status != http.StatusNotImplemented
}

// request sends one request until it is taken or refused for good; false: ctx has ended.
func (s *sender) request(ctx context.Context, of *delivery, b *batch) bool {
	body, header := s.encoder.encode(b)
	for pause := s.e.o.firstPause; ; pause = min(2*pause, s.e.o.lastPause) {
		began := time.Now()
		err := s.post(ctx, b, body, header)
		s.metrics.seconds.Observe(time.Since(began).Seconds())
		if ctx.Err() != nil {
			return false
		}
		r, answered := errors.AsType[*refusal](err)
		if err == nil || answered && !r.again() {
			s.note(ctx, err, r)
			return s.settle(ctx, of, b, r)
		}
		s.note(ctx, err, nil)
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
		r := &refusal{status: resp.StatusCode, text: said(answer), written: -1}
		if n, told := written(resp.Header, len(b.points)); told && s.Protocol == RemoteWrite2 {
			r.written = n
		}
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
