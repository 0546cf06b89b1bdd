package ask

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/app/remote"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/logsql"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Saved is the object that `amoskys query saved … --json` prints. Keys are only ever
// added: docs/cli.md promises them.
type Saved struct {
	ID          uint64    `json:"id"`
	Name        string    `json:"name"`
	Query       string    `json:"query"`
	Since       string    `json:"since,omitempty"`
	Until       string    `json:"until,omitempty"`
	Columns     []string  `json:"columns,omitempty"`
	Shared      bool      `json:"shared"`
	Owner       string    `json:"owner"` // empty when they are gone
	CreatedTime time.Time `json:"created_time"`
	ChangedTime time.Time `json:"changed_time"`
	ChangedBy   string    `json:"changed_by"`
	// Fault says why the query can no longer be read.
	Fault   string `json:"fault,omitempty"`
	Deleted bool   `json:"deleted,omitempty"`
}

func savedOf(q *pb.SavedQuery) Saved {
	out := Saved{
		ID: q.GetId(), Name: q.GetName(), Query: q.GetQuery(), Since: q.GetSince(), Until: q.GetUntil(), Columns: q.GetColumns(),
		Shared: q.GetShared(), Owner: q.GetOwner(), CreatedTime: q.GetCreatedTime().AsTime(), ChangedTime: q.GetChangedTime().AsTime(),
		ChangedBy: q.GetChangedBy(),
	}
	if _, err := logsql.Parse(q.GetQuery()); err != nil {
		out.Fault = err.Error()
	}
	return out
}

// savedTimeout bounds one question to the hub, which has the saved queries.
const savedTimeout = 10 * time.Second

// withSaved calls do with the saved queries of whoever asks.
func withSaved(ctx context.Context, e *cli.Env, all bool, do func(context.Context, *remote.Client, []*pb.SavedQuery) error) error {
	c, err := remote.Dial(e, "")
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // nothing more is asked
	ctx, cancel := context.WithTimeout(ctx, savedTimeout)
	defer cancel()
	resp, err := c.Saved.ListQueries(ctx, &pb.ListQueriesRequest{All: all})
	if err != nil {
		return c.Explain(err)
	}
	// Panels of metrics are for the dashboard to show.
	events := slices.DeleteFunc(resp.GetQueries(), func(q *pb.SavedQuery) bool { return q.GetKind() != "" })
	if err := do(ctx, c, events); err != nil {
		return c.Explain(err)
	}
	return nil
}

// byName finds a query: one's own goes before a shared one of the same name.
func byName(list []*pb.SavedQuery, name string) (*pb.SavedQuery, error) {
	var found *pb.SavedQuery
	for _, q := range list {
		if strings.EqualFold(q.GetName(), name) && (found == nil || !q.GetShared()) {
			found = q
		}
	}
	if found == nil {
		return nil, fmt.Errorf("there is no saved query %q: amoskys query saved lists them", name)
	}
	return found, nil
}

// open fills o from the saved query that it names, where nothing else was typed.
func (o *Options) open(ctx context.Context, e *cli.Env) error {
	if o.Query != "" {
		return cli.Usagef("--saved has a query already: give no other, or pipe what it prints")
	}
	return withSaved(ctx, e, false, func(_ context.Context, _ *remote.Client, list []*pb.SavedQuery) error {
		q, err := byName(list, o.Saved)
		if err != nil {
			return err
		}
		parsed, err := logsql.Parse(q.GetQuery())
		if err != nil {
			return fmt.Errorf("saved query %q can no longer be read: %w\nMend it: amoskys query saved save --replace %q QUERY", q.GetName(), pointed(q.GetQuery(), err), q.GetName())
		}
		o.Query = q.GetQuery()
		// A range is one thing: who types a bound means their own.
		if !o.TypedSince && !o.TypedUntil && q.GetSince() != "" {
			o.Since, o.Until = q.GetSince(), q.GetUntil()
		}
		shown := (o.Format == "text" || o.Format == "csv") && !o.Count && !parsed.Pipes()
		if len(o.Fields) == 0 && shown {
			o.Fields = q.GetColumns()
		}
		return nil
	})
}

// ListSaved prints saved queries; all has also private ones of others.
func ListSaved(ctx context.Context, e *cli.Env, all, asJSON bool) error {
	return withSaved(ctx, e, all, func(_ context.Context, _ *remote.Client, list []*pb.SavedQuery) error {
		queries := make([]Saved, 0, len(list))
		table := cli.NewTable("ID", "NAME", "FOR", "OWNER", "RANGE", "QUERY")
		for _, q := range list {
			s := savedOf(q)
			queries = append(queries, s)
			to, text := "private", s.Query
			if s.Shared {
				to = "shared"
			}
			if s.Fault != "" {
				text = "(can no longer be read: " + s.Fault + ") " + text
			}
			table.Row(strconv.FormatUint(s.ID, 10), cli.Clean(s.Name), to, cli.Clean(s.Owner), cli.Clean(rangeText(s)), cli.Clean(text))
		}
		if asJSON {
			return cli.WriteJSON(e.Stdout, map[string]any{"queries": queries})
		}
		if len(queries) == 0 {
			_, err := fmt.Fprintln(e.Stdout, "no query is saved: amoskys query saved save NAME QUERY keeps one")
			return err
		}
		return table.Write(e.Stdout)
	})
}

func rangeText(s Saved) string {
	switch {
	case s.Until != "":
		return s.Since + " to " + s.Until
	case s.Since != "":
		return "last " + s.Since
	}
	return ""
}

// SaveOptions are the arguments of `amoskys query saved save`.
type SaveOptions struct {
	Name, Query, Since, Until string
	Fields                    []string
	Shared                    bool
	// TypedRange, TypedFields and TypedShared say what was typed: of a query that is replaced
	// the rest stays what it is.
	TypedRange, TypedFields, TypedShared bool
	// Replace changes the query of this name, if there is one.
	Replace bool
}

// Save keeps a query.
func Save(ctx context.Context, e *cli.Env, o SaveOptions, asJSON bool) error {
	if o.Since == "all" {
		return cli.Usagef("--since all cannot be saved: leave it out, and give it to amoskys query --saved")
	}
	a := asker{e: e, o: Options{Query: o.Query, Since: o.Since, Until: o.Until}}
	if _, err := a.check(); err != nil {
		return &cli.UsageError{Err: err}
	}
	if _, err := columnsOf(o.Fields); err != nil {
		return &cli.UsageError{Err: err}
	}
	q := &pb.SavedQuery{Name: o.Name, Query: o.Query, Since: o.Since, Until: o.Until, Columns: o.Fields, Shared: o.Shared}
	return withSaved(ctx, e, false, func(ctx context.Context, c *remote.Client, list []*pb.SavedQuery) error {
		before, err := byName(list, o.Name)
		var kept *pb.SavedQuery
		if o.Replace && err == nil {
			o.keep(q, before)
			var resp *pb.ChangeQueryResponse
			resp, err = c.Saved.ChangeQuery(ctx, &pb.ChangeQueryRequest{Query: q})
			kept = resp.GetQuery()
		} else {
			var resp *pb.SaveQueryResponse
			resp, err = c.Saved.SaveQuery(ctx, &pb.SaveQueryRequest{Query: q})
			kept = resp.GetQuery()
		}
		if err != nil {
			return err //nolint:wrapcheck // withSaved words it
		}
		if asJSON {
			return cli.WriteJSON(e.Stdout, savedOf(kept))
		}
		_, err = fmt.Fprintf(e.Stdout, "saved: amoskys query --saved %q\n", cli.Clean(kept.GetName()))
		return err
	})
}

// keep takes what was not typed from the query that q replaces. A range is one thing: who
// types one bound means both.
func (o *SaveOptions) keep(q, before *pb.SavedQuery) {
	q.Id = before.GetId()
	if !o.TypedRange {
		q.Since, q.Until = before.GetSince(), before.GetUntil()
	}
	if !o.TypedFields {
		q.Columns = before.GetColumns()
	}
	if !o.TypedShared {
		q.Shared = before.GetShared()
	}
}

// DeleteSaved removes a query by its name, or by its id where that is not 0, which
// also finds private ones of others.
func DeleteSaved(ctx context.Context, e *cli.Env, name string, id uint64, asJSON bool) error {
	if (name == "") == (id == 0) {
		return cli.Usagef("give the NAME of a saved query, or its --id")
	}
	return withSaved(ctx, e, false, func(ctx context.Context, c *remote.Client, list []*pb.SavedQuery) error {
		if id == 0 {
			q, err := byName(list, name)
			if err != nil {
				return err
			}
			id = q.GetId()
		}
		resp, err := c.Saved.DeleteQuery(ctx, &pb.DeleteQueryRequest{Id: id})
		if err != nil {
			return err //nolint:wrapcheck // withSaved words it
		}
		if asJSON {
			s := savedOf(resp.GetQuery())
			s.Deleted = true
			return cli.WriteJSON(e.Stdout, s)
		}
		_, err = fmt.Fprintf(e.Stdout, "deleted: %s\n", cli.Clean(resp.GetQuery().GetName()))
		return err
	})
}

// SavedNames are the names of saved queries, for completion.
func SavedNames(ctx context.Context, e *cli.Env) (names []string, err error) {
	err = withSaved(ctx, e, false, func(_ context.Context, _ *remote.Client, list []*pb.SavedQuery) error {
		for _, q := range list {
			names = append(names, q.GetName())
		}
		return nil
	})
	return names, err
}
