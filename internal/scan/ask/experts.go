package ask

import (
	"fmt"
	"time"

	"github.com/amoskys/amoskys/internal/scan/service"
	"github.com/amoskys/amoskys/internal/scan/stack"
)

// Experts know services and devices: fingerprints and rules, which take a while to load.
// They are safe for concurrent use.
type Experts struct {
	Services *service.Identifier
	Judge    *stack.Judge
}

// Load reads what experts know. deadline is what one port may take; 0 is the usual.
func Load(deadline time.Duration) (*Experts, error) {
	services, err := service.New(service.Options{Deadline: deadline})
	if err != nil {
		return nil, fmt.Errorf("load fingerprints: %w", err)
	}
	judge, err := stack.New()
	if err != nil {
		return nil, fmt.Errorf("load rules about devices: %w", err)
	}
	return &Experts{services, judge}, nil
}
