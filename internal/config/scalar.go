package config

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// scalar stores a single value; a wrong type is a fault that says what to write.
func (d *decoder) scalar(n ast.Node, v reflect.Value, path string) {
	fail := func() {
		d.fault(n, path, "must be %s, not %s", typeWord(v.Type()), describe(n))
	}
	if isText(v.Type()) || v.Kind() == reflect.String || v.Type() == reflect.TypeFor[time.Duration]() {
		s, ok := stringOf(n)
		switch {
		case ok:
			if err := setText(v, s); err != nil {
				d.fault(n, path, "%s", d.textFault(v, s, err))
			}
		case v.Type() == reflect.TypeFor[Secret]():
			d.fault(n, path, "must be text: write it in quotes")
		case isScalar(n) && v.Type() != reflect.TypeFor[time.Duration]():
			d.fault(n, path, "must be text: write it in quotes, as in %q", text(n))
		default:
			fail()
		}
		return
	}
	switch node := n.(type) {
	case *ast.BoolNode:
		if v.Kind() != reflect.Bool {
			fail()
			return
		}
		v.SetBool(node.Value)
	case *ast.IntegerNode:
		if err := setInteger(v, node.Value); err != nil {
			d.fault(n, path, "must be %s, %v", typeWord(v.Type()), err)
		}
	case *ast.FloatNode:
		if !v.CanFloat() {
			fail()
			return
		}
		v.SetFloat(node.Value)
	case *ast.StringNode:
		number, ok := exponent(node)
		if !ok || !v.CanFloat() {
			fail()
			return
		}
		v.SetFloat(number)
	default:
		fail()
	}
}

// exponent reads a number such as 1e9, which the YAML 1.2 core schema takes for
// a float and the parser for text, as YAML 1.1 did.
func exponent(n *ast.StringNode) (float64, bool) {
	if n.GetToken().Type != token.StringType || strings.Trim(n.Value, "+-.0123456789eE") != "" {
		return 0, false
	}
	f, err := strconv.ParseFloat(n.Value, 64)
	return f, err == nil
}

// textFault keeps the text of secrets out of messages.
func (d *decoder) textFault(v reflect.Value, s string, err error) string {
	if v.Type() == reflect.TypeFor[time.Duration]() {
		return fmt.Sprintf("must be %s, not %q", typeWord(v.Type()), s)
	}
	return err.Error()
}

func isScalar(n ast.Node) bool {
	_, ok := n.(ast.ScalarNode)
	return ok
}

// stringOf is the text of a node that YAML itself takes for text.
func stringOf(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	}
	return "", false
}

// setText stores text in a string, a duration or a value with UnmarshalText.
func setText(v reflect.Value, s string) error {
	if v.Type() == reflect.TypeFor[time.Duration]() {
		parsed, err := time.ParseDuration(s)
		if err != nil {
			return err
		}
		v.SetInt(int64(parsed))
		return nil
	}
	if isText(v.Type()) {
		p := reflect.New(v.Type())
		p.Elem().Set(v)
		unmarshaler, ok := reflect.TypeAssert[encoding.TextUnmarshaler](p)
		if !ok {
			return errors.New("cannot be read from text")
		}
		if err := unmarshaler.UnmarshalText([]byte(s)); err != nil {
			return err
		}
		v.Set(p.Elem())
		return nil
	}
	v.SetString(s)
	return nil
}

// setInteger stores an int64 or uint64 where it fits.
func setInteger(v reflect.Value, value any) error {
	var signed int64
	var unsigned uint64
	switch x := value.(type) {
	case int64:
		signed, unsigned = x, uint64(max(x, 0))
	case uint64:
		signed, unsigned = int64(min(x, math.MaxInt64)), x
		if x > math.MaxInt64 && v.CanInt() {
			return fmt.Errorf("and %d is too large", x)
		}
	default:
		return fmt.Errorf("not %v", value)
	}
	switch {
	case v.CanInt():
		if v.OverflowInt(signed) {
			return fmt.Errorf("and %d is too large", signed)
		}
		v.SetInt(signed)
	case v.CanUint():
		if x, ok := value.(int64); ok && x < 0 {
			return fmt.Errorf("not below zero as %d is", x)
		}
		if v.OverflowUint(unsigned) {
			return fmt.Errorf("and %d is too large", unsigned)
		}
		v.SetUint(unsigned)
	case v.CanFloat():
		if x, ok := value.(uint64); ok {
			v.SetFloat(float64(x))
			return nil
		}
		v.SetFloat(float64(signed))
	default:
		return fmt.Errorf("not the number %v", value)
	}
	return nil
}

// describe says what a node is, without its text, which may be secret.
func describe(n ast.Node) string {
	switch n := n.(type) {
	case *ast.BoolNode:
		return strconv.FormatBool(n.Value)
	case *ast.IntegerNode:
		return fmt.Sprintf("the number %v", n.Value)
	case *ast.FloatNode:
		return "the number " + text(n)
	case *ast.InfinityNode, *ast.NanNode:
		return text(n)
	case *ast.StringNode:
		if len(n.Value) <= 32 && !strings.ContainsAny(n.Value, "\n") {
			return fmt.Sprintf("the text %q", n.Value)
		}
		return "a text"
	case *ast.LiteralNode:
		return "a text"
	case *ast.SequenceNode:
		return "a list"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a section with keys"
	case *ast.NullNode:
		return "nothing"
	}
	return "this"
}
