package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/app/remote"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// askRows returns the answer to a question, as one text. A store that is busy is asked again.
func askRows(ctx context.Context, store *remote.Store, query string) (string, error) {
	for {
		text, err := rowsOf(ctx, store, query)
		if code := status.Code(err); code != codes.ResourceExhausted && code != codes.Unavailable {
			return text, err
		}
		if err := pauseFor(ctx, time.Second); err != nil {
			return "", err
		}
	}
}

func rowsOf(ctx context.Context, store *remote.Store, query string) (string, error) {
	stream, err := store.Query.Rows(ctx, &pb.RowsRequest{Query: query, Limit: 10_000})
	var out strings.Builder
	for err == nil {
		var some *pb.RowsResponse
		if some, err = stream.Recv(); err != nil {
			break
		}
		for _, row := range some.GetRows() {
			fmt.Fprintln(&out, row.GetValues())
		}
	}
	if errors.Is(err, io.EOF) {
		return out.String(), nil
	}
	return "", err //nolint:wrapcheck // the caller says of what
}

// backupQuestions are asked of a system and of the one that was restored from its backup:
// searches, facets, statistics and single events.
func backupQuestions() []string {
	return []string{
		"* | stats count() events",
		"* | stats by (type) count() events | sort by (type)",
		"* | stats by (host) count() events | sort by (host)",
		"* | stats by (host, agent) count() events | sort by (host, agent)",
		"* | stats by (severity) count() events | sort by (severity)",
		"* | stats by (_time:1m) count() events | sort by (_time)",
		"* | stats min(_time) first, max(_time) last",
		"* | stats count_uniq(id) ids",
		"* | stats count_uniq(offset) offsets",
		"* | sort by (offset) | limit 50 | fields offset, id, type, host",
		"* | sort by (offset desc) | limit 50 | fields offset, id, type, host",
		"type:process. | stats by (process.name) count() events | sort by (events desc, process.name) | limit 20",
		"type:process.execution | stats count() events",
		"type:process.execution | sort by (offset) | limit 20 | fields offset, process.name, process.command_line",
		"process.name:bash | stats count() events",
		"process.name:* | stats count_uniq(process.name) names",
		"process.command_line:* | stats count() events",
		"type:network. | stats by (destination.port) count() events | sort by (events desc, destination.port) | limit 20",
		"type:network. | stats sum(source.bytes) sent, sum(destination.bytes) received",
		"type:auth. | stats by (type) count() events | sort by (type)",
		"type:file. | stats by (type) count() events | sort by (type)",
		"host:bench-00001 | stats by (type) count() events | sort by (type)",
		"host:bench-00001 | sort by (offset desc) | limit 20 | fields offset, id, message",
		"severity:>=medium | stats by (type) count() events | sort by (type)",
		"message:* | stats count() events",
	}
}
