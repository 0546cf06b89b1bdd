package bench

import (
	"fmt"
	"time"

	"github.com/amoskys/amoskys/internal/bench/corpus"
)

// load makes what one client sends, and is used by one goroutine at a time.
type load interface {
	// Append adds the next n events to dst, as the fields of PublishRequest.events.
	Append(dst []byte, n int, now time.Time) []byte
	// AppendEvent adds the next event alone, with no tag and no length.
	AppendEvent(dst []byte, now time.Time) []byte
}

// loads makes the load of each client.
type loads struct {
	o        *HubOptions
	recorded *corpus.Events // nil with synthetic events
}

// newLoads makes ready what clients send whose hosts have names as long as this.
func newLoads(o *HubOptions, host string) (*loads, error) {
	if o.Size > 0 {
		return &loads{o: o}, nil
	}
	from := corpus.Load
	if o.KeepReadings {
		from = corpus.LoadKept
	}
	recorded, err := from(host, agentName(0))
	if err != nil {
		return nil, err
	}
	return &loads{o, recorded}, nil
}

// next makes the load of client i. Each begins at another place of what was recorded,
// so that the hub does not get the same from all.
func (l *loads) next(host, agent string, i int) (load, error) {
	if l.recorded != nil {
		return l.recorded.NewSender(host, agent, i*l.recorded.Len()/l.o.Agents)
	}
	batch := l.o.Batch
	if l.o.Unary {
		batch = 1
	}
	t, err := newTemplate(host, agent, batch, l.o.Size, time.Now())
	if err != nil {
		return nil, err
	}
	s := &synthetic{template: t}
	s.ids, err = newNumbering()
	return s, err
}

// agentName is the name of client i. All are of one length.
func agentName(i int) string { return fmt.Sprintf("bench_%05d", i) }
