package config

import (
	"encoding"
	"fmt"
	"reflect"
	"time"
)

// Entry is one effective setting.
type Entry struct {
	Key    string `json:"key"`
	Value  any    `json:"value"`  // secrets are redacted
	Source string `json:"source"` // "FILE:LINE", "$VARIABLE" or "default"
}

// Entries lists every setting of a configuration struct (or pointer to one) in
// the order of its fields, with its source as Decode recorded it.
func Entries(c any, sources map[string]string) []Entry {
	v := reflect.ValueOf(c)
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if !v.IsValid() || !isSection(v.Type()) {
		return nil
	}
	return entries(v, "", sources)
}

func entries(v reflect.Value, path string, sources map[string]string) []Entry {
	var out []Entry
	for _, f := range fields(v.Type()) {
		key, value := join(path, f.key), v.FieldByIndex(f.index)
		if value.Kind() == reflect.Pointer && !value.IsNil() {
			value = value.Elem()
		}
		if isSection(value.Type()) {
			out = append(out, entries(value, key, sources)...)
			continue
		}
		source, ok := sources[key]
		if !ok {
			source = "default"
		}
		out = append(out, Entry{Key: key, Value: printable(value), Source: source})
	}
	return out
}

// printable turns a value into what JSON and people show.
func printable(v reflect.Value) any {
	switch x := v.Interface().(type) {
	case Secret:
		return x.String()
	case time.Duration:
		return x.String()
	case encoding.TextMarshaler:
		text, err := x.MarshalText()
		if err != nil {
			return fmt.Sprint(x)
		}
		return string(text)
	}
	switch v.Kind() {
	case reflect.Slice:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = printable(v.Index(i))
		}
		return list
	case reflect.Struct:
		section := map[string]any{}
		for _, e := range entries(v, "", nil) {
			section[e.Key] = e.Value
		}
		return section
	case reflect.Map:
		section := map[string]any{}
		for _, k := range v.MapKeys() {
			section[k.String()] = printable(v.MapIndex(k))
		}
		return section
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return printable(v.Elem())
	default:
		return v.Interface()
	}
}
