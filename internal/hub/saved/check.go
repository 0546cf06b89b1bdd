package saved

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
)

// Bounds on one query, in bytes.
const (
	maxName       = 100
	maxQuery      = 16 << 10 // that of the language
	maxTime       = 64
	maxColumns    = 64
	maxColumnName = 128
	maxDetail     = 512 // of an audit record
)

// KindMetrics is the kind of queries of metrics, in PromQL.
const KindMetrics = "metrics"

// checked returns what is to be kept of a query, or INVALID_ARGUMENT. Its text is not
// read.
func checked(q *pb.SavedQuery) (state.SavedQuery, error) {
	out := state.SavedQuery{
		Name: strings.TrimSpace(q.GetName()), Query: q.GetQuery(), Since: q.GetSince(), Until: q.GetUntil(),
		Columns: q.GetColumns(), Shared: q.GetShared(), Kind: q.GetKind(),
	}
	wrong := func(format string, args ...any) (state.SavedQuery, error) {
		return state.SavedQuery{}, status.Errorf(codes.InvalidArgument, format, args...)
	}
	switch {
	case out.Name == "" || len(out.Name) > maxName || strings.ContainsFunc(out.Name, isUnseen):
		return wrong("the name of a saved query is 1 to %d bytes of text in one line", maxName)
	case out.Kind != "" && out.Kind != KindMetrics:
		return wrong("the kind of a saved query is empty or %q, not %.40q", KindMetrics, out.Kind)
	case len(out.Query) > maxQuery:
		return wrong("the query is longer than %d bytes", maxQuery)
	case len(out.Since) > maxTime || len(out.Until) > maxTime || strings.ContainsFunc(out.Since+out.Until, isUnseen):
		return wrong("a time is at most %d bytes long, such as 24h or 2026-05-01T12:00:00Z", maxTime)
	case len(out.Columns) > maxColumns:
		return wrong("a saved query has at most %d columns", maxColumns)
	}
	for _, name := range out.Columns {
		if name == "" || len(name) > maxColumnName || strings.Contains(name, ",") || strings.ContainsFunc(name, isUnseen) {
			return wrong("%.40q is no name of a column", name)
		}
	}
	return out, nil
}

// isUnseen says that a character would not be seen, or that it makes a text read as
// another one.
func isUnseen(r rune) bool { return r != ' ' && !unicode.IsPrint(r) || r == utf8.RuneError }

// cut makes a text fit for an audit record.
func cut(text string) string {
	if len(text) <= maxDetail {
		return text
	}
	return strings.ToValidUTF8(text[:maxDetail], "") + "…"
}
