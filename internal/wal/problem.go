package wal

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/amoskys/amoskys/internal/obs"
)

// damagedMark is between a segment's name and the position of its bad place in the
// name of a copy in the quarantine folder.
const damagedMark = ".damaged-at-"

// setAside returns the positions of the bad places of a segment of which the
// quarantine folder has a copy, in order.
func setAside(quarantined []string, segment string) []int64 {
	var places []int64
	for _, name := range quarantined {
		text, ok := strings.CutPrefix(name, segment+damagedMark)
		if !ok {
			continue
		}
		if pos, err := strconv.ParseUint(text, 10, 63); err == nil {
			places = append(places, int64(pos))
		}
	}
	slices.Sort(places)
	return places
}

// noteSetAside makes what lies in the quarantine folder of a segment its problem,
// if nothing else is known.
func (s *SegmentInfo) noteSetAside(quarantined []string) {
	places := setAside(quarantined, s.Name)
	if len(places) == 0 || s.Problem != "" {
		return
	}
	s.Problem = fmt.Sprintf("damaged at byte %d (copy in quarantine)", places[0])
	if n := len(places) - 1; n > 0 {
		s.Problem += " and " + obs.Counted(n, "further place", "further places")
	}
}

// walkLast finds where the last segment's events end, and notes its first bad place.
func (s *SegmentInfo) walkLast(ctx context.Context, w *walk) error {
	w.live = true
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		var st step
		if err := w.step(&st); err != nil {
			return err
		}
		switch st.kind {
		case stepRecord:
			s.Next = w.next
			s.addRecord(&st.rec)
		case stepHole:
			if s.Problem == "" {
				s.Problem = fmt.Sprintf("damaged at byte %d: %s", st.hole.pos, st.hole.reason)
			}
		case stepTorn, stepEnd:
			return nil
		}
	}
}
