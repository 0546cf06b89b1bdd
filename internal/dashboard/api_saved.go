package dashboard

import (
	"cmp"
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// SavedQueriesAnswer lists saved queries.
type SavedQueriesAnswer struct {
	Queries []SavedQuery `json:"queries" nullable:"false"`
}

// SavedQuery is a query that somebody keeps.
type SavedQuery struct {
	SavedText

	ID        uint64    `json:"id"`
	Owner     string    `json:"owner" doc:"A user, or the SPIFFE id of an operator; empty when they are gone."`
	Mine      bool      `json:"mine" doc:"Whether one may change and delete it."`
	CreatedAt time.Time `json:"created_at"`
	ChangedAt time.Time `json:"changed_at"`
	ChangedBy string    `json:"changed_by"`
	// Fault and its position are of the query as it is read today.
	Fault         string `json:"fault,omitempty" doc:"Why the query can no longer be read; absent where it can."`
	QueryPosition *int   `json:"query_position,omitempty" doc:"Where it has its fault, in UTF-16 units from 0."`
}

// SavedText is what people choose of a saved query.
type SavedText struct {
	Name    string   `json:"name" minLength:"1" maxLength:"100" doc:"In one line, at most 100 bytes. Unique among one's own, and among those that are shared."`
	Kind    string   `json:"kind,omitempty" enum:"events,metrics" doc:"What it asks: events, in the language of docs/query.md, or metrics, in PromQL with a query a line; events without. It never changes."`
	Query   string   `json:"query" maxLength:"16384" doc:"In the language of its kind."`
	Since   string   `json:"since,omitempty" maxLength:"64" doc:"RFC 3339, or how long ago: 15m, 24h, 7d; empty leaves the range to who opens it."`
	Until   string   `json:"until,omitempty" maxLength:"64" doc:"RFC 3339, or how long ago; empty is now."`
	Columns []string `json:"columns,omitempty" nullable:"false" maxItems:"64" doc:"Fields to show; none leaves them to who opens it."`
	Shared  bool     `json:"shared,omitempty" doc:"Whether everybody sees it; to share needs role analyst."`
}

type savedInput struct {
	All  bool   `query:"all" doc:"Also private queries of others; for role admin."`
	Kind string `query:"kind" enum:"events,metrics" default:"events" doc:"Which to list."`
}

type saveInput struct {
	Body SavedText
}

type changeSavedInput struct {
	ID   uint64 `path:"id"`
	Body SavedText
}

type deleteSavedInput struct {
	ID uint64 `path:"id"`
}

// maxSavedBody bounds the body of a request to save a query, in bytes: JSON may write
// a character as six.
const maxSavedBody = 128 << 10

// savedQueries answers GET /api/queries.
func (s *Server) savedQueries(ctx context.Context, in *savedInput) (SavedQueriesAnswer, error) {
	ctx, cancel := s.hub.call(ctx)
	defer cancel()
	found, err := s.hub.saved.ListQueries(ctx, &pb.ListQueriesRequest{Token: sessionOf(ctx).token, All: in.All})
	if err != nil {
		return SavedQueriesAnswer{}, err
	}
	a := SavedQueriesAnswer{Queries: []SavedQuery{}}
	for _, q := range found.GetQueries() {
		if kept := newSavedQuery(q); kept.Kind == in.Kind {
			a.Queries = append(a.Queries, kept)
		}
	}
	return a, nil
}

// saveQuery answers POST /api/queries.
func (s *Server) saveQuery(ctx context.Context, in *saveInput) (SavedQuery, error) {
	if err := s.checkSaved(&in.Body); err != nil {
		return SavedQuery{}, err
	}
	ctx, cancel := s.hub.call(ctx)
	defer cancel()
	made, err := s.hub.saved.SaveQuery(ctx, &pb.SaveQueryRequest{Token: sessionOf(ctx).token, Query: in.Body.message(0)})
	if err != nil {
		return SavedQuery{}, err
	}
	return newSavedQuery(made.GetQuery()), nil
}

// changeQuery answers PUT /api/queries/{id}.
func (s *Server) changeQuery(ctx context.Context, in *changeSavedInput) (SavedQuery, error) {
	if err := s.checkSaved(&in.Body); err != nil {
		return SavedQuery{}, err
	}
	ctx, cancel := s.hub.call(ctx)
	defer cancel()
	made, err := s.hub.saved.ChangeQuery(ctx, &pb.ChangeQueryRequest{Token: sessionOf(ctx).token, Query: in.Body.message(in.ID)})
	if err != nil {
		return SavedQuery{}, err
	}
	return newSavedQuery(made.GetQuery()), nil
}

// deleteQuery answers DELETE /api/queries/{id}.
func (s *Server) deleteQuery(ctx context.Context, in *deleteSavedInput) (*struct{}, error) {
	ctx, cancel := s.hub.call(ctx)
	defer cancel()
	_, err := s.hub.saved.DeleteQuery(ctx, &pb.DeleteQueryRequest{Token: sessionOf(ctx).token, Id: in.ID})
	return nil, err //nolint:nilnil // nothing to say: 204
}

// The kinds of saved queries; kindEvents is none at the hub.
const (
	kindEvents  = "events"
	kindMetrics = "metrics"
)

// checkSaved reads a query before it is kept: the hub does not know the language. That
// of metrics is read by the store, when it is asked.
func (s *Server) checkSaved(text *SavedText) error {
	if text.Kind == kindMetrics {
		if strings.TrimSpace(text.Query) == "" {
			return problem(http.StatusBadRequest, "there is no query to save")
		}
	} else if p := checkQuery(text.Query); p != nil {
		return p
	}
	if _, _, err := s.bounds(text.Since, text.Until); err != nil {
		return err
	}
	for _, name := range text.Columns {
		if _, _, ok := event.FieldByName(name); !ok && name != "offset" && name != "logged_time" {
			p := problem(http.StatusBadRequest, "there is no field \""+name+"\" to show")
			if nearest := event.Nearest(name); nearest != "" {
				p.Detail += ", did you mean " + nearest + "?"
			}
			return p
		}
	}
	return nil
}

func (t *SavedText) message(id uint64) *pb.SavedQuery {
	kind := t.Kind
	if kind == kindEvents {
		kind = ""
	}
	return &pb.SavedQuery{
		Kind: kind, Id: id, Name: t.Name, Query: t.Query, Since: t.Since, Until: t.Until, Columns: t.Columns, Shared: t.Shared,
	}
}

// newSavedQuery shows a saved query, and what is wrong with it by now.
func newSavedQuery(q *pb.SavedQuery) SavedQuery {
	out := SavedQuery{
		SavedText: SavedText{
			Name: q.GetName(), Kind: cmp.Or(q.GetKind(), kindEvents), Query: q.GetQuery(), Since: q.GetSince(), Until: q.GetUntil(),
			Columns: append([]string{}, q.GetColumns()...), Shared: q.GetShared(),
		},
		ID: q.GetId(), Owner: q.GetOwner(), Mine: q.GetMine(),
		CreatedAt: q.GetCreatedTime().AsTime(), ChangedAt: q.GetChangedTime().AsTime(), ChangedBy: q.GetChangedBy(),
	}
	if out.Kind == kindMetrics {
		return out
	}
	if p := checkQuery(q.GetQuery()); p != nil {
		out.Fault, out.QueryPosition = p.Detail, p.QueryPosition
	}
	return out
}
