package app

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/amoskys/amoskys/internal/app/endpoint"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

func (h *enrolHub) joinToken(t *testing.T, req *pb.CreateTokenRequest) *pb.CreateTokenResponse {
	t.Helper()
	resp, err := h.operator(t).CreateToken(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// enrol is join with everything that may be said, in an environment of its own.
func (h *enrolHub) enrol(t *testing.T, o endpoint.EnrollOptions, variables map[string]string) (config.Home, endpoint.Joined, error) {
	t.Helper()
	home := config.Home(t.TempDir())
	e := &cli.Env{Home: home, Now: h.clock.Now, Logger: obs.Discard(), Lookup: func(name string) (string, bool) {
		v, ok := variables[name]
		return v, ok
	}}
	o.Hub = h.addr
	joined, err := endpoint.Enroll(t.Context(), e, o)
	return home, joined, err
}

// TestJoinToken: one token for a fleet, each host with a key and a name of its own.
func TestJoinToken(t *testing.T) {
	h := startEnrolHub(t, true)
	made := h.joinToken(t, &pb.CreateTokenRequest{Uses: 3, HostPattern: "web-[0-9]*", Ttl: durationpb.New(time.Hour)})
	token := made.GetToken()
	if !h.acts.has("token.create true " + made.GetInfo().GetId()) {
		t.Errorf("audited: %q", h.acts.list)
	}
	for name, want := range map[string]string{"db-1": "the token is for hosts web-[0-9]*, not for db-1", "web-x": "not for web-x", "web-1/a": "has no /"} {
		if _, _, err := h.enrol(t, endpoint.EnrollOptions{Token: token, Host: name}, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	keys := map[string]bool{}
	for _, name := range []string{"WEB-1.", "web-2"} { // named by the variable, as pods are
		home, joined, err := h.enrol(t, endpoint.EnrollOptions{Token: token}, map[string]string{endpoint.NodeNameVariable: name})
		if err != nil {
			t.Fatal(err)
		}
		want := strings.ToLower(strings.TrimSuffix(name, "."))
		if got := ownID(filepath.Join(home.Certs(), "node.crt")).Name; got != want || joined.Host != want {
			t.Errorf("%s: named %s, %s", name, got, joined.Host)
		}
		held, err := identity.Hold(identity.FilesFor(home.Certs(), "agent"))
		if err != nil {
			t.Fatal(err)
		}
		keys[string(held.Cert.RawSubjectPublicKeyInfo)] = true
	}
	if len(keys) != 2 {
		t.Error("two hosts have one key")
	}
	list, err := h.operator(t).ListTokens(t.Context(), &pb.ListTokensRequest{})
	if err != nil || list.GetTokens()[0].GetUses() != 3 || list.GetTokens()[0].GetUsedCount() != 2 || !strings.HasPrefix(list.GetTokens()[0].GetUsedBy(), "web-2 from") {
		t.Errorf("list: %v, %v", list, err)
	}
	// Eight at once for the last use: one wins, and the others are told why.
	var won atomic.Int32
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			_, _, err := h.enrol(t, endpoint.EnrollOptions{Token: token, Host: fmt.Sprintf("web-%d", 3+i)}, nil)
			switch {
			case err == nil:
				won.Add(1)
			case !strings.Contains(err.Error(), "the token was used") && !strings.Contains(err.Error(), "the hub is busy"):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d hosts joined with the last use", won.Load())
	}
	if _, _, err := h.enrol(t, endpoint.EnrollOptions{Token: token, Host: "web-9"}, nil); err == nil || !strings.Contains(err.Error(), "used 3 times, as often as it may be") {
		t.Errorf("a spent token: %v", err)
	}
}

func TestJoinTokenIsRevoked(t *testing.T) {
	h := startEnrolHub(t, true)
	made := h.joinToken(t, &pb.CreateTokenRequest{Uses: 5})
	if _, _, err := h.enrol(t, endpoint.EnrollOptions{Token: made.GetToken(), Host: "web-1"}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := h.operator(t).RevokeToken(t.Context(), &pb.RevokeTokenRequest{Id: made.GetInfo().GetId()}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.enrol(t, endpoint.EnrollOptions{Token: made.GetToken(), Host: "web-2"}, nil); err == nil || !strings.Contains(err.Error(), "it was revoked") {
		t.Errorf("after it was revoked: %v", err)
	}
	if !h.acts.has("token.revoke true " + made.GetInfo().GetId()) {
		t.Errorf("audited: %q", h.acts.list)
	}
}

func TestTokensThatCannotBe(t *testing.T) {
	h := startEnrolHub(t, true)
	for name, req := range map[string]*pb.CreateTokenRequest{
		"many uses":         {Uses: 10_001},
		"host and pattern":  {Host: "web-1", HostPattern: "web-*"},
		"an open class":     {HostPattern: "web-[0"},
		"a trailing escape": {HostPattern: `web-\`},
		"a path":            {HostPattern: "a/*"},
		"capitals":          {HostPattern: "Web-*"},
		"a blank":           {HostPattern: "web *"},
		"a long pattern":    {HostPattern: strings.Repeat("a", 254)},
		"a kind":            {Kinds: []string{"SNMP"}},
		"no such kind":      {Kinds: []string{"fluw"}},
		"many kinds":        {Kinds: slices.Repeat([]string{"synth"}, 65)},
		"a second too much": {Ttl: durationpb.New(30*day + time.Second)},
		"no time":           {Ttl: durationpb.New(0)},
	} {
		if _, err := h.operator(t).CreateToken(t.Context(), req); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		} else if name == "no such kind" && !strings.Contains(err.Error(), "valid: "+strings.Join(endpoint.Observing(), ", ")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestEachAgentItsOwn: with --per-agent a certificate speaks for one agent, carries
// its observing kind alone, and is what the agent takes.
func TestEachAgentItsOwn(t *testing.T) {
	h := startEnrolHub(t, true)
	o := endpoint.EnrollOptions{Token: h.token(t, "web-1"), Host: "web-1", PerAgent: true, Kinds: []string{"proc", "macos"}}
	home, _, err := h.enrol(t, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	host := joined{home, h}
	for name, want := range map[string]struct {
		id       string
		observes []string
	}{
		"agent-proc_agent":    {"web-1/proc_agent", nil},
		"agent-mac_telemetry": {"web-1/mac_telemetry", []string{"macos"}},
	} {
		cert := host.cert(t, name)
		if got := ownID(host.files(name).Cert).Name; got != want.id || !slices.Equal(identity.Observes(cert), want.observes) {
			t.Errorf("%s: %s observes %v", name, got, identity.Observes(cert))
		}
		if err := host.with(name).publishAs(t); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, findings := identity.Verify(home.Certs(), identity.VerifyOptions{Now: h.clock.Now()}); len(findings) > 0 {
		t.Errorf("findings: %v", findings)
	}
	common := loadCommon(t, "proc", home)
	if got := common.Files(home); got != host.files("agent-proc_agent") {
		t.Errorf("the agent takes %v", got)
	}
	if err := host.with("agent-mac_telemetry").publishAs(t); err != nil {
		t.Error(err)
	}
	if done, err := host.renewer("node", "agent-proc_agent", "agent-mac_telemetry").Renew(t.Context(), true); err != nil || len(done) != 3 {
		t.Errorf("renewed %v, %v", done, err)
	}
}

// TestTokenBoundsWhatAgentsObserve: a token with kinds gives no others, and a request
// that asks for more does not cost it.
func TestTokenBoundsWhatAgentsObserve(t *testing.T) {
	h := startEnrolHub(t, true)
	token := h.joinToken(t, &pb.CreateTokenRequest{Kinds: []string{"synth"}}).GetToken()
	for _, perAgent := range []bool{false, true} {
		o := endpoint.EnrollOptions{Token: token, Host: "web-1", PerAgent: perAgent, Kinds: []string{"proc", "macos"}}
		if _, _, err := h.enrol(t, o, nil); err == nil || !strings.Contains(err.Error(), "lets agents of kind synth speak of others, not those of kind macos") {
			t.Errorf("per agent %v: %v", perAgent, err)
		}
	}
	home, _, err := h.enrol(t, endpoint.EnrollOptions{Token: token, Host: "web-1", Kinds: []string{"proc"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := identity.Observes(joined{home, h}.cert(t, "agent")); len(got) != 0 {
		t.Errorf("observes %v", got)
	}
}

// TestSecondMachineIsToldAtEnrolment: whoever takes the name of a machine that is
// alive learns it then, and not from machines that throw each other out.
func TestSecondMachineIsToldAtEnrolment(t *testing.T) {
	h := startEnrolHub(t, true)
	connected := false
	h.connected = func(string) bool { return connected }
	// This machine's own id stands for the second one; the first is another.
	enrolled := func(after time.Duration, bound string) []string {
		t.Helper()
		h.clock.Add(after)
		_, joined, err := h.enrol(t, endpoint.EnrollOptions{Token: h.token(t, bound), Host: "raspberrypi"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return joined.Warnings
	}
	h.enrolledElsewhere(t, "raspberrypi", "another machine")
	if w := enrolled(time.Second, ""); len(w) != 1 || !strings.Contains(w[0], "another machine called raspberrypi joined on") || !strings.Contains(w[0], "--force --host NAME") {
		t.Errorf("warned %q", w)
	}
	if w := enrolled(time.Minute, ""); len(w) != 0 {
		t.Errorf("the same machine again: %q", w)
	}
	h.clock.Add(time.Minute)
	h.enrolledElsewhere(t, "raspberrypi", "another machine")
	connected = true
	if w := enrolled(time.Minute, "raspberrypi"); len(w) != 1 || !strings.Contains(w[0], "is connected now") || !strings.Contains(w[0], "takes its place") {
		t.Errorf("a token for the host: %q", w)
	}
	h.clock.Add(time.Minute)
	h.enrolledElsewhere(t, "raspberrypi", "another machine")
	connected = false
	if w := enrolled(8*day, ""); len(w) != 0 {
		t.Errorf("one that has been away for a week: %q", w)
	}
	h.acts.mu.Lock()
	defer h.acts.mu.Unlock()
	if !slices.ContainsFunc(h.acts.details, func(d string) bool { return strings.Contains(d, "another machine called raspberrypi") }) {
		t.Errorf("audited: %q", h.acts.details)
	}
}

// enrolledElsewhere enrols a machine with another id, as this one cannot.
func (h *enrolHub) enrolledElsewhere(t *testing.T, host, machine string) {
	t.Helper()
	node, err := identity.NewSigningRequest()
	agent, agentErr := identity.NewSigningRequest()
	if err := errors.Join(err, agentErr); err != nil {
		t.Fatal(err)
	}
	code, text := h.post(t, enrolBody(t, identity.EnrollRequest{
		Token: h.token(t, host), Host: host, CSRNode: string(node.CSRPEM), CSRAgent: string(agent.CSRPEM), Machine: machine,
	}))
	if code != 200 {
		t.Fatal(text)
	}
}
