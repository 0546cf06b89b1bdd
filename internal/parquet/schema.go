package parquet

import (
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/amoskys/amoskys/internal/event"
)

// Columns beside those of the catalogue.
const (
	// Offset is the event's place in the log, LoggedTime when the hub received it.
	Offset     = "offset"
	LoggedTime = "logged_time"
	// Other holds, as a JSON object, what an event has and no column takes: fields that
	// came while the file was written, and times that nanoseconds cannot tell.
	Other = "other"
	// Unreadable says why an event cannot be read, Encoded has its bytes.
	Unreadable = "unreadable"
	Encoded    = "encoded"
)

// form is how a column holds its values.
type form uint8

const (
	formText form = iota
	formSigned
	formUnsigned
	formDouble
	formBool
	formTime
	formMap
)

// column is one field's place in a row.
type column struct {
	name  string
	field *event.Field // nil for those beside the catalogue
	form  form
	list  bool
	leaf  int // place of its first leaf; a map has two
}

// formOf is how values of a field are held.
func formOf(f *event.Field) form {
	switch f.Type {
	case event.FieldKeyword:
		return formText
	case event.FieldTime:
		return formTime
	case event.FieldBool:
		return formBool
	case event.FieldMap:
		return formMap
	case event.FieldDuration:
		return formDouble
	case event.FieldNumber:
	}
	switch f.Kind() { //nolint:exhaustive // the others are no whole numbers
	case protoreflect.Int32Kind, protoreflect.Int64Kind, protoreflect.Sint32Kind, protoreflect.Sint64Kind,
		protoreflect.Sfixed32Kind, protoreflect.Sfixed64Kind:
		return formSigned
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind, protoreflect.Fixed32Kind, protoreflect.Fixed64Kind:
		return formUnsigned
	}
	return formDouble
}

func (f form) node() parquet.Node {
	switch f {
	case formSigned:
		return parquet.Int(64)
	case formUnsigned:
		return parquet.Uint(64)
	case formDouble:
		return parquet.Leaf(parquet.DoubleType)
	case formBool:
		return parquet.Leaf(parquet.BooleanType)
	case formTime:
		return parquet.Timestamp(parquet.Nanosecond)
	case formText, formMap:
	}
	return parquet.String()
}

// layout returns the columns of a file, in the order of their names, and its schema.
// Fields is what to have, all of the catalogue when empty.
func layout(fields []*event.Field) ([]column, *parquet.Schema) {
	if len(fields) == 0 {
		fields = event.FieldCatalog()
	}
	columns := []column{
		{name: Offset, form: formUnsigned}, {name: LoggedTime, form: formTime}, {name: Other}, {name: Unreadable}, {name: Encoded},
	}
	for _, f := range fields {
		columns = append(columns, column{name: f.Name, field: f, form: formOf(f), list: f.Type != event.FieldMap && f.Repeats()})
	}
	slices.SortFunc(columns, func(a, b column) int { return strings.Compare(a.name, b.name) })
	columns = slices.CompactFunc(columns, func(a, b column) bool { return a.name == b.name })
	group := parquet.Group{}
	leaf := 0
	for i := range columns {
		c := &columns[i]
		node := c.form.node()
		switch {
		case c.name == Encoded:
			node = parquet.Leaf(parquet.ByteArrayType)
		case c.form == formMap:
			node = parquet.Map(parquet.String(), parquet.String())
		case c.list:
			node = parquet.List(node)
		}
		group[c.name] = parquet.Optional(node)
		c.leaf = leaf
		leaf++
		if c.form == formMap {
			leaf++
		}
	}
	return columns, parquet.NewSchema("event", group)
}
