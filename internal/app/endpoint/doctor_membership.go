package endpoint

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/amoskys/amoskys/internal/agent/renewal"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/node"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// membership asks the hub what it knows of this host that cannot be seen from here,
// such as a second machine of its name.
func (d *doctor) membership(ctx context.Context) {
	cfg := node.DefaultConfig()
	if err := config.Load(d.env.Home.NodeConfig(), &cfg, config.DecodeOptions{Env: d.env.Lookup}); err != nil {
		return // the configuration says so already
	}
	files := cfg.Hub.Files(d.env.Home)
	if _, err := os.Stat(files.Cert); errors.Is(err, os.ErrNotExist) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	known, err := check(ctx, d, cfg, files)
	if err != nil {
		return // the look at the hub says why it cannot be reached; one of before knows no such call
	}
	host := ""
	if id, err := identity.Parse(known.GetCertificate().GetIdentity()); err == nil {
		host = id.Host()
	}
	for _, w := range known.GetWarnings() {
		d.add(VerdictWarn, "host "+host, w, "")
	}
	if len(known.GetWarnings()) == 0 {
		end := known.GetCertificate().GetNotAfter().AsTime().UTC().Format(time.RFC3339)
		d.add(VerdictOK, "host "+host, "the hub knows one machine of this name; the node's certificate ends on "+end, "")
	}
}

func check(ctx context.Context, d *doctor, cfg node.Config, files identity.Files) (*pb.CheckCertificateResponse, error) {
	dialer, err := cfg.Hub.Dialer(d.env.Home)
	if err != nil {
		return nil, err
	}
	conn, err := renewal.Dial(cfg.Hub.Addr(), cfg.Hub.Name(), files, dialer.Dial)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // nothing more is asked
	return pb.NewCertificatesClient(conn).CheckCertificate(ctx, &pb.CheckCertificateRequest{})
}
