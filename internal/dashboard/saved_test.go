package dashboard_test

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/amoskys/amoskys/internal/dashboard"
	"github.com/amoskys/amoskys/internal/state"
)

func TestSavedQueries(t *testing.T) {
	s := newSite(t)
	viewer, analyst, admin := s.signedIn(t, "viewer"), s.signedIn(t, "analyst"), s.signedIn(t, "admin")
	text := map[string]any{"name": "logins", "query": "type:=auth.attempt", "since": "24h", "columns": []string{"time", "user.name"}}
	with := func(more map[string]any) map[string]any {
		out := map[string]any{}
		for _, m := range []map[string]any{text, more} {
			maps.Copy(out, m)
		}
		return out
	}
	var kept dashboard.SavedQuery
	if code := viewer.do("POST", "/api/queries", text, &kept); code != 200 || kept.ID == 0 || kept.Owner != "viewer" || !kept.Mine || kept.Shared {
		t.Fatalf("saved: %d %+v", code, kept)
	}
	first := kept.ID
	for name, tc := range map[string]struct {
		c    *client
		body map[string]any
		want int
		says string
	}{
		"the name is taken":    {viewer, text, http.StatusConflict, "already"},
		"a viewer shares":      {viewer, with(map[string]any{"name": "x", "shared": true}), http.StatusForbidden, "analyst"},
		"a field is unknown":   {viewer, with(map[string]any{"name": "x", "query": "a proces.name:b"}), http.StatusBadRequest, "process.name"},
		"a range is none":      {viewer, with(map[string]any{"name": "x", "since": "soon"}), http.StatusBadRequest, "since"},
		"a column is unknown":  {viewer, with(map[string]any{"name": "x", "columns": []string{"hots"}}), http.StatusBadRequest, "host"},
		"the name has lines":   {viewer, with(map[string]any{"name": "a\nb"}), http.StatusBadRequest, "one line"},
		"the query is long":    {viewer, with(map[string]any{"name": "x", "query": strings.Repeat("a", 16<<10+1)}), http.StatusUnprocessableEntity, ""},
		"there is no name":     {viewer, with(map[string]any{"name": ""}), http.StatusUnprocessableEntity, ""},
		"it is long, and goes": {viewer, with(map[string]any{"name": "long", "query": `message:="` + strings.Repeat("é", 8_000) + `"`}), http.StatusOK, ""},
	} {
		var p dashboard.Problem
		if code := tc.c.do("POST", "/api/queries", tc.body, &p); code != tc.want || !strings.Contains(p.Detail, tc.says) {
			t.Errorf("%s: %d %q", name, code, p.Detail)
		}
		if name == "a field is unknown" && (p.QueryPosition == nil || *p.QueryPosition != 2 || p.Mend == nil || *p.Mend != dashboard.Mend{From: 2, To: 13, Text: "process.name"}) {
			t.Errorf("the fault: %+v %+v", p.QueryPosition, p.Mend)
		}
	}
	panel := with(map[string]any{"kind": "metrics", "query": "topk(5, rate(a[5m]))\nb{", "columns": []string{}})
	if code := viewer.do("POST", "/api/queries", panel, &kept); code != 200 || kept.Kind != "metrics" || kept.Fault != "" {
		t.Errorf("a panel of the same name: %d %+v", code, kept)
	}
	if code := viewer.do("POST", "/api/queries", with(map[string]any{"name": "x", "kind": "metrics", "query": " "}), nil); code != http.StatusBadRequest {
		t.Errorf("a panel of nothing: %d", code)
	}
	if names := savedNames(t, viewer, "?kind=metrics"); names != "logins+" {
		t.Errorf("panels are %s", names)
	}
	if code := viewer.do("DELETE", fmt.Sprint("/api/queries/", kept.ID), nil, nil); code != http.StatusNoContent {
		t.Errorf("a panel deleted: %d", code)
	}
	kept.ID = first
	if names := savedNames(t, analyst, ""); names != "" {
		t.Errorf("an analyst sees %s", names)
	}
	address := fmt.Sprint("/api/queries/", kept.ID)
	if code := analyst.do("PUT", address, text, nil); code != http.StatusNotFound {
		t.Errorf("somebody else's own: %d", code)
	}
	if code := viewer.do("PUT", address, with(map[string]any{"name": "sign-ins", "query": "sshd"}), &kept); code != 200 || kept.Name != "sign-ins" || kept.Query != "sshd" {
		t.Errorf("changed: %d %+v", code, kept)
	}
	if code := analyst.do("POST", "/api/queries", with(map[string]any{"shared": true}), nil); code != 200 {
		t.Errorf("shared: %d", code)
	}
	if names := savedNames(t, viewer, ""); names != "logins long+ sign-ins+" {
		t.Errorf("a viewer sees %s", names)
	}
	if names := savedNames(t, admin, "?all=true"); names != "logins+ long+ sign-ins+" {
		t.Errorf("all are %s", names)
	}
	if code := viewer.do("GET", "/api/queries?all=true", nil, nil); code != http.StatusForbidden {
		t.Errorf("all, as a viewer: %d", code)
	}
	if code := viewer.do("DELETE", address, nil, nil); code != http.StatusNoContent {
		t.Errorf("deleted: %d", code)
	}
	if code := viewer.do("DELETE", address, nil, nil); code != http.StatusNotFound {
		t.Errorf("deleted again: %d", code)
	}
	var acts []string
	trail, err := s.hub.db.AuditTrail(t.Context(), 0, 1_000)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range trail {
		if strings.HasPrefix(a.Operation, "query.") {
			acts = append(acts, fmt.Sprint(a.Actor, " ", a.Operation, " ", a.Target, " ", a.Success))
		}
	}
	if got := strings.Join(acts, "; "); got != "analyst query.share logins true; viewer query.share x false" {
		t.Errorf("audited: %s", got)
	}
}

// TestSavedQueryOfOtherWords: one that can no longer be read says so, and is mended.
func TestSavedQueryOfOtherWords(t *testing.T) {
	s := newSite(t)
	id, err := s.hub.db.CreateSavedQuery(t.Context(), state.SavedQuery{Owner: "viewer", Name: "old", Query: "hots:=web"}, state.SavedLimits{OfOwner: 9})
	if err != nil {
		t.Fatal(err)
	}
	c := s.signedIn(t, "viewer")
	var list dashboard.SavedQueriesAnswer
	c.do("GET", "/api/queries", nil, &list)
	if len(list.Queries) != 1 || !strings.Contains(list.Queries[0].Fault, "did you mean host") || list.Queries[0].QueryPosition == nil {
		t.Fatalf("%+v", list)
	}
	var kept dashboard.SavedQuery
	if code := c.do("PUT", fmt.Sprint("/api/queries/", id), map[string]any{"name": "old", "query": "host:=web"}, &kept); code != 200 || kept.Fault != "" {
		t.Errorf("mended: %d %+v", code, kept)
	}
}

func savedNames(t *testing.T, c *client, parameters string) string {
	t.Helper()
	var list dashboard.SavedQueriesAnswer
	if code := c.do("GET", "/api/queries"+parameters, nil, &list); code != 200 {
		t.Fatalf("list: %d", code)
	}
	var names []string
	for _, q := range list.Queries {
		name := q.Name
		if q.Mine {
			name += "+"
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}
