package promapi

import (
	"strconv"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// tree is a node of a query as parse_query tells it: names and values are those that
// Prometheus' own page reads, type first among them.
type tree map[string]any

// treeOf is the tree of an expression; nil for none.
func treeOf(expr parser.Expr) any {
	switch n := expr.(type) {
	case *parser.NumberLiteral:
		return tree{"type": "numberLiteral", "val": strconv.FormatFloat(n.Val, 'f', -1, 64)}
	case *parser.StringLiteral:
		return tree{"type": "stringLiteral", "val": n.Val}
	case *parser.ParenExpr:
		return tree{"type": "parenExpr", "expr": treeOf(n.Expr)}
	case *parser.UnaryExpr:
		return tree{"type": "unaryExpr", "op": n.Op.String(), "expr": treeOf(n.Expr)}
	case *parser.StepInvariantExpr:
		return treeOf(n.Expr)
	case *parser.DurationExpr:
		return durationTree(n)
	case *parser.VectorSelector:
		t := selectorTree(n)
		t["type"] = "vectorSelector"
		return t
	case *parser.MatrixSelector:
		selector, ok := n.VectorSelector.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		t := selectorTree(selector)
		t["type"], t["range"], t["rangeExpr"] = "matrixSelector", n.Range.Milliseconds(), durationTree(n.RangeExpr)
		return t
	case *parser.SubqueryExpr:
		return tree{
			"type": "subquery", "expr": treeOf(n.Expr), "range": n.Range.Milliseconds(), "rangeExpr": durationTree(n.RangeExpr),
			"offset": n.OriginalOffset.Milliseconds(), "offsetExpr": durationTree(n.OriginalOffsetExpr),
			"step": n.Step.Milliseconds(), "stepExpr": durationTree(n.StepExpr), "timestamp": n.Timestamp, "startOrEnd": itemName(n.StartOrEnd),
		}
	case *parser.AggregateExpr:
		return tree{
			"type": "aggregation", "op": n.Op.String(), "expr": treeOf(n.Expr), "param": treeOf(n.Param),
			"grouping": listed(n.Grouping), "without": n.Without,
		}
	case *parser.BinaryExpr:
		return tree{
			"type": "binaryExpr", "op": n.Op.String(), "lhs": treeOf(n.LHS), "rhs": treeOf(n.RHS),
			"matching": matchingTree(n.VectorMatching), "bool": n.ReturnBool,
		}
	case *parser.Call:
		args := make([]any, len(n.Args))
		for i, arg := range n.Args {
			args[i] = treeOf(arg)
		}
		return tree{
			"type": "call", "args": args,
			"func": tree{"name": n.Func.Name, "argTypes": n.Func.ArgTypes, "variadic": n.Func.Variadic, "returnType": n.Func.ReturnType},
		}
	}
	return nil
}

// selectorTree is what a selector and one with a range have in common.
func selectorTree(n *parser.VectorSelector) tree {
	return tree{
		"name": n.Name, "offset": n.OriginalOffset.Milliseconds(), "offsetExpr": durationTree(n.OriginalOffsetExpr),
		"matchers": matcherTrees(n.LabelMatchers), "timestamp": n.Timestamp, "startOrEnd": itemName(n.StartOrEnd),
		"anchored": n.Anchored, "smoothed": n.Smoothed,
	}
}

// durationTree is a duration that is reckoned; nil for a plain one.
func durationTree(expr parser.Expr) any {
	switch n := expr.(type) {
	case *parser.DurationExpr:
		if n == nil {
			return nil
		}
		return tree{"type": "durationExpr", "op": n.Op.String(), "lhs": durationTree(n.LHS), "rhs": durationTree(n.RHS), "wrapped": n.Wrapped}
	case *parser.NumberLiteral:
		if n == nil {
			return nil
		}
		return tree{"type": "numberLiteral", "val": strconv.FormatFloat(n.Val, 'f', -1, 64), "duration": n.Duration}
	}
	return treeOf(expr)
}

func matchingTree(m *parser.VectorMatching) any {
	if m == nil {
		return nil
	}
	return tree{
		"card": m.Card.String(), "labels": listed(m.MatchingLabels), "on": m.On, "include": listed(m.Include),
		"fillValues": map[string]*float64{"lhs": m.FillValues.LHS, "rhs": m.FillValues.RHS},
	}
}

func matcherTrees(matchers []*labels.Matcher) []tree {
	trees := make([]tree, len(matchers))
	for i, m := range matchers {
		trees[i] = tree{"name": m.Name, "value": m.Value, "type": m.Type.String()}
	}
	return trees
}

// listed is a list that is not null in JSON.
func listed(texts []string) []string {
	if texts == nil {
		return []string{}
	}
	return texts
}

// itemName is the word of a token, nil for none.
func itemName(item parser.ItemType) any {
	if item == 0 {
		return nil
	}
	return item.String()
}
