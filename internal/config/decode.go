package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// maxNodes bounds the work that aliases can multiply.
const maxNodes = 100_000

// decoder fills a struct from a syntax tree and gathers faults on the way.
type decoder struct {
	file    string
	options DecodeOptions
	faults  Faults
	origin  map[string]Fault // where each key was set; only File, Line, Column and Env
	anchors map[string]ast.Node
	nodes   int
	root    reflect.Type
}

func newDecoder(file string, o DecodeOptions) *decoder {
	return &decoder{file: file, options: o, origin: map[string]Fault{}, anchors: map[string]ast.Node{}}
}

func (d *decoder) result() error {
	if len(d.faults) == 0 {
		return nil
	}
	d.faults.sort()
	return d.faults
}

func (d *decoder) decode(text []byte, into any) {
	v := reflect.ValueOf(into).Elem()
	d.root = v.Type()
	if !isSection(d.root) {
		panic(fmt.Sprintf("config: decode into %s, which has no keys", d.root))
	}
	root, fault := parse(text)
	if fault != nil {
		fault.File = d.file
		d.faults = append(d.faults, *fault)
	} else if root != nil {
		d.value(root, v, "", 0)
	}
	d.environment(v, "")
	if validator, ok := into.(Validator); ok && fault == nil {
		d.validate(validator)
	}
	for key, o := range d.origin {
		if d.options.Sources == nil {
			break
		}
		d.options.Sources[key] = o.source()
	}
}

func (f Fault) source() string {
	if f.Env != "" {
		return "$" + f.Env
	}
	return fmt.Sprintf("%s:%d", f.File, f.Line)
}

// validate runs the owner's rules, and drops what only repeats a fault that the
// key already has.
func (d *decoder) validate(validator Validator) {
	check := NewCheck()
	validator.Validate(check)
	known := map[string]bool{}
	for _, f := range d.faults {
		known[f.Key] = true
	}
	for _, f := range check.Faults() {
		if known[f.Key] {
			continue
		}
		o := d.nearestOrigin(f.Key)
		f.File, f.Line, f.Column, f.Env = o.File, o.Line, o.Column, o.Env
		d.faults = append(d.faults, f)
	}
}

// nearestOrigin is where key was set, or else the section or list around it.
func (d *decoder) nearestOrigin(key string) Fault {
	for key != "" {
		if o, ok := d.origin[key]; ok {
			return o
		}
		key = key[:max(0, strings.LastIndexAny(key, ".["))]
	}
	return Fault{File: d.file}
}

func (d *decoder) fault(n ast.Node, key, format string, args ...any) {
	f := at(n, key, fmt.Sprintf(format, args...))
	f.File = d.file
	d.faults = append(d.faults, *f)
}

// value stores node n in v. Faults leave v as it was.
func (d *decoder) value(n ast.Node, v reflect.Value, path string, depth int) {
	d.nodes++
	if d.nodes > maxNodes || depth > maxDepth {
		if d.nodes <= maxNodes+1 {
			d.fault(n, path, "is too large or refers to itself")
		}
		d.nodes = max(d.nodes, maxNodes+1)
		return
	}
	n, ok := d.resolve(n, path)
	if !ok || n.Type() == ast.NullType {
		return // a key with nothing behind it keeps its default
	}
	t := v.Type()
	switch {
	case t.Kind() == reflect.Pointer:
		p := reflect.New(t.Elem())
		if !v.IsNil() {
			p.Elem().Set(v.Elem())
		}
		d.value(n, p.Elem(), path, depth+1)
		v.Set(p)
	case isSection(t):
		d.section(n, v, path, depth)
	case isText(t):
		d.scalar(n, v, path)
	case t.Kind() == reflect.Slice:
		d.list(n, v, path, depth)
	case t.Kind() == reflect.Map:
		d.table(n, v, path, depth)
	default:
		d.scalar(n, v, path)
	}
}

// resolve follows anchors and aliases to the node that carries the value.
func (d *decoder) resolve(n ast.Node, path string) (ast.Node, bool) {
	for range maxDepth {
		switch node := n.(type) {
		case nil:
			return nil, false
		case *ast.AnchorNode:
			d.anchors[text(node.Name)] = node.Value
			n = node.Value
		case *ast.AliasNode:
			target, ok := d.anchors[text(node.Value)]
			if !ok {
				d.fault(n, path, "refers to *%s, which is not defined above", text(node.Value))
				return nil, false
			}
			n = target
		case *ast.TagNode:
			d.fault(n, path, "has a tag; write the plain value")
			return nil, false
		default:
			return n, true
		}
	}
	d.fault(n, path, "refers to itself")
	return nil, false
}

func text(n ast.Node) string {
	if n == nil || n.GetToken() == nil {
		return ""
	}
	return n.GetToken().Value
}

// pairs lists the keys of a mapping in order; ok is false when n is no mapping.
func pairs(n ast.Node) (list []*ast.MappingValueNode, ok bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

// eachPair calls set for every key of mapping n, once.
func (d *decoder) eachPair(n ast.Node, path, want string, set func(pair *ast.MappingValueNode, key string)) {
	list, ok := pairs(n)
	if !ok {
		d.fault(n, path, "must be %s, not %s", want, describe(n))
		return
	}
	first := map[string]int{}
	for _, pair := range list {
		if pair.Key.IsMergeKey() {
			d.fault(pair, path, "merging with << is not supported; write the keys out")
			continue
		}
		key := text(pair.Key)
		if _, isScalar := pair.Key.(ast.ScalarNode); !isScalar {
			d.fault(pair, path, "has a key that is not plain text")
			continue
		}
		if line, seen := first[key]; seen {
			d.fault(pair, join(path, key), "is given twice, first in line %d", line)
			continue
		}
		first[key] = pair.Key.GetToken().Position.Line
		set(pair, key)
	}
}

func (d *decoder) section(n ast.Node, v reflect.Value, path string, depth int) {
	known := fields(v.Type())
	d.eachPair(n, path, typeWord(v.Type()), func(pair *ast.MappingValueNode, key string) {
		i := slices.IndexFunc(known, func(f field) bool { return f.key == key })
		if i < 0 {
			d.unknown(pair, known, path, key)
			return
		}
		d.setOrigin(pair.Value, pair, join(path, key))
		d.value(pair.Value, v.FieldByIndex(known[i].index), join(path, key), depth+1)
	})
}

// setOrigin notes where a key was set: at its value, or at the key itself when
// nothing or a whole section follows.
func (d *decoder) setOrigin(value, pair ast.Node, path string) {
	n := value
	if n == nil || n.Type() == ast.NullType || n.Type() == ast.MappingType || n.Type() == ast.MappingValueType {
		n = pair
	}
	o := at(n, "", "")
	o.File = d.file
	d.origin[path] = *o
}

// unknown reports a key that the struct does not have, with the nearest one that
// it has, or the section where the key belongs.
func (d *decoder) unknown(n ast.Node, known []field, path, key string) {
	names := make([]string, len(known))
	for i, f := range known {
		names[i] = f.key
	}
	message := "unknown key"
	if near := Nearest(key, names); near != "" {
		message += fmt.Sprintf(", did you mean %q?", near)
	} else if elsewhere := findKey(d.root, "", key, 0); elsewhere != "" {
		message += fmt.Sprintf(" here, did you mean %q?", elsewhere)
	}
	f := at(n, join(path, key), message)
	f.File, f.Valid = d.file, names
	d.faults = append(d.faults, *f)
}

// findKey is the path of the first key with this name anywhere in t.
func findKey(t reflect.Type, path, key string, depth int) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if !isSection(t) || depth > 8 {
		return ""
	}
	for _, f := range fields(t) {
		if f.key == key {
			return join(path, key)
		}
		if found := findKey(f.typ, join(path, f.key), key, depth+1); found != "" {
			return found
		}
	}
	return ""
}

func (d *decoder) list(n ast.Node, v reflect.Value, path string, depth int) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.fault(n, path, "must be a list, as in [a, b], not %s", describe(n))
		return
	}
	out := reflect.MakeSlice(v.Type(), 0, min(len(seq.Values), maxNodes))
	for i, item := range seq.Values {
		itemPath := fmt.Sprintf("%s[%d]", path, i)
		d.setOrigin(item, item, itemPath)
		element := reflect.New(v.Type().Elem()).Elem()
		if item == nil || item.Type() == ast.NullType {
			d.fault(seq, itemPath, "is empty")
			continue
		}
		d.value(item, element, itemPath, depth+1)
		if d.nodes > maxNodes {
			return
		}
		out = reflect.Append(out, element)
	}
	v.Set(out)
}

// table fills a map with text keys; keys that the default had stay.
func (d *decoder) table(n ast.Node, v reflect.Value, path string, depth int) {
	out := reflect.MakeMap(v.Type())
	for _, k := range v.MapKeys() {
		out.SetMapIndex(k, v.MapIndex(k))
	}
	d.eachPair(n, path, typeWord(v.Type()), func(pair *ast.MappingValueNode, key string) {
		d.setOrigin(pair.Value, pair, join(path, key))
		element := reflect.New(v.Type().Elem()).Elem()
		k := reflect.ValueOf(key).Convert(v.Type().Key())
		if old := out.MapIndex(k); old.IsValid() {
			element.Set(old)
		}
		d.value(pair.Value, element, join(path, key), depth+1)
		out.SetMapIndex(k, element)
	})
	v.Set(out)
}
