package saved_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/hub/saved"
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
	t.acts = append(t.acts, fmt.Sprint(act.GetActor(), " ", act.GetOperation(), " ", act.GetTarget(), " ", act.GetSuccess()))
}

// take returns the acts since it was last called.
func (t *trail) take() string {
	acts := strings.Join(t.acts, "; ")
	t.acts = nil
	return acts
}

const ops = "spiffe://amoskys.local/operator/ops"

func newService(t *testing.T) (*saved.Service, *trail) {
	t.Helper()
	db, err := state.Open(t.Context(), state.Options{File: filepath.Join(t.TempDir(), "state.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	trail := &trail{}
	return saved.New(saved.Options{
		Store: db, Auditor: trail, Sessions: people{"vic": state.RoleViewer, "ann": state.RoleAnalyst, "ben": state.RoleAnalyst, "ada": state.RoleAdmin},
		Operator: func(ctx context.Context) string { s, _ := ctx.Value(operator{}).(string); return s },
	}), trail
}

type operator struct{}

// TestRights is the table of who may do what with whose query.
func TestRights(t *testing.T) {
	s, trail := newService(t)
	ctx := t.Context()
	save := func(who, name string, shared bool) (uint64, codes.Code) {
		resp, err := s.SaveQuery(ctx, &pb.SaveQueryRequest{Token: who, Query: &pb.SavedQuery{Name: name, Query: "sshd", Shared: shared}})
		return resp.GetQuery().GetId(), status.Code(err)
	}
	vics, _ := save("vic", "own", false)
	if trail.take() != "" {
		t.Error("a private query was audited")
	}
	if _, code := save("vic", "shared", true); code != codes.PermissionDenied {
		t.Errorf("a viewer shared a query: %v", code)
	}
	if got := trail.take(); got != "vic query.share shared false" {
		t.Errorf("refused: audited %q", got)
	}
	anns, _ := save("ann", "shared", true)
	if got := trail.take(); got != "ann query.share shared true" {
		t.Errorf("shared: audited %q", got)
	}
	if _, code := save("ben", "Shared", true); code != codes.AlreadyExists {
		t.Errorf("a name that is taken: %v", code)
	}
	trail.take()
	for _, tc := range []struct {
		who    string
		id     uint64
		shared bool // what it is to be
		want   codes.Code
		acts   string
	}{
		{"vic", vics, false, codes.OK, ""},
		{"vic", vics, true, codes.PermissionDenied, "vic query.change own false"},
		{"ann", vics, false, codes.NotFound, ""},
		{"ada", vics, false, codes.OK, "ada query.change own true"},
		{"vic", anns, true, codes.PermissionDenied, "vic query.change shared false"},
		{"ben", anns, true, codes.PermissionDenied, "ben query.change shared false"},
		{"ann", anns, true, codes.OK, "ann query.change shared true"},
		{"ada", anns, true, codes.OK, "ada query.change shared true"},
		{"nobody", anns, true, codes.Unauthenticated, ""},
		{"", anns, true, codes.Unauthenticated, ""},
		{"ada", 999, true, codes.NotFound, ""},
		{"ada", 1 << 63, true, codes.NotFound, ""},
	} {
		name := map[uint64]string{vics: "own", anns: "shared"}[tc.id]
		_, err := s.ChangeQuery(ctx, &pb.ChangeQueryRequest{Token: tc.who, Query: &pb.SavedQuery{Id: tc.id, Name: name, Query: "cron", Shared: tc.shared}})
		if status.Code(err) != tc.want {
			t.Errorf("%s changes %d: %v", tc.who, tc.id, err)
		}
		if got := trail.take(); got != tc.acts {
			t.Errorf("%s changes %d: audited %q", tc.who, tc.id, got)
		}
	}
	for who, want := range map[string]string{"vic": "own+ shared", "ann": "shared+", "ben": "shared", "ada": "shared+"} {
		if got := list(t, s, ctx, who, false); got != want {
			t.Errorf("%s sees %q, not %q", who, got, want)
		}
	}
	if got := list(t, s, ctx, "ada", true); got != "own+ shared+" {
		t.Errorf("all are %q", got)
	}
	if _, err := s.ListQueries(ctx, &pb.ListQueriesRequest{Token: "ann", All: true}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("an analyst sees all: %v", err)
	}
	if got := list(t, s, context.WithValue(ctx, operator{}, ops), "", true); got != "own+ shared+" {
		t.Errorf("to an operator all are %q", got)
	}
	for _, tc := range []struct {
		who  string
		id   uint64
		want codes.Code
		acts string
	}{
		{"ben", anns, codes.PermissionDenied, "ben query.delete shared false"},
		{"ben", vics, codes.NotFound, ""},
		{"ada", anns, codes.OK, "ada query.delete shared true"},
		{"vic", vics, codes.OK, ""},
	} {
		_, err := s.DeleteQuery(ctx, &pb.DeleteQueryRequest{Token: tc.who, Id: tc.id})
		if got := trail.take(); status.Code(err) != tc.want || got != tc.acts {
			t.Errorf("%s deletes %d: %v, audited %q", tc.who, tc.id, err, got)
		}
	}
}

// list are the names that somebody sees, with + where they may change them.
func list(t *testing.T, s *saved.Service, ctx context.Context, who string, all bool) string { //nolint:revive // ctx says who calls
	t.Helper()
	resp, err := s.ListQueries(ctx, &pb.ListQueriesRequest{Token: who, All: all})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, q := range resp.GetQueries() {
		name := q.GetName()
		if q.GetMine() {
			name += "+"
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

func TestBounds(t *testing.T) {
	s, _ := newService(t)
	many := make([]string, 65)
	for i := range many {
		many[i] = "host"
	}
	for name, q := range map[string]*pb.SavedQuery{
		"no name":            {Name: " "},
		"a long name":        {Name: strings.Repeat("n", 101)},
		"two lines":          {Name: "a\nb"},
		"marks of direction": {Name: "a\u202eb"},
		"a long query":       {Name: "n", Query: strings.Repeat("q", 16<<10+1)},
		"a long time":        {Name: "n", Since: strings.Repeat("1", 65)},
		"a time of lines":    {Name: "n", Until: "1h\n"},
		"many columns":       {Name: "n", Columns: many},
		"a column of two":    {Name: "n", Columns: []string{"a,b"}},
		"an empty column":    {Name: "n", Columns: []string{""}},
	} {
		if _, err := s.SaveQuery(t.Context(), &pb.SaveQueryRequest{Token: "ann", Query: q}); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range saved.MaxOfOwner {
		if _, err := s.SaveQuery(t.Context(), &pb.SaveQueryRequest{Token: "ann", Query: &pb.SavedQuery{Name: fmt.Sprint("n", i)}}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.SaveQuery(t.Context(), &pb.SaveQueryRequest{Token: "ann", Query: &pb.SavedQuery{Name: "more"}})
	if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "delete some") {
		t.Errorf("one too many: %v", err)
	}
}
