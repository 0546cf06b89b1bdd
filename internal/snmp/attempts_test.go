package snmp_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/snmp"
	"github.com/amoskys/amoskys/internal/snmp/snmptest"
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

func TestAttemptsAtADeviceThatRefusesUsers(t *testing.T) {
	t.Parallel()
	a := snmp.NewAttempts(several())
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	tried := map[int][]time.Duration{}
	for at := time.Duration(0); at < 24*time.Hour; at += time.Minute {
		now := start.Add(at)
		for range 5 { // one round over all of them a minute
			i, ok := a.Next(now)
			if !ok {
				break
			}
			tried[i] = append(tried[i], at)
			err := snmp.ErrTimeout
			if i >= 2 {
				err = snmp.ErrPassword
			}
			a.Note(now, i, err)
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
	if n := len(tried[0]); n < 24 || n > 40 {
		t.Errorf("the first community was tried %d times in a day", n)
	}
	now := start.Add(24 * time.Hour)
	if due := a.Due(now); due.Before(now) || due.Sub(now) > time.Hour {
		t.Errorf("the next one is due %s later", due.Sub(now))
	}
}

func TestAttemptsKeepToWhatWorks(t *testing.T) {
	t.Parallel()
	a := snmp.NewAttempts(several())
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	next := func(want int) {
		t.Helper()
		if i, ok := a.Next(now); !ok || i != want {
			t.Fatalf("next is %d, %t; want %d", i, ok, want)
		}
	}
	next(0)
	a.Note(now, 0, snmp.ErrTimeout)
	next(1)
	a.Note(now, 1, nil)
	for range 3 { // the device is away: others have no turn yet
		next(1)
		a.Note(now, 1, snmp.ErrTimeout)
	}
	next(2)
	a.Note(now, 2, nil)
	next(2)
	a.Note(now, 2, snmp.ErrPassword) // the password was changed
	if i, ok := a.Next(now); !ok || i == 2 {
		t.Errorf("next is %d, %t", i, ok)
	}
}

func TestOpenAny(t *testing.T) {
	t.Parallel()
	all := several()
	d := snmptest.NewDevice("second", snmptest.Load(t, small))
	d.Users = all[4:]
	_, at := snmptest.Start(t, d)
	target := snmp.Target{Addr: at, Timeout: 300 * time.Millisecond}
	a := snmp.NewAttempts(all)
	c, i, err := snmp.OpenAny(t.Context(), target, all, a, time.Now)
	if err != nil || i != 1 {
		t.Fatalf("opened with %d, %v", i, err)
	}
	c.Close()

	users := all[2:]
	a = snmp.NewAttempts(users)
	_, _, err = snmp.OpenAny(t.Context(), target, users, a, time.Now)
	if !errors.Is(err, snmp.ErrUser) {
		t.Errorf("got %v", err) // two of them were refused, and the third has to wait
	}
	_, _, err = snmp.OpenAny(t.Context(), target, users, a, time.Now)
	if !errors.Is(err, snmp.ErrResting) {
		t.Errorf("got %v", err)
	}
	later := func() time.Time { return time.Now().Add(20 * time.Minute) }
	if c, i, err = snmp.OpenAny(t.Context(), target, users, a, later); err != nil || i != 2 {
		t.Fatalf("opened with %d, %v", i, err)
	}
	c.Close()
}
