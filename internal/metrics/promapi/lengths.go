package promapi

import (
	"fmt"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"
)

// Bounds of what label_replace and label_join may make, in bytes: of one label, and of all
// labels of a series. Each level of label_replace(v, "x", "$1$1", "x", "(.*)") doubles a
// label: forty of them would ask for terabytes in one piece, which ends the process, and the
// engine bounds the samples of a question alone.
const (
	maxMadeLabel  = 8 << 10
	maxMadeLabels = 32 << 10
	// usualLabel is how long the labels of readings are at most, and madeMost what those that
	// a question makes may take in memory together.
	usualLabel = 256
	madeMost   = 512 << 20
)

// lengths are how long labels may get that an expression makes, by name. Others are as the
// series have them.
type lengths map[string]int

func (l lengths) of(name string) int {
	if n, made := l[name]; made {
		return n
	}
	return usualLabel
}

// sum is what the labels take together, 0 where none is made.
func (l lengths) sum() (n int) {
	for _, length := range l {
		n += length
	}
	return n
}

// add keeps the longer of two lengths.
func (l lengths) add(name string, length int) {
	if length > l[name] {
		l[name] = length
	}
}

// lengthsOf is how long labels may get; an error where that is too long.
func lengthsOf(node parser.Node) (lengths, error) {
	all := lengths{}
	for child := range parser.ChildrenIter(node) {
		l, err := lengthsOf(child)
		if err != nil {
			return nil, err
		}
		for name, length := range l {
			all.add(name, length)
		}
	}
	call, ok := node.(*parser.Call)
	if !ok {
		return all, nil
	}
	var to string
	length := 0
	switch call.Func.Name {
	case "label_replace":
		if len(call.Args) != 5 {
			return all, nil // the parser has refused it
		}
		to = textOf(call.Args[1])
		made, from := textOf(call.Args[2]), textOf(call.Args[3])
		// A dollar sign may stand for all of the label that is read.
		length = len(made) + strings.Count(made, "$")*all.of(from)
	case "label_join":
		if len(call.Args) < 3 {
			return all, nil
		}
		to = textOf(call.Args[1])
		for _, arg := range call.Args[3:] {
			length += all.of(textOf(arg)) + len(textOf(call.Args[2]))
		}
	default:
		return all, nil
	}
	all.add(to, max(length, all[to]))
	if all[to] > maxMadeLabel || all.sum() > maxMadeLabels {
		return nil, fmt.Errorf("%s may make labels of more than %d KiB, or of %d together: nest fewer of them, or make shorter ones",
			call.Func.Name, maxMadeLabel>>10, maxMadeLabels>>10)
	}
	return all, nil
}

// textOf is the text that an argument is.
func textOf(e parser.Expr) string {
	for {
		switch x := e.(type) {
		case *parser.ParenExpr:
			e = x.Expr
		case *parser.StepInvariantExpr:
			e = x.Expr
		case *parser.StringLiteral:
			return x.Val
		default:
			return ""
		}
	}
}

// mostSeries is how many series a question may touch: fewer, where it makes long labels of
// each.
func (a *API) mostSeries(expr parser.Expr) uint64 {
	made, err := lengthsOf(expr)
	if n := made.sum(); err == nil && n > 0 {
		return min(a.o.Limits.Series, uint64(madeMost/n))
	}
	return a.o.Limits.Series
}
