package endpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/identity"
)

// TestEnrollPatiently: what may be otherwise later is tried again, what will be the same is
// not, and a token that nobody knows for a minute and a half is wrong.
func TestEnrollPatiently(t *testing.T) {
	t.Parallel()
	no := func(status int) error {
		return fmt.Errorf("enrol at hub1:5000: %w", asked("hub1:5000", &askError{status: status, err: errors.New("no")}))
	}
	for name, c := range map[string]struct {
		errs  []error // of one try after the other; the last again and again
		after time.Duration
		joins bool
	}{
		"at once":                            {errs: []error{nil}, joins: true},
		"no hub yet":                         {errs: []error{asked("hub1:5000", io.EOF), no(503), nil}, after: 1500 * time.Millisecond, joins: true},
		"the token is taken up":              {errs: []error{no(401), no(401), nil}, after: 1500 * time.Millisecond, joins: true},
		"the token is wrong":                 {errs: []error{no(401)}, after: 92500 * time.Millisecond},
		"too many":                           {errs: []error{no(429)}, after: 597500 * time.Millisecond},
		"another host's token":               {errs: []error{no(403)}},
		"a request that is none":             {errs: []error{no(http.StatusBadRequest)}},
		"no token at all":                    {errs: []error{identity.ErrNotAToken}},
		"certificates that are there":        {errs: []error{errors.New("there are certificates: --force")}},
		"the hub is there, and then says no": {errs: []error{asked("hub1:5000", io.EOF), no(403)}, after: firstPause},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began, tries := time.Now(), 0
				_, err := patiently(t.Context(), &cli.Env{Now: time.Now, Stderr: io.Discard}, 10*time.Minute, func(context.Context) (Joined, error) {
					tries++
					return Joined{}, c.errs[min(tries, len(c.errs))-1]
				})
				if (err == nil) != c.joins || time.Since(began) != c.after {
					t.Errorf("after %s and %d tries: %v", time.Since(began), tries, err)
				}
			})
		})
	}
}
