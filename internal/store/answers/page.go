package answers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/logsql/row"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/store/vlogs"
)

// key is where an event stands in the order of answers: by its own time, as what a
// host sent late did not happen late, and of equal times by the log.
type key struct {
	time   int64
	offset uint64
}

func (k key) compare(o key) int {
	return cmp.Or(cmp.Compare(k.time, o.time), cmp.Compare(k.offset, o.offset))
}

// page says which events are wanted: n of them, in an order, behind a key.
type page struct {
	n           int
	oldestFirst bool
	behind      *key // nil: from the first on
}

// find walks through what is held until it has the keys of a page, and says whether
// there are more behind it. It reads two columns alone, so that an event of a
// megabyte costs no more than one of a hundred bytes; it never skips rows that it had
// the engine count, for that takes seconds far behind the start.
func (s *Service) find(ctx context.Context, q *question, p page) (keys []key, more bool, err error) {
	from, beyond := q, ""
	if k := p.behind; k != nil {
		c := *q
		rest, sign := span{noSince, k.time + 1}, "<"
		if p.oldestFirst {
			rest, sign = span{k.time, noUntil}, ">"
		}
		c.held = nil
		for _, h := range q.held {
			if h = h.clip(rest); !h.empty() {
				c.held = append(c.held, h)
			}
		}
		from, beyond = &c, fmt.Sprintf(" (_time:%s%s or \"offset\":%s%d)", sign, stamp(k.time), sign, k.offset)
	}
	order := " desc"
	if p.oldestFirst {
		order = ""
	}
	for w := range from.windows(p.oldestFirst) {
		want := p.n + 1 - len(keys)
		text := fmt.Sprintf("%s%s | fields _time, offset | sort by (_time%s, offset%s) limit %d", q.text(w, true), beyond, order, order, want)
		err := s.ask(ctx, q.query(text), func(fields []vlogs.Field) error {
			k, err := keyOf(fields)
			keys = append(keys, k)
			return err
		})
		if err != nil {
			return nil, false, err
		}
		if len(keys) > p.n {
			break
		}
	}
	slices.SortFunc(keys, func(a, b key) int {
		if p.oldestFirst {
			return a.compare(b)
		}
		return b.compare(a)
	})
	keys = slices.Compact(keys)
	if more = len(keys) > p.n; more {
		keys = keys[:p.n]
	}
	return keys, more, nil
}

func keyOf(fields []vlogs.Field) (key, error) {
	at, err := instant(fields, fieldTime)
	if err != nil {
		return key{}, err
	}
	offset, err := number(fields, fieldOffset)
	return key{at, offset}, err
}

// fetchAtOnce is of how many events one query asks for the contents: of a page, as the
// engine unpacks whole blocks for them, once for each query. Their offsets fit into the
// 16 KiB that a query has at any engine.
const fetchAtOnce = maxLimit

// fetch reads the events of keys, in their order, and says of how many keys. Where
// they are larger together than maxBytes, these are the first, and one at least. An
// event that was removed in between is left out.
func (s *Service) fetch(ctx context.Context, keys []key, maxBytes int) (events []*pb.StoredEvent, read int, err error) {
	bytes := 0
	for begin := 0; begin < len(keys); {
		end := min(begin+fetchAtOnce, len(keys))
		found, err := s.load(ctx, keys[begin:end])
		for errors.Is(err, errTooLarge) && end-begin > 1 {
			end = begin + (end-begin)/2
			found, err = s.load(ctx, keys[begin:end])
		}
		if err != nil {
			return nil, 0, err
		}
		for i, k := range keys[begin:end] {
			e := found[k]
			if bytes += len(e.GetEvent()); bytes > maxBytes && len(events) > 0 {
				return events, begin + i, nil
			}
			if e != nil {
				events = append(events, e)
			}
		}
		begin = end
	}
	return events, len(keys), nil
}

// withoutStreams ends every query for whole rows: where their stream is asked for, the
// engine leaves out rows whose stream it does not know, as after a crash.
const withoutStreams = " | delete _stream, _stream_id"

// load reads the events of keys: by time as well, as two logs may have the same offset.
func (s *Service) load(ctx context.Context, keys []key) (map[key]*pb.StoredEvent, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	r := span{keys[0].time, keys[0].time + 1}
	offsets := make([]string, len(keys))
	for i, k := range keys {
		r = span{min(r.since, k.time), max(r.until, k.time+1)}
		offsets[i] = strconv.FormatUint(k.offset, 10)
	}
	text := fmt.Sprintf("_time:[%s, %s) \"offset\":in(%s)", stamp(r.since), stamp(r.until), strings.Join(offsets, ",")) + withoutStreams
	found := make(map[key]*pb.StoredEvent, len(keys))
	return found, s.ask(ctx, vlogs.Query{Text: text}, func(fields []vlogs.Field) error {
		k, err := keyOf(fields)
		if err != nil {
			return err
		}
		found[k], err = s.eventOf(fields)
		return err
	})
}

// eventOf makes an event of a row. What cannot be one was not written so.
func (s *Service) eventOf(fields []vlogs.Field) (*pb.StoredEvent, error) {
	e, err := row.Event(fields)
	if err != nil {
		at, timeErr := instant(fields, fieldTime)
		if timeErr != nil || s.o.Doubt == nil {
			return nil, status.Errorf(codes.DataLoss, "the stored row of event %s cannot be read: %v", value(fields, fieldOffset), err)
		}
		s.o.Doubt(time.Unix(0, at).UTC().Format(vlogs.DayFormat))
		return nil, status.Errorf(codes.DataLoss, "the stored row of event %s cannot be read, and the files of its day are compared with their checksums: ask again in a minute (%v)", value(fields, fieldOffset), err)
	}
	return e, nil
}
