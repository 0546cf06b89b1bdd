package snmp_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/snmp"
)

// Two communities and three users.
func several() []snmp.Credential {
	all := []snmp.Credential{{Community: "first"}, {Community: "second"}}
	for i := range 3 {
		c := user(snmp.SHA, snmp.NoPrivacy)
		c.User = fmt.Sprintf("user-%d", i)
		all = append(all, c)
	}
	return all
}

// TestAttemptsAtADeviceThatRefusesUsers: whatever is asked for how often, no device meets
// more than two wrong passwords within a quarter of an hour; the program may start anew
// in between.
func TestAttemptsAtADeviceThatRefusesUsers(t *testing.T) {
	t.Parallel()
	a := snmp.NewAttempts(several())
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	tried := map[int][]time.Duration{}
	for at := time.Duration(0); at < 24*time.Hour; at += time.Minute {
		now := start.Add(at)
		for i := range several() { // one round over all of them a minute
			if a.Due(i).After(now) {
				continue
			}
			tried[i] = append(tried[i], at)
			if i >= 2 {
				a.Refused(now, i)
			}
		}
		if at%(7*time.Minute) == 0 {
			a = snmp.NewAttempts(several(), a.Refusals()...)
		}
	}
	var refused []time.Duration
	for i := 2; i < 5; i++ {
		refused = append(refused, tried[i]...)
		if n := len(tried[i]); n < 2 || n > 7 {
			t.Errorf("user %d was tried %d times in a day", i, n)
		}
	}
	for _, at := range refused {
		within := 0
		for _, other := range refused {
			if other >= at && other < at+15*time.Minute {
				within++
			}
		}
		if within > 2 {
			t.Errorf("%d refusals within a quarter of an hour from %s on", within, at)
		}
	}
	if n := len(tried[0]); n != 24*60 {
		t.Errorf("the first community was held back: %d times in a day", n)
	}
}

func TestAttemptsForgive(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	a := snmp.NewAttempts(several())
	a.Refused(now, 2)
	if due := a.Due(2); due.Sub(now) != 30*time.Minute {
		t.Errorf("due after %s", due.Sub(now))
	}
	a.Forgive()
	if a.Due(2).After(now) {
		t.Error("one refusal is not forgiven")
	}
	a.Refused(now, 2)
	a.Forgive()
	if due := a.Due(3); due.Sub(now) != 15*time.Minute {
		t.Errorf("after two refusals a user is due after %s", due.Sub(now))
	}
	if a.Due(0).After(now) {
		t.Error("a community has to wait")
	}
	a.Opened(2)
	if got := a.Refusals(); len(got) != 0 {
		t.Errorf("%+v stands against what opens", got)
	}
	if snmp.NewAttempts(several(), snmp.Refusal{Credential: 9, Times: 1}, snmp.Refusal{Credential: -1, Times: 1}).Refusals() != nil {
		t.Error("refusals of credentials that are not there")
	}
}
