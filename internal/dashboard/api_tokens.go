package dashboard

import (
	"context"
	"net"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// MadeToken is a token with which a host joins, told this once.
type MadeToken struct {
	ID        string    `json:"id"`
	Token     string    `json:"token" doc:"The secret itself. It is told this once: the hub keeps a hash."`
	Hub       string    `json:"hub" doc:"Where the new host most likely reaches the hub, as HOST:PORT."`
	Note      string    `json:"note" doc:"What cannot be known of that address, and what to do; empty when it is sure."`
	Command   string    `json:"command" doc:"What to type on the new host."`
	ExpiresAt time.Time `json:"expires_at"`
}

type tokenInput struct {
	Body struct {
		Host string `json:"host,omitempty" maxLength:"253" doc:"The one host that may use it; any when empty."`
	}
}

// makeToken lets one host join within the hour. The hub audits it.
func (s *Server) makeToken(ctx context.Context, in *tokenInput) (MadeToken, error) {
	ctx, cancel := s.hub.call(ctx)
	defer cancel()
	made, err := s.hub.enrollment.CreateToken(ctx, &pb.CreateTokenRequest{
		Host: in.Body.Host, Ttl: durationpb.New(time.Hour), Uses: 1, Actor: sessionOf(ctx).user,
	})
	if err != nil {
		return MadeToken{}, err
	}
	out := MadeToken{
		ID: made.GetInfo().GetId(), Token: made.GetToken(), Hub: made.GetHub(), Note: made.GetHubNote(),
		ExpiresAt: made.GetInfo().GetExpiresTime().AsTime(),
	}
	if host, _, err := net.SplitHostPort(s.hub.addr); err == nil && !obs.IsLoopback(host) || out.Hub == "" {
		out.Hub, out.Note = s.hub.addr, "" // this dashboard reaches it so, from another machine
	}
	out.Command = "amoskys-agent enroll --hub " + out.Hub + " --token " + out.Token
	if in.Body.Host != "" {
		out.Command += " --host " + made.GetInfo().GetHost()
	}
	return out, nil
}
