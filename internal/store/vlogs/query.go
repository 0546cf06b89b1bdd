package vlogs

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// Query is a question in LogsQL.
type Query struct {
	Text       string
	Start, End time.Time // from Start, before End; zero for no bound
	// Filter must hold, too, wherever Text reads rows: also in queries inside of it.
	Filter string
	// Limit is how many rows there may be; 0 for any number. Where Text has no pipe that
	// counts or sorts they are the newest, newest first.
	Limit   int
	Timeout time.Duration // in the engine; 0 for as long as its flag allows
	// Buffer is how many bytes of the answer may wait for the caller; 0 for 16 MiB.
	Buffer int
	// Partial lets an answer of a cluster lack the rows of storage nodes that are away; else
	// it is ErrNodeAway.
	Partial bool
	// Patience is how long a full buffer may wait for the caller; 0 for a second.
	Patience time.Duration
}

// Defaults of Query.
const (
	defaultBuffer   = 16 << 20
	defaultPatience = time.Second
)

// Query asks q and calls each with every row, which is good until it returns. The rows
// come in no order, unless q says one. An error of each ends the query and is returned.
//
// Any error means that rows may be missing, whichever were given out before: ErrLimit,
// ErrDeadline, ErrSlow, ErrBroken, ErrBusy, ErrAway, a *RefusedError, or the context's.
func (c *Client) Query(ctx context.Context, q Query, each func(row []Field) error) error {
	args := q.args()
	if c.o.Cluster { // whatever its flags say
		args.Set("allow_partial_response", strconv.FormatBool(q.Partial))
	}
	if q.Limit > 0 {
		args.Set("limit", strconv.Itoa(q.Limit+1)) // one more says that there are more
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	body, err := c.open(ctx, "/select/logsql/query", args, "", nil)
	if err != nil {
		return err
	}
	defer body.Close()

	size, patience := q.Buffer, q.Patience
	if size <= 0 {
		size = defaultBuffer
	}
	if patience <= 0 {
		patience = defaultPatience
	}
	ahead := newReadAhead(size, patience)
	var reading sync.WaitGroup
	reading.Go(func() { ahead.fill(body, func() { cancel(ErrSlow) }) })
	defer reading.Wait()
	defer ahead.abandon()
	defer cancel(nil)
	return c.rows(ctx, ahead, q.Limit, each)
}

// rows reads the lines of an answer.
func (c *Client) rows(ctx context.Context, from io.Reader, limit int, each func([]Field) error) error {
	lines := lineReader{r: bufio.NewReaderSize(from, 64<<10)}
	var row []Field
	var said []byte // what is no row is the engine's word on why it stopped
	for n := 0; ; {
		if err := ctx.Err(); err != nil { // much may still wait in the buffer
			return broken(ctx, err)
		}
		line, err := lines.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			if len(said) > 0 {
				return refusal(0, said)
			}
			return broken(ctx, err)
		}
		if len(line) == 0 {
			continue
		}
		if line[0] != '{' || len(said) > 0 {
			if said = append(append(said, line...), '\n'); len(said) > maxRefusal { // whoever it is may never end
				return refusal(0, said)
			}
			continue
		}
		if limit > 0 && n == limit {
			return ErrLimit
		}
		n++
		if row, err = parseRow(string(line), row[:0]); err != nil {
			return fmt.Errorf("%w: %w", ErrBroken, err)
		}
		if err := each(row); err != nil {
			return err
		}
	}
	if len(said) > 0 {
		return refusal(0, said)
	}
	return nil
}

// args are the arguments that all kinds of query share.
func (q *Query) args() url.Values {
	args := url.Values{"query": {q.Text}}
	if !q.Start.IsZero() {
		args.Set("start", q.Start.UTC().Format(time.RFC3339Nano))
	}
	if !q.End.IsZero() {
		args.Set("end", q.End.UTC().Format(time.RFC3339Nano))
	}
	if q.Filter != "" {
		args.Set("extra_filters", q.Filter)
	}
	if q.Timeout > 0 {
		args.Set("timeout", inNanos(q.Timeout))
	}
	return args
}

// errLongLine says that what comes is no answer of rows.
var errLongLine = fmt.Errorf("a row of it is larger than %d MiB", maxLine>>20)

// lineReader gives out lines without their ends, of up to maxLine bytes.
type lineReader struct {
	r    *bufio.Reader
	long []byte
}

// next returns a line that is good until the next call. A line that the input breaks off
// in is not one: the error says so.
func (l *lineReader) next() ([]byte, error) {
	l.long = l.long[:0]
	for {
		part, err := l.r.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			if l.long = append(l.long, part...); len(l.long) > maxLine {
				return nil, errLongLine
			}
			continue
		case errors.Is(err, io.EOF) && len(part)+len(l.long) > 0:
			// Complete: the engine ends its words without one.
		case err != nil:
			return nil, err
		}
		if len(l.long) > 0 {
			l.long = append(l.long, part...)
			part = l.long
		}
		return bytes.TrimSuffix(part, []byte{'\n'}), nil
	}
}
