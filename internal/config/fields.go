package config

import (
	"encoding"
	"reflect"
	"strings"
	"time"
)

// field is one key of a configuration struct.
type field struct {
	key   string
	env   string // extra environment variable from the env tag
	index []int
	typ   reflect.Type
}

// fields lists the keys of a struct in order, with inlined structs flattened.
func fields(t reflect.Type) []field {
	var out []field
	for f := range fieldsOf(t) {
		name, rest, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name == "-" {
			continue
		}
		inline := strings.Contains(","+rest+",", ",inline,") || f.Anonymous && name == ""
		if inline && f.Type.Kind() == reflect.Struct {
			for _, sub := range fields(f.Type) {
				sub.index = append([]int{f.Index[0]}, sub.index...)
				out = append(out, sub)
			}
			continue
		}
		if name == "" {
			name = strings.ToLower(f.Name)
		}
		out = append(out, field{key: name, env: f.Tag.Get("env"), index: f.Index, typ: f.Type})
	}
	return out
}

// fieldsOf yields the fields of a struct type that can be set: exported ones, and
// embedded structs for the exported fields inside.
func fieldsOf(t reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for f := range t.Fields() {
			promoted := f.Anonymous && f.Type.Kind() == reflect.Struct
			if (f.IsExported() || promoted) && !yield(f) {
				return
			}
		}
	}
}

// isText reports whether values of t are written as one YAML text by their own
// UnmarshalText.
func isText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// isSection reports whether t is a struct whose fields are keys.
func isSection(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && !isText(t)
}

// join appends a key to a path.
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// typeWord says in plain words what a value of t looks like.
func typeWord(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return `a duration such as "30s" or "5m"`
	case isText(t):
		return "text"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeWord(t.Elem())
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.String:
		return "text"
	case reflect.Slice:
		return "a list"
	default:
		return "a section with keys"
	}
}
