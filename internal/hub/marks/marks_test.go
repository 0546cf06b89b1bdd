package marks_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/hub/marks"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// people are sessions whose tokens are the names of their users.
type people map[string]state.Role

func (p people) UserOf(_ context.Context, token string) (state.User, error) {
	role, ok := p[token]
	if !ok {
		return state.User{}, status.Error(codes.Unauthenticated, "no such session")
	}
	return state.User{Name: token, Role: role}, nil
}

// trail remembers acts.
type trail struct{ acts []string }

func (t *trail) Audit(_ context.Context, act *pb.AuditActivity) {
	t.acts = append(t.acts, fmt.Sprint(act.GetActor(), " ", act.GetOperation(), " ", act.GetTarget(), " ", act.GetSuccess(), ": ", act.GetDetail()))
}

const ops = "spiffe://amoskys.local/operator/ops"

type operator struct{}

func newService(t *testing.T) (*marks.Service, *trail) {
	t.Helper()
	db, err := state.Open(t.Context(), state.Options{File: filepath.Join(t.TempDir(), "state.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	trail := &trail{}
	return marks.New(marks.Options{
		Store: db, Auditor: trail, Sessions: people{"vic": state.RoleViewer, "ann": state.RoleAnalyst, "ada": state.RoleAdmin},
		Operator: func(ctx context.Context) string { s, _ := ctx.Value(operator{}).(string); return s },
	}), trail
}

// shown are all marks, one a line.
func shown(t *testing.T, s *marks.Service) string {
	t.Helper()
	resp, err := s.ListMarks(t.Context(), &pb.ListMarksRequest{Token: "vic"})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, m := range resp.GetMarks() {
		lines = append(lines, fmt.Sprint(m.GetDeviceUid(), " ", m.GetKnown(), " ", m.GetOwner(), " ", m.GetTags(), " ", m.GetNote(), " by ", m.GetChangedBy()))
	}
	return strings.Join(lines, "\n")
}

// TestMarks marks several devices at once, changes some of it, and takes all of it away.
func TestMarks(t *testing.T) {
	s, trail := newService(t)
	set := func(ctx context.Context, req *pb.SetMarksRequest, changed uint32, code codes.Code) {
		t.Helper()
		resp, err := s.SetMarks(ctx, req)
		if status.Code(err) != code || resp.GetChanged() != changed {
			t.Errorf("%v: %d changed, %v", req, resp.GetChanged(), err)
		}
	}
	yes, no, it, none := true, false, "IT", ""
	set(t.Context(), &pb.SetMarksRequest{Token: "ann", DeviceUids: []string{"b", "a", "b"}, Known: &yes, Owner: &it, AddTags: []string{"lab", "Lab"}}, 2, codes.OK)
	set(t.Context(), &pb.SetMarksRequest{Token: "ada", DeviceUids: []string{"a"}, AddTags: []string{"LAB", "new"}, RemoveTags: []string{"old"}}, 1, codes.OK)
	set(t.Context(), &pb.SetMarksRequest{Token: "ann", DeviceUids: []string{"a", "b"}, Known: &yes}, 0, codes.OK)
	want := "a true IT [lab new]  by ada\nb true IT [lab]  by ann"
	if diff := cmp.Diff(want, shown(t, s)); diff != "" {
		t.Error(diff)
	}
	set(context.WithValue(t.Context(), operator{}, ops), &pb.SetMarksRequest{DeviceUids: []string{"b"}, Known: &no, Owner: &none, RemoveTags: []string{"lab"}}, 1, codes.OK)
	set(t.Context(), &pb.SetMarksRequest{Token: "vic", DeviceUids: []string{"a"}, Known: &no}, 0, codes.PermissionDenied)
	set(t.Context(), &pb.SetMarksRequest{Token: "nobody", DeviceUids: []string{"a"}, Known: &no}, 0, codes.Unauthenticated)
	if diff := cmp.Diff("a true IT [lab new]  by ada", shown(t, s)); diff != "" {
		t.Error(diff)
	}
	wantActs := []string{
		`ann device.mark 2 devices true: known; owner "IT"; tagged lab, Lab: b, a`,
		`ada device.mark a true: tagged LAB, new; no longer tagged old`,
		`ann device.mark 2 devices true: known: a, b`,
		ops + ` device.mark b true: not known; owner ""; no longer tagged lab`,
		`vic device.mark a false: to mark devices needs role analyst: ask one, or an admin for the role (not known)`,
	}
	if diff := cmp.Diff(wantActs, trail.acts); diff != "" {
		t.Error(diff)
	}
	if _, err := s.ListMarks(t.Context(), &pb.ListMarksRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("without a session: %v", err)
	}
}

// TestFormerUids: what was said of a device under uids that it had before stays said, and
// can be taken back.
func TestFormerUids(t *testing.T) {
	s, _ := newService(t)
	yes, no, it := true, false, "IT"
	for _, req := range []*pb.SetMarksRequest{
		{DeviceUids: []string{"old"}, Known: &yes, Owner: &it, AddTags: []string{"lab"}},
		{DeviceUids: []string{"older"}, Owner: new("HR"), AddTags: []string{"floor-2", "LAB"}},
		{DeviceUids: []string{"other"}, Known: &yes},
	} {
		req.Token = "ann"
		if _, err := s.SetMarks(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	}
	formers := []*pb.FormerUids{{DeviceUid: "now", FormerUids: []string{"old", "older", "other"}}}
	for _, c := range []struct {
		req  *pb.SetMarksRequest
		want string
	}{
		{&pb.SetMarksRequest{DeviceUids: []string{"now", "other"}, AddTags: []string{"new"}}, "now true IT [lab floor-2 new]  by ada\nother true  [new]  by ada"},
		{&pb.SetMarksRequest{DeviceUids: []string{"now"}, Known: &no}, "now false IT [lab floor-2 new]  by ada\nother true  [new]  by ada"},
	} {
		c.req.Token, c.req.Formers = "ada", formers
		if len(c.req.GetDeviceUids()) == 1 {
			c.req.Formers = []*pb.FormerUids{{DeviceUid: "now", FormerUids: []string{"old", "older"}}}
		}
		if resp, err := s.SetMarks(t.Context(), c.req); err != nil || int(resp.GetChanged()) != len(c.req.GetDeviceUids()) {
			t.Errorf("%v, %v", resp, err)
		}
		if diff := cmp.Diff(c.want, shown(t, s)); diff != "" {
			t.Error(diff)
		}
	}
	if _, err := s.SetMarks(t.Context(), &pb.SetMarksRequest{Token: "ada", DeviceUids: []string{"a"}, Known: &yes, Formers: formers}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a former uid of another device: %v", err)
	}
}

func TestBounds(t *testing.T) {
	s, _ := newService(t)
	long, lines, yes := strings.Repeat("x", 1001), "a\nb", true
	many := make([]string, marks.MaxAtOnce+1)
	tags := make([]string, 17)
	for i := range many {
		many[i] = fmt.Sprint("mac-", i)
	}
	for i := range tags {
		tags[i] = fmt.Sprint("t", i)
	}
	for name, req := range map[string]*pb.SetMarksRequest{
		"no device":          {Known: &yes},
		"too many devices":   {DeviceUids: many, Known: &yes},
		"an empty uid":       {DeviceUids: []string{""}, Known: &yes},
		"a long uid":         {DeviceUids: []string{long}, Known: &yes},
		"nothing to change":  {DeviceUids: []string{"a"}},
		"a long owner":       {DeviceUids: []string{"a"}, Owner: &long},
		"a note of lines":    {DeviceUids: []string{"a"}, Note: &lines},
		"too many tags":      {DeviceUids: []string{"a"}, AddTags: tags},
		"a tag of lines":     {DeviceUids: []string{"a"}, AddTags: []string{lines}},
		"marks of direction": {DeviceUids: []string{"a"}, AddTags: []string{"a\u202eb"}},
	} {
		req.Token = "ann"
		if _, err := s.SetMarks(t.Context(), req); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range 2 {
		_, err := s.SetMarks(t.Context(), &pb.SetMarksRequest{Token: "ann", DeviceUids: []string{"a"}, AddTags: tags[8*i : 8*i+8]})
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.SetMarks(t.Context(), &pb.SetMarksRequest{Token: "ann", DeviceUids: []string{"b", "a"}, AddTags: tags[16:]})
	if status.Code(err) != codes.FailedPrecondition || strings.Contains(shown(t, s), "b ") {
		t.Errorf("one tag too many: %v, %s", err, shown(t, s))
	}
}
