package answers

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/store/vlogs"
)

// Places where events are lost or left out, as Lack.place has them.
const (
	placeAgent = "agent"
	placeHub   = "hub"
	placeLog   = "log"
	placeStore = "store"
	placeLimit = "limit"
)

// maxLacks bounds the list of one answer; the rest is one line more.
const maxLacks = 50

// askEvery is how old what is known of hub and agents may be.
const askEvery = 10 * time.Second

// lacks says what of a range is not stored, as far as anybody knows: what is on its
// way, set aside or no longer kept here; what the log lost; what agents and hub
// dropped. Nothing: what was found is all there was.
func (s *Service) lacks(ctx context.Context, q *question) ([]*pb.Lack, error) {
	lacks := s.storeLacks(q)
	lost, err := s.logLacks(ctx, q)
	if err != nil {
		return nil, err
	}
	dropped, err := s.dropped(ctx, q)
	if err != nil {
		return nil, err
	}
	lacks = slices.Concat(lacks, lost, dropped)
	if len(lacks) > maxLacks {
		var rest uint64
		for _, l := range lacks[maxLacks-1:] {
			rest += l.GetCount()
		}
		more := &pb.Lack{Place: placeLimit, Count: rest, Reason: fmt.Sprintf("%d more ranges and agents that lack events", len(lacks)-maxLacks+1)}
		lacks = append(lacks[:maxLacks-1:maxLacks-1], more)
	}
	return lacks, nil
}

// manyBehind is from how many events on it is worth saying that they are not stored
// yet: fewer are on their way for a second, and complete_to_offset tells exactly. A
// store that has just begun may have to catch up with any number.
const (
	manyBehind = 10_000
	justBegun  = time.Minute
)

// knownLacks are what who feeds the engine knows that it does not have.
func (s *Service) knownLacks(q *question) (lacks []*pb.Lack) {
	if s.o.Lacks == nil {
		return nil
	}
	for _, l := range s.o.Lacks(timeOrNone(q.asked.since), timeOrNone(q.asked.until)) {
		if l.GetPlace() == placeStore { // those of the log are Gaps
			lacks = append(lacks, l)
		}
	}
	return lacks
}

// storeLacks are what the store itself does not have.
func (s *Service) storeLacks(q *question) []*pb.Lack {
	lacks, store := s.knownLacks(q), s.stateOf()
	for _, d := range store.GetDays() {
		at, err := time.Parse(time.DateOnly, d.GetDay())
		if err != nil || d.GetState() == "ok" || d.GetState() == "rebuilding" && s.o.Lacks != nil || (span{at.UnixNano(), at.Add(day).UnixNano()}).clip(q.asked).empty() {
			continue
		}
		text := "is set aside, damaged"
		if d.GetState() == "rebuilding" {
			text = "is being rebuilt from the log"
		}
		reason := d.GetDay() + " " + text
		if d.GetReason() != "" {
			reason += ": " + d.GetReason()
		}
		lacks = append(lacks, &pb.Lack{
			Place: placeStore, Reason: reason, Since: timestamppb.New(at), Until: timestamppb.New(at.Add(day)),
		})
	}
	// An answer without a beginning asks for what there is.
	if oldest := store.GetOldestTime(); oldest != nil && q.asked.since != noSince && q.asked.since < oldest.AsTime().UnixNano() && kept(store, q.now) {
		lacks = append(lacks, &pb.Lack{
			Place: placeStore, Reason: "events from before " + oldest.AsTime().UTC().Format(time.DateTime) + " UTC are not kept any more",
			Since: timeStamp(q.asked.since), Until: oldest,
		})
	}
	if l := s.unread(q); l != nil {
		lacks = append(lacks, l)
	}
	n := max(store.GetLagEvents(), q.again)
	if fresh := s.o.Now().Sub(s.began) < justBegun; n > 0 && (n >= manyBehind || fresh || q.again > 0 || store.GetState() != "ok" || s.status.isBehind()) {
		reason := "the log has them, and they are not stored yet" // how many, Count says
		if store.GetReason() != "" && store.GetState() != "ok" {
			reason += ": " + store.GetReason()
		}
		lacks = append(lacks, &pb.Lack{Place: placeStore, Count: n, Reason: reason})
	}
	return lacks
}

// lateMost is how much older than its arrival an event mostly is: an agent may have kept it
// while its hub was away.
const lateMost = time.Hour

// unread is what nobody knows of while the log is not read: how long that is by now, the
// last thing that was heard of it does not tell.
func (s *Service) unread(q *question) *pb.Lack {
	if s.o.Unread == nil {
		return nil
	}
	why, since := s.o.Unread()
	switch {
	case why == "":
		return nil
	case since.IsZero():
		return &pb.Lack{Place: placeStore, Reason: "the log is not read yet, and may have any number more: " + why}
	case q.asked.until != noUntil && q.asked.until < since.Add(-lateMost).UnixNano():
		return nil
	}
	reason := fmt.Sprintf("the log was last read at %s UTC, is not now, and may have any number more: %s", since.UTC().Format(time.DateTime), why)
	return &pb.Lack{Place: placeStore, Reason: reason, Since: timestamppb.New(since)}
}

// timeOrNone is the zero time for the ends of time.
func timeOrNone(at int64) time.Time {
	if at == noSince || at == noUntil {
		return time.Time{}
	}
	return time.Unix(0, at)
}

// kept says that the store has been running for so long, or has so much, that it may
// have removed what is older than its oldest event.
func kept(store *pb.StoreStatus, now int64) bool {
	if r := store.GetRetention().AsDuration(); r > 0 && now-store.GetOldestTime().AsTime().UnixNano() >= int64(r-day) {
		return true
	}
	size := store.GetRetentionBytes()
	return size > 0 && store.GetBytes() >= size-size/10
}

// losses remembers what the hub said it lost, and when the events around each range
// happened.
type losses struct {
	mu     sync.Mutex
	asked  time.Time
	list   []*pb.LogLoss
	ranges map[[2]uint64]span
}

// logLacks are ranges of the log that are gone: what the hub lost, and what was gone
// when the store came to read it.
func (s *Service) logLacks(ctx context.Context, q *question) ([]*pb.Lack, error) {
	gaps := slices.Clone(s.o.Gaps())
	for _, l := range s.hubLosses(ctx) {
		known := slices.ContainsFunc(gaps, func(g Gap) bool { return g.From <= l.GetFromOffset() && l.GetToOffset() <= g.To })
		if !known {
			gaps = append(gaps, Gap{From: l.GetFromOffset(), To: l.GetToOffset(), Reason: l.GetReason(), Noticed: l.GetNoticedTime().AsTime()})
		}
	}
	var lacks []*pb.Lack
	for _, g := range gaps {
		r, err := s.timesAround(ctx, g)
		if err != nil {
			return nil, err
		}
		if r.clip(q.asked).empty() {
			continue
		}
		lack := &pb.Lack{Place: placeLog, Count: g.To - min(g.From, g.To), Reason: fmt.Sprintf("offsets %d to %d are gone: %s", g.From, max(g.To, 1)-1, g.Reason)}
		if g.To <= g.From {
			lack.Reason = fmt.Sprintf("events from offset %d on are gone: %s", g.From, g.Reason)
		}
		if r.since != noSince {
			lack.Since = timeStamp(r.since)
		}
		if r.until != noUntil {
			lack.Until = timeStamp(r.until)
		}
		lacks = append(lacks, lack)
	}
	return lacks, nil
}

// hubLosses asks the hub, or says what it said last while it is away.
func (s *Service) hubLosses(ctx context.Context) []*pb.LogLoss {
	if s.o.Hub == nil {
		return nil
	}
	s.losses.mu.Lock()
	defer s.losses.mu.Unlock()
	if now := s.o.Now(); s.losses.asked.IsZero() || now.Sub(s.losses.asked) >= askEvery {
		soon, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		status, err := s.o.Hub(soon)
		if err == nil {
			s.losses.list = status.GetLog().GetLosses()
		}
		if ctx.Err() == nil { // else the next caller asks: this one has left
			s.losses.asked = now
		}
	}
	return s.losses.list
}

// aside is how many offsets on either side of a lost range tell when its events were.
const aside = 1_000

// timesAround is when the events of a lost range happened, told by those that were
// logged just before and behind it, an hour either way. It is asked once for a range.
func (s *Service) timesAround(ctx context.Context, g Gap) (span, error) {
	id := [2]uint64{g.From, g.To}
	s.losses.mu.Lock()
	r, ok := s.losses.ranges[id]
	s.losses.mu.Unlock()
	if ok {
		return r, nil
	}
	r = span{noSince, noUntil}
	if !g.Noticed.IsZero() {
		r.until = g.Noticed.Add(time.Hour).UnixNano()
	}
	q, err := s.inWords(ctx, "", r)
	if err != nil {
		return span{}, err
	}
	if whole := q.whole(); !whole.empty() {
		before := fmt.Sprintf(`"offset":>=%d "offset":<%d`, g.From-min(g.From, aside), g.From)
		behind := fmt.Sprintf(`"offset":>=%d "offset":<%d`, g.To, g.To+aside)
		text := fmt.Sprintf("_time:[%s, %s) | stats min(_time) if (%s) first, max(_time) if (%s) last", stamp(whole.since), stamp(whole.until), before, behind)
		err := s.ask(ctx, vlogs.Query{Text: text}, func(fields []vlogs.Field) error {
			if at, err := instant(fields, "first"); err == nil {
				r.since = at - int64(time.Hour)
			}
			if at, err := instant(fields, "last"); err == nil {
				r.until = min(r.until, at+int64(time.Hour))
			}
			return nil
		})
		if err != nil {
			return span{}, err
		}
	}
	if r.until <= r.since {
		r = span{noSince, noUntil}
	}
	s.losses.mu.Lock()
	defer s.losses.mu.Unlock()
	if len(s.losses.ranges) >= maxKnown {
		clear(s.losses.ranges)
	}
	s.losses.ranges[id] = r
	return r, nil
}

// reports remembers for some seconds what agents said they dropped.
type reports struct {
	mu    sync.Mutex
	known map[span]report
}

type report struct {
	at    time.Time
	lacks []*pb.Lack
}

// maxKnown bounds how many ranges are remembered.
const maxKnown = 256

// dropped are what agents dropped and the hub refused them, by what they say of
// themselves in the range: their counts go up, and begin at 0 when they start again.
func (s *Service) dropped(ctx context.Context, q *question) ([]*pb.Lack, error) {
	r := q.whole()
	if r.empty() {
		return nil, nil
	}
	const minute = int64(time.Minute)
	r = span{r.since / minute * minute, (r.until + minute - 1) / minute * minute}
	now := s.o.Now()
	s.reports.mu.Lock()
	known, ok := s.reports.known[r]
	s.reports.mu.Unlock()
	if ok && now.Sub(known.at) < askEvery {
		return known.lacks, nil
	}
	lacks, err := s.askAgents(ctx, r)
	if err != nil {
		return nil, err
	}
	s.reports.mu.Lock()
	defer s.reports.mu.Unlock()
	if len(s.reports.known) >= maxKnown {
		clear(s.reports.known)
	}
	s.reports.known[r] = report{now, lacks}
	return lacks, nil
}

// reportParts is into how many parts a range is cut to see counts begin anew.
const reportParts = 24

// reported are the counts of one agent in one part of a range.
type reported struct {
	at                int64
	least, most       uint64 // dropped
	leastBad, mostBad uint64 // dropped and refused
}

// Fields in which an agent says how many events it dropped, and how many it dropped or
// had refused, since it started. A count of 0 is not in the row.
const (
	droppedField = "agent_health.events_dropped_total"
	badField     = "agent_health.errors_total"
)

// maxBlamed is how many agents that lost events are asked for more.
const maxBlamed = 200

// askAgents asks first who ever lost anything, as mostly nobody did.
func (s *Service) askAgents(ctx context.Context, r span) ([]*pb.Lack, error) {
	reports := fmt.Sprintf("_time:[%s, %s) type:=agent.health", stamp(r.since), stamp(r.until))
	hosts, names := map[string]bool{}, map[string]bool{}
	text := fmt.Sprintf("%s (%q:* or %q:*) | stats by (host, agent) count() n | sort by (n desc, host, agent) limit %d", reports, droppedField, badField, maxBlamed)
	err := s.ask(ctx, vlogs.Query{Text: text}, func(fields []vlogs.Field) error {
		hosts[strings.Clone(value(fields, "host"))] = true
		names[strings.Clone(value(fields, "agent"))] = true
		return nil
	})
	if err != nil || len(names) == 0 {
		return nil, err
	}
	agents := map[[2]string][]reported{}
	text = fmt.Sprintf("%s %s %s | stats by (host, agent, _time:%dns)"+
		" min(%q) least, max(%q) most, count() if (%q:\"\") none, min(%q) least_bad, max(%q) most_bad, count() if (%q:\"\") none_bad",
		reports, oneOf("host", slices.Sorted(maps.Keys(hosts)), nil), oneOf("agent", slices.Sorted(maps.Keys(names)), nil),
		max((r.until-r.since)/reportParts, 1), droppedField, droppedField, droppedField, badField, badField, badField)
	err = s.ask(ctx, vlogs.Query{Text: text}, func(fields []vlogs.Field) error {
		at, err := instant(fields, fieldTime)
		if err != nil {
			return err
		}
		one := reported{at: at}
		for name, n := range map[string]*uint64{"least": &one.least, "most": &one.most, "least_bad": &one.leastBad, "most_bad": &one.mostBad} {
			*n, _ = number(fields, name) // 0 where it was never told
		}
		if value(fields, "none") != "0" {
			one.least = 0
		}
		if value(fields, "none_bad") != "0" {
			one.leastBad = 0
		}
		id := [2]string{strings.Clone(value(fields, "host")), strings.Clone(value(fields, "agent"))}
		agents[id] = append(agents[id], one)
		return nil
	})
	if err != nil {
		return nil, err
	}
	var lacks []*pb.Lack
	for id, list := range agents {
		slices.SortFunc(list, func(a, b reported) int { return cmp.Compare(a.at, b.at) })
		lost := increase(list, func(r reported) (least, most uint64) { return r.least, r.most })
		all := increase(list, func(r reported) (least, most uint64) { return r.leastBad, r.mostBad })
		if lost > 0 {
			lacks = append(lacks, &pb.Lack{Place: placeAgent, Count: lost, Host: id[0], Agent: id[1], Reason: "the agent dropped events that its spool had no room for"})
		}
		if all > lost {
			lacks = append(lacks, &pb.Lack{Place: placeHub, Count: all - lost, Host: id[0], Agent: id[1], Reason: "the hub refused events of the agent"})
		}
	}
	slices.SortFunc(lacks, func(a, b *pb.Lack) int {
		return cmp.Or(cmp.Compare(b.GetCount(), a.GetCount()), strings.Compare(a.GetHost(), b.GetHost()), strings.Compare(a.GetAgent(), b.GetAgent()), strings.Compare(a.GetPlace(), b.GetPlace()))
	})
	return lacks, nil
}

// increase is by how much a count went up over parts in order of time.
func increase(list []reported, count func(reported) (least, most uint64)) (sum uint64) {
	var before uint64
	for i, one := range list {
		least, most := count(one)
		switch {
		case i == 0:
			sum += most - min(least, most)
		case most >= before:
			sum += most - before
		default: // it began anew
			sum += most
		}
		before = most
	}
	return sum
}
