package certificates

import (
	"context"
	"time"

	"github.com/amoskys/amoskys/internal/state"
)

// nothing is a store that knows no certificate.
type nothing struct{ Store }

func (nothing) Certificate(context.Context, string) (state.Certificate, error) {
	return state.Certificate{}, state.ErrNotFound
}

func (nothing) Certificates(context.Context, string, time.Time, int) ([]state.Certificate, error) {
	return nil, nil
}
