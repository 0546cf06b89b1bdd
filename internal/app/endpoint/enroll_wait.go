package endpoint

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/amoskys/amoskys/internal/cli"
)

// Pauses between two tries to enrol: short at first, for pods that start with the hub.
const (
	firstPause = 500 * time.Millisecond
	mostPause  = 5 * time.Second
	// tokenPatience is for how long a token that the hub does not know is shown again: it
	// takes up one that stands in its configuration within a minute.
	tokenPatience = 90 * time.Second
)

// enrollPatiently enrols, and tries again for o.Wait where that may help. What keeps it from
// it is told when it changes, and is the error in the end.
func enrollPatiently(ctx context.Context, e *cli.Env, o EnrollOptions) (Joined, error) {
	return patiently(ctx, e, o.Wait, func(ctx context.Context) (Joined, error) { return Enroll(ctx, e, o) })
}

func patiently(ctx context.Context, e *cli.Env, wait time.Duration, enroll func(context.Context) (Joined, error)) (Joined, error) {
	end := e.Now().Add(wait)
	said := ""
	var unknown time.Time // since when the hub does not know the token
	for pause := firstPause; ; pause = min(2*pause, mostPause) {
		joined, err := enroll(ctx)
		if err == nil {
			return joined, nil
		}
		switch statusOf(err) {
		case http.StatusUnauthorized:
			if unknown.IsZero() {
				unknown = e.Now()
			}
		default:
			unknown = time.Time{}
		}
		hopeless := !mayHelp(err) || !unknown.IsZero() && e.Now().Sub(unknown) >= tokenPatience
		if hopeless || !e.Now().Add(pause).Before(end) {
			return joined, err
		}
		if text := err.Error(); text != said {
			said = text
			fmt.Fprintf(e.Stderr, "trying again until %s: %s\n", end.Format(time.TimeOnly), cli.Clean(text))
		}
		select {
		case <-ctx.Done():
			return Joined{}, err
		case <-time.After(pause):
		}
	}
}

// statusOf is with what the hub answered; 0 where it did not.
func statusOf(err error) int {
	if a, ok := errors.AsType[*askError](err); ok {
		return a.status
	}
	return 0
}

// mayHelp says whether the same may be taken later: the hub is not heard or busy, or does
// not know the token yet. What is wrong on this host, with the request, or with this token
// for this host is the same in an hour.
func mayHelp(err error) bool {
	a, ok := errors.AsType[*askError](err)
	if !ok {
		return false
	}
	switch a.status {
	case 0, http.StatusUnauthorized, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true
	default:
		return a.status >= http.StatusInternalServerError
	}
}
