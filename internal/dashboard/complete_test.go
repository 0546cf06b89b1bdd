package dashboard_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/amoskys/amoskys/internal/dashboard"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

func TestCompleteQuery(t *testing.T) {
	st := &scriptedStore{
		names: &pb.FieldNamesResponse{Fields: []*pb.FacetValue{{Value: "host.ip", Count: 9}, {Value: "device.hostname", Count: 2}}},
		values: &pb.FieldValuesResponse{Facet: &pb.Facet{Field: "type", Values: []*pb.FacetValue{
			{Value: "process.exit", Count: 5}, {Value: "of two words", Count: 1},
		}}},
	}
	s, stopStore := newStoreSite(t, st)
	c := s.signedIn(t, "viewer")
	complete := func(query, cursor, more string) (a dashboard.Completion, labels string) {
		t.Helper()
		if code := c.do("GET", "/api/query/complete?query="+url.QueryEscape(query)+"&cursor="+cursor+more, nil, &a); code != http.StatusOK {
			t.Fatalf("%s: %d", query, code)
		}
		var list []string
		for _, o := range a.Options {
			list = append(list, o.Label)
		}
		return a, strings.Join(list, " ")
	}
	a, labels := complete("ü😀 hos", "7", "&limit=4")
	if a.From != 4 || a.To != 7 || a.Stored != "unasked" || !strings.HasPrefix(labels, "host: ") || len(a.Options) != 4 || len(st.asked) != 0 {
		t.Errorf("%+v, asked %d", a, len(st.asked))
	}
	a, labels = complete("hos", "3", "&stored=true")
	if a.Stored != "complete" || !strings.HasPrefix(labels, "host.ip: host: ") || *a.Options[0].Events != 9 || *a.Options[1].Events != 0 {
		t.Errorf("fields that are there come first: %s %+v", labels, a)
	}
	asked := len(st.asked)
	if complete("host", "4", "&stored=true"); len(st.asked) != asked {
		t.Error("fields of the same range are asked for again")
	}
	a, labels = complete("type:", "5", "&stored=true&since=1h")
	if a.Field != "type" || !strings.HasPrefix(labels, "process.exit of two words ") || a.Options[0].Text != "=process.exit " || a.Options[1].Text != `="of two words" ` {
		t.Errorf("values: %s %+v", labels, a.Options)
	}
	if strings.Count(labels, "process.exit") != 1 {
		t.Errorf("a value stands twice: %s", labels)
	}
	if req, _ := st.last().(*pb.FieldValuesRequest); req.GetField() != "type" || req.GetSince() == nil || req.GetLimit() != 20 {
		t.Errorf("asked %v", req)
	}
	if a, labels = complete("* | st", "6", "&stored=true"); a.Stored != "unasked" || !strings.HasPrefix(labels, "stats") {
		t.Errorf("pipes: %s", labels)
	}
	if a, _ = complete("type:=pro", "99", ""); a.To != 9 {
		t.Errorf("a cursor behind the end: %+v", a)
	}
	stopStore()
	if a, labels = complete("hos", "3", "&stored=true&since=3h"); a.Stored != "away" || !strings.HasPrefix(labels, "host: ") {
		t.Errorf("without the store: %s %+v", labels, a)
	}
	if a, labels = complete("severity:", "9", "&stored=true"); a.Stored != "away" || !strings.Contains(labels, "critical") {
		t.Errorf("values without the store: %s %+v", labels, a)
	}
}
