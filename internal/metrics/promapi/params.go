package promapi

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/timestamp"
)

// request is one question.
type request struct {
	ctx   context.Context //nolint:containedctx // a request carries its own
	form  url.Values
	label string // of label/NAME/values
	now   time.Time
}

// earliest and latest are the times that a range without a bound begins and ends at, and
// that no time may be beyond. As in Prometheus they leave room, so that what the engine
// adds and takes away does not overflow milliseconds in 64 bits.
func earliest() time.Time { return time.Unix(math.MinInt64/1000+62135596801, 0).UTC() }
func latest() time.Time   { return time.Unix(math.MaxInt64/1000-62135596801, 999999999).UTC() }

// bounded is the context of a question: it ends after its own timeout or most, which
// ever is shorter.
func (q *request) bounded(ctx context.Context, most time.Duration) (context.Context, context.CancelFunc, error) {
	if text := q.form.Get("timeout"); text != "" {
		d, err := parseDuration(text)
		switch {
		case err != nil:
			return nil, nil, badParameter("timeout", err)
		case d <= 0:
			return nil, nil, badParameter("timeout", errors.New("it has to be longer than nothing"))
		}
		most = min(most, d)
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	return ctx, cancel, nil
}

// time reads a time, or is what it is without.
func (q *request) time(name string, without time.Time) (time.Time, error) {
	text := q.form.Get(name)
	if text == "" {
		return without, nil
	}
	t, err := parseTime(text)
	if err != nil {
		return time.Time{}, badParameter(name, fmt.Errorf("invalid time value for '%s': %w", name, err))
	}
	return t, nil
}

// span reads the range in time that names are looked for in; without bounds it is all.
// Both ends are Unix milliseconds.
func (q *request) span() (start, end int64, err error) {
	from, err := q.time("start", earliest())
	if err != nil {
		return 0, 0, err
	}
	to, err := q.time("end", latest())
	if err != nil {
		return 0, 0, err
	}
	if to.Before(from) {
		return 0, 0, badParameter("end", errors.New("end timestamp must not be before start timestamp"))
	}
	return timestamp.FromTime(from), timestamp.FromTime(to), nil
}

// limit reads how many results are wanted; 0 is all.
func (q *request) limit() (int, error) {
	text := q.form.Get("limit")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	switch {
	case err != nil:
		return 0, badParameter("limit", err)
	case n < 0:
		return 0, badParameter("limit", errors.New("limit must be non-negative"))
	}
	return n, nil
}

// maxMatchers bounds how many selectors one question has.
const maxMatchers = 64

// matchers reads selectors; each has to have one that does not match the empty text,
// since without it would be all there is.
func (q *request) matchers(a *API) ([][]*labels.Matcher, error) {
	texts := q.form["match[]"]
	if len(texts) > maxMatchers {
		return nil, badParameter("match[]", fmt.Errorf("there are %d selectors, and at most %d are taken", len(texts), maxMatchers))
	}
	sets, err := a.parser.ParseMetricSelectors(texts)
	if err != nil {
		return nil, badParameter("match[]", err)
	}
	for _, set := range sets {
		if !selective(set) {
			return nil, badParameter("match[]", errors.New("match[] must contain at least one non-empty matcher"))
		}
	}
	return sets, nil
}

func selective(set []*labels.Matcher) bool {
	for _, m := range set {
		if m != nil && !m.Matches("") {
			return true
		}
	}
	return false
}

// parseTime reads seconds since 1970, with a fraction of milliseconds, or RFC 3339.
func parseTime(text string) (time.Time, error) {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		whole, part := math.Modf(seconds)
		if math.IsNaN(seconds) || whole < float64(earliest().Unix()) || whole > float64(latest().Unix()) {
			return time.Time{}, fmt.Errorf("cannot parse %q to a valid timestamp", text)
		}
		return time.Unix(int64(whole), int64(math.Round(part*1000))*int64(time.Millisecond)).UTC(), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	// Years of more than four digits are not RFC 3339; some clients send these two for
	// "without a bound".
	for _, bound := range []time.Time{earliest(), latest()} {
		if text == bound.Format(time.RFC3339Nano) {
			return bound, nil
		}
	}
	return time.Time{}, fmt.Errorf("cannot parse %q to a valid timestamp", shortened(text))
}

// parseDuration reads seconds, or Prometheus' notation such as 1h30m.
func parseDuration(text string) (time.Duration, error) {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		ns := seconds * float64(time.Second)
		if math.IsNaN(ns) || ns >= math.MaxInt64 || ns <= math.MinInt64 {
			return 0, fmt.Errorf("cannot parse %q to a valid duration. It overflows int64", shortened(text))
		}
		return time.Duration(ns), nil
	}
	d, err := model.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("cannot parse %q to a valid duration", shortened(text))
	}
	return time.Duration(d), nil
}
