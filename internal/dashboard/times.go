package dashboard

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
)

// parseTime reads a time of the API: RFC 3339, or how long ago, such as "15m",
// "24h" or "7d". Empty is nil.
func parseTime(name, text string, now time.Time) (*timestamppb.Timestamp, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // nil is "no bound"
	}
	if text == "now" {
		return timestamppb.New(now), nil
	}
	if ago, err := parseDuration(text); err == nil {
		return timestamppb.New(now.Add(-ago)), nil
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return nil, problem(http.StatusBadRequest,
			name+" must be a time as 2026-01-31T12:00:00Z, or how long ago as 15m, 24h or 7d")
	}
	return timestamppb.New(at), nil
}

// maxAgo keeps times within what they can be told in.
const maxAgo = 200 * 365 * 24 * time.Hour

// parseDuration is time.ParseDuration with days.
func parseDuration(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseFloat(days, 64)
		if err != nil || !(n >= 0 && n < maxAgo.Hours()/24) {
			return 0, strconv.ErrSyntax
		}
		return time.Duration(n * 24 * float64(time.Hour)), nil
	}
	d, err := time.ParseDuration(text)
	if err == nil && (d < 0 || d > maxAgo) {
		err = strconv.ErrRange
	}
	return d, err
}
