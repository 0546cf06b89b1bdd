package bench

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

func TestBackupCheck(t *testing.T) {
	good := BackupOptions{Agents: 3, Batch: 50, Rate: 1000, Bytes: 1 << 20, Before: time.Second, Patience: time.Second, Command: []string{"x"}}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*BackupOptions){
		"agents": func(o *BackupOptions) { o.Agents = 0 }, "rate": func(o *BackupOptions) { o.Rate = 0 },
		"size": func(o *BackupOptions) { o.Bytes = 0 }, "before": func(o *BackupOptions) { o.Before = -1 },
	} {
		o := good
		spoil(&o)
		if o.Check() == nil {
			t.Errorf("%s: not refused", name)
		}
	}
}

// TestDip: what is acknowledged in a backup is held against what is before it and behind.
func TestDip(t *testing.T) {
	var seen []ackedAt
	at, events := time.Unix(1000, 0), uint64(0)
	for i := range 40 * 5 { // 10 s at 1000, 20 s of which 10 at 500, 10 s at 1000
		seen = append(seen, ackedAt{at, events})
		at = at.Add(200 * time.Millisecond)
		if s := i / 5; s >= 15 && s < 25 {
			events += 100
		} else {
			events += 200
		}
	}
	r := &BackupResult{}
	r.noteAcks(seen, time.Unix(1010, 0), time.Unix(1030, 0))
	for what, v := range map[string][2]float64{
		"before": {r.Before, 1000}, "during": {r.During, 750}, "least": {r.Least, 500}, "dip": {r.Dip, 0.25}, "worst": {r.WorstDip, 0.5},
	} {
		if math.Abs(v[0]-v[1]) > v[1]/50 {
			t.Errorf("%s: %v, wanted %v", what, v[0], v[1])
		}
	}
	r.Verified, r.Questions, r.Bytes = true, 25, 1<<30
	if err := r.Same(); err != nil {
		t.Error(err)
	}
	var b strings.Builder
	if err := r.Write(&b); err != nil || !strings.Contains(b.String(), "25 of 25 answers") {
		t.Errorf("%v\n%s", err, b.String())
	}
	r.Unequal = []string{"* | x"}
	if err := r.Same(); !errors.Is(err, ErrNotTheSame) {
		t.Error(err)
	}
	if n := len(backupQuestions()); n != 25 {
		t.Errorf("%d questions", n)
	}
}
