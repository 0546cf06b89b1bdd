package main

import (
	"context"

	"github.com/amoskys/amoskys/internal/scan"
	"github.com/amoskys/amoskys/internal/scan/report"
)

// identified scans, and adds to each host what is known of its services, system and
// maker.
func (s *scanCommand) identified(ctx context.Context, plan scan.Plan, progress func(scan.Progress)) error {
	return scan.Run(ctx, plan, func(h scan.Host) { s.add(report.Of(&h)) }, progress)
}
