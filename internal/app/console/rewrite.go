package console

import (
	"context"
	"errors"

	"github.com/amoskys/amoskys/internal/app"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/hub/audit"
	"github.com/amoskys/amoskys/internal/hub/keeping"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// NoteRewrite puts into the audit trail that the log of e's home was written anew, with what
// that changed: its hash chain is another than before. It is not in the log itself, which may
// be for a build whose segments this one does not write.
func NoteRewrite(ctx context.Context, e *cli.Env, detail string) (err error) {
	cfg, err := app.LoadHubConfig(e)
	if err != nil {
		return err
	}
	db, err := app.OpenState(ctx, e.Home, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	audit.New(audit.Options{Store: db, Logger: e.Logger}).Audit(ctx, &pb.AuditActivity{
		Actor: actor(), Operation: keeping.OperationRewrite, Success: true, Detail: detail,
	})
	return nil
}
