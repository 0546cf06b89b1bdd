package endpoint

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/identity"
)

// Pauses between two tries to enrol: short at first, for pods that start with the hub.
const (
	firstPause = 500 * time.Millisecond
	mostPause  = 5 * time.Second
)

// enrollPatiently enrols, and tries again for o.Wait. What keeps it from that is told when
// it changes, and is the error in the end.
func enrollPatiently(ctx context.Context, e *cli.Env, o EnrollOptions) (Joined, error) {
	end := e.Now().Add(o.Wait)
	said := ""
	for pause := firstPause; ; pause = min(2*pause, mostPause) {
		joined, err := Enroll(ctx, e, o)
		if err == nil || errors.Is(err, identity.ErrNotAToken) || !e.Now().Add(pause).Before(end) {
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
