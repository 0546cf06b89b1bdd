package console

import (
	"context"
	"errors"
	"fmt"

	"github.com/amoskys/amoskys/internal/app"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/hub/audit"
	"github.com/amoskys/amoskys/internal/hub/keeping"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/wal"
)

// NoteRewrite puts into the audit trail that the log of e's home was written anew: its hash
// chain is another than before. It is not in the log itself, which may be for a build whose
// segments this one does not write.
func NoteRewrite(ctx context.Context, e *cli.Env, p *wal.RewritePlan, format int) (err error) {
	cfg, err := app.LoadHubConfig(e)
	if err != nil {
		return err
	}
	db, err := app.OpenState(ctx, e.Home, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	act := &pb.AuditActivity{
		Actor: actor(), Operation: keeping.OperationRewrite, Success: true,
		Detail: fmt.Sprintf("%s with %s are of format %d, %s instead of %s, with a new hash chain",
			cli.Counted(p.Segments, "segment", "segments"), cli.Counted(p.Events, "event", "events"), format, cli.Bytes(p.NewBytes), cli.Bytes(p.OldBytes)),
	}
	if p.Finished {
		act.Detail += "; an earlier rewrite, which was interrupted, was finished"
	}
	if p.BadPlaces > 0 {
		act.Detail += fmt.Sprintf("; %s of the old ones could not be read", cli.Counted(p.BadPlaces, "place", "places"))
	}
	audit.New(audit.Options{Store: db, Logger: e.Logger}).Audit(ctx, act)
	return nil
}
