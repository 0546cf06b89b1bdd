package ask

import (
	"math"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/event/reading"
	"github.com/amoskys/amoskys/internal/metrics/promapi"
)

// unitOf is the unit (UCUM) of what a query gives, as the metrics have theirs; empty where
// it is not plain.
func unitOf(query string) string {
	expr, err := promapi.Parse(query)
	if err != nil {
		return ""
	}
	return unitOfExpr(expr)
}

func unitOfExpr(expr parser.Expr) string {
	switch e := expr.(type) {
	case *parser.VectorSelector:
		family, _ := reading.FamilyOf(e.Name)
		return family.Unit
	case *parser.MatrixSelector:
		return unitOfExpr(e.VectorSelector)
	case *parser.SubqueryExpr:
		return unitOfExpr(e.Expr)
	case *parser.ParenExpr:
		return unitOfExpr(e.Expr)
	case *parser.UnaryExpr:
		return unitOfExpr(e.Expr)
	case *parser.StepInvariantExpr:
		return unitOfExpr(e.Expr)
	case *parser.AggregateExpr:
		switch e.Op {
		case parser.SUM, parser.AVG, parser.MIN, parser.MAX, parser.TOPK, parser.BOTTOMK, parser.QUANTILE, parser.STDDEV:
			return unitOfExpr(e.Expr)
		default:
			return ""
		}
	case *parser.BinaryExpr:
		return unitOfBinary(e)
	case *parser.Call:
		return unitOfCall(e)
	default:
		return ""
	}
}

// unitOfBinary is that of a comparison, a set or a sum.
func unitOfBinary(e *parser.BinaryExpr) string {
	left := unitOfExpr(e.LHS)
	switch {
	case e.ReturnBool:
		return ""
	case e.Op.IsComparisonOperator(), e.Op == parser.LAND, e.Op == parser.LUNLESS:
		return left
	case e.Op == parser.ADD, e.Op == parser.SUB, e.Op == parser.LOR:
		if left == unitOfExpr(e.RHS) {
			return left
		}
	}
	return ""
}

// unitOfCall is that of functions which keep the unit of what they are given, or make a
// rate of it.
func unitOfCall(e *parser.Call) string {
	of := ""
	for _, arg := range e.Args {
		if t := arg.Type(); t == parser.ValueTypeVector || t == parser.ValueTypeMatrix {
			of = unitOfExpr(arg)
			break
		}
	}
	switch e.Func.Name {
	case "rate", "irate", "deriv":
		if of == "" || of == "s" { // seconds in a second are a share
			return ""
		}
		return of + "/s"
	case "avg_over_time", "min_over_time", "max_over_time", "sum_over_time", "last_over_time", "quantile_over_time", "stddev_over_time",
		"increase", "delta", "idelta", "abs", "ceil", "floor", "round", "clamp", "clamp_min", "clamp_max",
		"sort", "sort_desc", "label_replace", "label_join":
		return of
	default:
		return ""
	}
}

// inUnit is a value as people write it.
func inUnit(f float64, unit string) string {
	base, rate := strings.CutSuffix(unit, "/s")
	per := ""
	if rate {
		per = "/s"
	}
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0) || unit == "":
		return number(f)
	case base == "By" && f >= 0 && f < math.MaxInt64/2:
		return cli.Bytes(int64(math.Round(f))) + per
	case strings.HasPrefix(base, "{") || base == "1": // what is counted has no unit
		if per == "" {
			return number(f)
		}
		return number(f) + per
	case base == "%":
		return number(f) + "%" + per
	}
	return number(f) + " " + base + per
}
