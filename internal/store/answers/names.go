package answers

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/store/vlogs"
)

// Bounds on completion.
const (
	defaultValues = 10
	maxValues     = 1_000
)

// columnOf is what the engine calls a field.
func columnOf(f *event.Field) string {
	if f.Name == "message" {
		return fieldMessage
	}
	return f.Name
}

// shownName is what people call a column of the engine.
func shownName(column string) string {
	switch column {
	case fieldMessage:
		return "message"
	case fieldTime:
		return "time"
	}
	return column
}

// FieldNames lists the fields that matching events have, the most frequent first.
func (s *Service) FieldNames(ctx context.Context, req *pb.FieldNamesRequest) (*pb.FieldNamesResponse, error) {
	ctx, end, err := s.begin(ctx, heavy)
	if err != nil {
		return nil, err
	}
	defer end()
	response, err := s.fieldNames(ctx, req)
	return response, s.closing(err)
}

func (s *Service) fieldNames(ctx context.Context, req *pb.FieldNamesRequest) (*pb.FieldNamesResponse, error) {
	q, err := s.question(ctx, req.GetFilter(), rangeOf(req.GetSince(), req.GetUntil()))
	if err != nil {
		return nil, err
	}
	response := &pb.FieldNamesResponse{}
	if whole := q.whole(); !whole.empty() {
		err := s.ask(ctx, q.query(q.text(whole, false)+" | field_names"), func(fields []vlogs.Field) error {
			name := strings.Clone(shownName(value(fields, "name")))
			if f, _, ok := event.FieldByName(name); !ok || f.Name != name {
				return nil // a field of the store's own
			}
			n, err := number(fields, "hits")
			response.Fields = append(response.Fields, &pb.FacetValue{Value: name, Count: n})
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(response.GetFields(), func(a, b *pb.FacetValue) int {
		return cmp.Or(cmp.Compare(b.GetCount(), a.GetCount()), strings.Compare(a.GetValue(), b.GetValue()))
	})
	response.Thinned = s.thinned(q)
	response.Lacks, err = s.lacks(ctx, q)
	return response, err
}

// FieldValues lists values of one field, the most frequent first, of the newest
// events that match.
func (s *Service) FieldValues(ctx context.Context, req *pb.FieldValuesRequest) (*pb.FieldValuesResponse, error) {
	f, err := facetOf(req.GetField())
	if err != nil {
		return nil, err
	}
	ctx, end, err := s.begin(ctx, heavy)
	if err != nil {
		return nil, err
	}
	defer end()
	response, err := s.fieldValues(ctx, req, f)
	return response, s.closing(err)
}

func (s *Service) fieldValues(ctx context.Context, req *pb.FieldValuesRequest, f facet) (*pb.FieldValuesResponse, error) {
	q, err := s.question(ctx, req.GetFilter(), rangeOf(req.GetSince(), req.GetUntil()))
	if err != nil {
		return nil, err
	}
	total, err := s.total(ctx, q, q.whole())
	if err != nil {
		return nil, err
	}
	newest, n, err := s.newest(ctx, q, total)
	if err != nil {
		return nil, err
	}
	response := &pb.FieldValuesResponse{}
	response.Facet, err = s.facet(ctx, q, newest, f, limitOf(req.GetLimit(), defaultValues, maxValues), req.GetPrefix())
	if err != nil {
		return nil, err
	}
	if n < total {
		response.Lacks = append(response.Lacks, limitLack(newest, total-n, fmt.Sprintf("values are those of the newest %d of %d matching events", n, total)))
	}
	lacks, err := s.lacks(ctx, q)
	response.Lacks, response.Thinned = append(response.Lacks, lacks...), s.thinned(q)
	return response, err
}
