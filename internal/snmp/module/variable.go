package module

import "errors"

// ErrStop ends a walk early from its callback.
var ErrStop = errors.New("walk no further")
