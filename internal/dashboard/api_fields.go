package dashboard

import (
	"context"
	"strings"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// FieldsAnswer lists the fields that queries can name.
type FieldsAnswer struct {
	Fields []FieldInfo `json:"fields" nullable:"false"`
	Lacks  []Lack      `json:"lacks" nullable:"false" doc:"What was not counted; none where nothing was."`
	// Thinned is as in FieldValues.
	Thinned bool `json:"thinned" doc:"Readings may be among the events counted, and are thinned there: the metrics have those between, of processes the busiest."`
}

// FieldInfo describes one field.
type FieldInfo struct {
	Name          string   `json:"name"`
	Type          string   `json:"type" enum:"keyword,number,time,duration,boolean,map"`
	Description   string   `json:"description" doc:"Its other names."`
	ExampleValues []string `json:"example_values,omitempty"`
	Events        *uint64  `json:"events,omitempty" doc:"How many matching events have it, at most: blocks of stored events in which it is count whole. Only where since is given."`
}

// FieldValues are the values of one field.
type FieldValues struct {
	Facet

	Lacks   []Lack `json:"lacks" nullable:"false"`
	Thinned bool   `json:"thinned" doc:"Readings may be among the events counted, and are thinned there: the metrics have those between, of processes the busiest."`
}

type fieldsInput struct {
	Query string `query:"query" maxLength:"16384" doc:"Count in events that match; in the language of docs/query.md."`
	Since string `query:"since" maxLength:"64" doc:"Given, only fields of matching events are listed, with in how many they are, the commonest first."`
	Until string `query:"until" maxLength:"64" doc:"RFC 3339, or how long ago."`
}

type fieldValuesInput struct {
	Name    string `path:"name" maxLength:"256" doc:"Of the field."`
	Prefix  string `query:"prefix" maxLength:"256" doc:"Only values that begin so."`
	Query   string `query:"query" maxLength:"16384" doc:"Of events that match; in the language of docs/query.md."`
	Without string `query:"without" maxLength:"128" doc:"A type of event to leave out, such as process.sample."`
	Since   string `query:"since" maxLength:"64" doc:"RFC 3339, or how long ago; 24h without."`
	Until   string `query:"until" maxLength:"64" doc:"RFC 3339, or how long ago."`
	Limit   uint32 `query:"limit" default:"10" minimum:"1" maximum:"1000"`
}

// valuesRange is where values are looked for when nothing is said: a search always
// has a beginning.
const valuesRange = "24h"

func (s *Server) fields(ctx context.Context, in *fieldsInput) (FieldsAnswer, error) {
	if in.Since == "" {
		return FieldsAnswer{Fields: fieldList(), Lacks: []Lack{}}, nil
	}
	asked, err := s.question(in.Query, "", in.Since, in.Until)
	if err != nil {
		return FieldsAnswer{}, err
	}
	ctx, cancel := askStored(ctx)
	defer cancel()
	found, err := s.stored().FieldNames(ctx, &pb.FieldNamesRequest{Filter: asked.filter, Since: asked.since, Until: asked.until})
	if err != nil {
		return FieldsAnswer{}, s.storeProblem(err)
	}
	known := map[string]FieldInfo{}
	for _, f := range fieldList() {
		known[f.Name] = f
	}
	a := FieldsAnswer{Fields: []FieldInfo{}, Lacks: newLacks(found.GetLacks()), Thinned: found.GetThinned()}
	for _, each := range found.GetFields() {
		f, ok := known[each.GetValue()]
		if !ok { // an entry of a map, such as labels.site
			f = FieldInfo{Name: each.GetValue(), Type: "keyword"}
		}
		events := each.GetCount()
		f.Events = &events
		a.Fields = append(a.Fields, f)
	}
	return a, nil
}

// fieldList is every field that there is.
func fieldList() []FieldInfo {
	catalog := event.FieldCatalog()
	list := make([]FieldInfo, 0, len(catalog))
	for _, f := range catalog {
		var names []string
		if f.ECS != "" && f.ECS != f.Name {
			names = append(names, "ECS "+f.ECS)
		}
		if f.OCSF != "" {
			names = append(names, "OCSF "+f.OCSF)
		}
		list = append(list, FieldInfo{
			Name: f.Name, Type: string(f.Type), Description: strings.Join(names, ", "), ExampleValues: f.Values,
		})
	}
	return list
}

func (s *Server) fieldValues(ctx context.Context, in *fieldValuesInput) (FieldValues, error) {
	if in.Since == "" {
		in.Since = valuesRange
	}
	asked, err := s.question(in.Query, in.Without, in.Since, in.Until)
	if err != nil {
		return FieldValues{}, err
	}
	ctx, cancel := askStored(ctx)
	defer cancel()
	found, err := s.stored().FieldValues(ctx, &pb.FieldValuesRequest{
		Field: in.Name, Filter: asked.filter, Since: asked.since, Until: asked.until, Limit: in.Limit, Prefix: in.Prefix,
	})
	if err != nil {
		return FieldValues{}, s.storeProblem(err)
	}
	a := FieldValues{Facet: newFacet(found.GetFacet()), Lacks: newLacks(found.GetLacks()), Thinned: found.GetThinned()}
	if a.Field == "" {
		a.Field = in.Name
	}
	return a, nil
}
