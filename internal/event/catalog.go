package event

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"

	"google.golang.org/protobuf/reflect/protoreflect"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// FieldType is how a field's values compare.
type FieldType string

// Field types.
const (
	FieldKeyword  FieldType = "keyword"
	FieldNumber   FieldType = "number"
	FieldTime     FieldType = "time"
	FieldDuration FieldType = "duration"
	FieldBool     FieldType = "boolean"
	FieldMap      FieldType = "map"
)

// FieldID names one attribute: it is the field's place in FieldCatalog. It is good
// for one build of the program alone and must not be stored.
type FieldID uint16

// Field describes one attribute of events.
type Field struct {
	ID FieldID
	// Name is what queries and results use: the short name where there is one,
	// else the ECS name.
	Name string
	// ECS, OCSF and Path are its other names; Path is that in the Event message.
	ECS, OCSF, Path string
	Type            FieldType
	// Values lists what an enumeration can hold.
	Values []string

	steps []protoreflect.FieldDescriptor
	// isName says that Attribute brings it into the form of names.
	isName bool
	// numbers are an enumeration's by the words of its values.
	numbers map[string]protoreflect.EnumNumber
}

// Repeats reports whether one event can have several values of the attribute. Those of
// a map are its entries, and do not count.
func (f *Field) Repeats() bool {
	return slices.ContainsFunc(f.steps, protoreflect.FieldDescriptor.IsList)
}

// Kind is the type that its values have in the Event message; of a map that of its
// entries' values.
func (f *Field) Kind() protoreflect.Kind {
	last := f.steps[len(f.steps)-1]
	if last.IsMap() {
		last = last.MapValue()
	}
	return last.Kind()
}

// catalog is the compiled mapping table.
type catalog struct {
	fields []*Field
	byName map[string]*Field
	// native, ecs and ocsf are the names in each schema, by FieldID.
	native, ecs, ocsf []schemaName
}

// schemaName is an attribute's name in a schema and its place among all of them
// in the order of their bytes.
type schemaName struct {
	text string
	rank int
}

// names returns the names of a schema, by FieldID.
func (c *catalog) names(s Schema) []schemaName {
	switch s {
	case SchemaECS:
		return c.ecs
	case SchemaOCSF:
		return c.ocsf
	case SchemaNative:
	}
	return c.native
}

// Label returns the attribute's name in a schema: its native one where the schema
// has none.
func (f *Field) Label(s Schema) string { return compiled().names(s)[f.ID].text }

// rankNames lists the names that choose gives, by FieldID.
func (c *catalog) rankNames(choose func(*Field) string) []schemaName {
	names := make([]schemaName, len(c.fields))
	sorted := make([]string, len(c.fields))
	for i, f := range c.fields {
		names[i].text = cmp.Or(choose(f), f.Name)
		sorted[i] = names[i].text
	}
	slices.Sort(sorted)
	for i := range names {
		names[i].rank, _ = slices.BinarySearch(sorted, names[i].text)
	}
	return names
}

var compiled = sync.OnceValue(buildCatalog) //nolint:gochecknoglobals // immutable once built

// FieldCatalog lists every field in table order. The caller may keep but not change it.
func FieldCatalog() []*Field { return compiled().fields }

// publisherField is the one attribute that the record of the log tells.
func publisherField() *Field { return compiled().byName["publisher"] }

// FieldByName finds a field by its name, short, ECS, OCSF or proto path. For a
// map field, "labels.site" finds the map and returns key "site".
func FieldByName(name string) (f *Field, key string, ok bool) {
	c := compiled()
	if f, ok = c.byName[name]; ok {
		return f, "", true
	}
	for i := strings.LastIndexByte(name, '.'); i > 0; i = strings.LastIndexByte(name[:i], '.') {
		if f, ok = c.byName[name[:i]]; ok && f.Type == FieldMap {
			return f, name[i+1:], true
		}
	}
	return nil, "", false
}

// Nearest returns the known field name closest to name, for error messages;
// empty when nothing is close.
func Nearest(name string) string {
	best, dist := "", max(2, len(name)/3)+1
	for n := range compiled().byName {
		if d := EditDistance(name, n); d < dist || d == dist && best != "" && n < best {
			best, dist = n, d
		}
	}
	return best
}

func buildCatalog() *catalog {
	c := &catalog{byName: map[string]*Field{}}
	root := (&pb.Event{}).ProtoReflect().Descriptor()
	for _, r := range rows() {
		f := &Field{ID: FieldID(len(c.fields)), Name: cmp.Or(r.Short, r.ECS), ECS: r.ECS, OCSF: r.OCSF, Path: r.Path}
		d := root
		for part := range strings.SplitSeq(r.Path, ".") {
			fd := d.Fields().ByName(protoreflect.Name(part))
			if fd == nil {
				panic(fmt.Sprintf("event: table names %q, which the Event message lacks", r.Path))
			}
			f.steps = append(f.steps, fd)
			if fd.Kind() == protoreflect.MessageKind && !fd.IsMap() {
				d = fd.Message()
			}
		}
		f.isName = slices.Contains([]string{"host.name", "observer.name", "agent.id"}, f.Path)
		last := f.steps[len(f.steps)-1]
		f.Type, f.Values = typeOf(last)
		f.numbers = enumNumbers(last.Enum())
		c.fields = append(c.fields, f)
	}
	c.native = c.rankNames(func(f *Field) string { return f.Name })
	c.ecs = c.rankNames(func(f *Field) string { return f.ECS })
	c.ocsf = c.rankNames(func(f *Field) string { return f.OCSF })
	// Earlier rows win a name that two schemas use differently; own names
	// come before ECS, and ECS before OCSF.
	for _, name := range []func(*Field) string{
		func(f *Field) string { return f.Name },
		func(f *Field) string { return f.ECS },
		func(f *Field) string { return f.Path },
		func(f *Field) string { return f.OCSF },
	} {
		for _, f := range c.fields {
			if n := name(f); n != "" && c.byName[n] == nil {
				c.byName[n] = f
			}
		}
	}
	return c
}

func typeOf(fd protoreflect.FieldDescriptor) (FieldType, []string) {
	switch {
	case fd.IsMap():
		return FieldMap, nil
	case fd.Kind() == protoreflect.EnumKind:
		var vs []string
		values := fd.Enum().Values()
		for i := range values.Len() {
			if values.Get(i).Number() != 0 {
				vs = append(vs, enumText(fd.Enum(), values.Get(i).Number()))
			}
		}
		return FieldKeyword, vs
	case fd.Kind() == protoreflect.StringKind, fd.Kind() == protoreflect.BytesKind:
		return FieldKeyword, nil
	case fd.Kind() == protoreflect.BoolKind:
		return FieldBool, []string{"true", "false"}
	case fd.Kind() == protoreflect.MessageKind && fd.Message().FullName() == "google.protobuf.Timestamp":
		return FieldTime, nil
	case fd.Kind() == protoreflect.MessageKind:
		return FieldDuration, nil
	default:
		return FieldNumber, nil
	}
}

// enumNumbers is the inverse of enumNames.
func enumNumbers(ed protoreflect.EnumDescriptor) map[string]protoreflect.EnumNumber {
	if ed == nil {
		return nil
	}
	by := map[string]protoreflect.EnumNumber{}
	for n, name := range enumNames(ed) {
		if name != "" {
			by[name] = protoreflect.EnumNumber(n)
		}
	}
	return by
}

// enumText is the value's name without the enum's prefix, in lower case:
// SEVERITY_HIGH is "high".
func enumText(ed protoreflect.EnumDescriptor, n protoreflect.EnumNumber) string {
	v := ed.Values().ByNumber(n)
	if v == nil {
		return fmt.Sprint(n)
	}
	prefix := string(ed.Values().ByNumber(0).Name())
	prefix = strings.TrimSuffix(prefix, "UNSPECIFIED")
	return strings.ToLower(strings.TrimPrefix(string(v.Name()), prefix))
}

// EditDistance is Levenshtein's, over bytes.
func EditDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		prev := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			prev, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, prev+cost)
		}
	}
	return row[len(b)]
}

// sortedKeys is used wherever a map's order would show.
func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
