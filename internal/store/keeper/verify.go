package keeper

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// Report is what Verify found.
type Report struct {
	OK       bool        `json:"ok"` // nothing is damaged
	Days     []DayReport `json:"days"`
	SetAside []SetAside  `json:"set_aside"`
}

// DayReport is one day's.
type DayReport struct {
	Day    string `json:"day"`
	Parts  int    `json:"parts"`
	Events uint64 `json:"events"`
	Bytes  int64  `json:"bytes"`
	// Unknown are parts without checksums yet, such as those of the last half minute.
	Unknown int      `json:"unknown_parts"`
	Damage  []Damage `json:"damage,omitempty"`
}

// Damage is one part that is not as it was.
type Damage struct {
	Part string `json:"part"`
	Why  string `json:"why"`
}

// Verify compares every file of the store in the folder path with its checksum. It
// changes nothing, takes no lock, and works while the store runs. progress is told how
// much of how much is done, in bytes; it may be nil.
func Verify(ctx context.Context, path string, progress func(done, all int64)) (Report, error) {
	k := &Keeper{o: Options{Path: path}}
	r := Report{OK: true, Days: []DayReport{}, SetAside: []SetAside{}}
	days, err := k.days()
	if err != nil {
		return r, err
	}
	if len(days) == 0 {
		if _, err := os.Stat(k.engineDir()); err != nil {
			return r, fmt.Errorf("there is no store in %s: the role store makes one when it first runs", path)
		}
	}
	if aside, err := readSetAside(k.quarantineDir()); err == nil && aside != nil {
		r.SetAside = aside
		for i := range aside {
			aside[i].Text = nil // it may hold parts of events
		}
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		return r, err
	}
	ledgers, all := map[string]*ledger{}, int64(0)
	for _, day := range days {
		ledgers[day] = readLedger(k.sumsDir(), day)
		for _, p := range ledgers[day].Parts {
			all += p.bytes()
		}
	}
	done := int64(0)
	pace := &pacer{passed: func(n int64) {
		done += n
		if progress != nil {
			progress(min(done, all), all)
		}
	}}
	for _, day := range days {
		d := verifyDay(ctx, filepath.Join(k.partitions(), day), ledgers[day], pace)
		if ctx.Err() != nil {
			return r, fmt.Errorf("verify the store: %w", context.Cause(ctx))
		}
		d.Day = day
		r.OK = r.OK && len(d.Damage) == 0
		r.Days = append(r.Days, d)
	}
	return r, nil
}

func verifyDay(ctx context.Context, dir string, l *ledger, pace *pacer) DayReport {
	var d DayReport
	now, err := listed(dir)
	if err != nil {
		d.Damage = append(d.Damage, Damage{Why: plain(err).Error()})
	}
	for name := range now {
		if _, ok := l.Parts[name]; ok {
			continue
		}
		d.Unknown++
		if _, err := readHeader(filepath.Join(dir, name)); err != nil {
			if again, listErr := listed(dir); listErr == nil && again[name] { // else it was merged since
				d.Damage = append(d.Damage, Damage{Part: name, Why: plain(err).Error()})
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.Parts)) {
		p := l.Parts[name]
		if err == nil && !now[name] {
			continue // merged since
		}
		why, gone := checkPart(ctx, dir, name, p, pace)
		if gone {
			continue
		}
		d.Parts++
		d.Events += p.Rows
		d.Bytes += p.bytes()
		if why != "" {
			d.Damage = append(d.Damage, Damage{Part: name, Why: why})
		}
	}
	return d
}
