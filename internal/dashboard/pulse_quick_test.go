package dashboard

import (
	"testing"
	"time"
)

// TestPulseIsQuick: a hub that hangs is seen within five seconds, of which a message
// to a tab and its drawing take less than one.
func TestPulseIsQuick(t *testing.T) {
	if worst := pulseEvery + pulseWithin; worst > 4*time.Second {
		t.Errorf("a hub that hangs is seen after %s", worst)
	}
}
