package flow

import (
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/flow/dissect"
	"github.com/amoskys/amoskys/internal/flow/packet"
)

const (
	// maxNames bounds the addresses whose names are remembered, by two halves.
	maxNames = 16_384
	// A name is used for its time to live, but at least nameLeast, as programs keep
	// connections longer than that, and at most nameMost.
	nameLeast = 10 * time.Minute
	nameMost  = 24 * time.Hour
)

// names remembers which names DNS answers gave for addresses. It has two generations:
// when the young one is full it becomes the old one, and what was old is forgotten.
type names struct {
	mu         sync.Mutex // guards what follows
	young, old map[packet.Addr]named
}

type named struct {
	name  string
	until int64 // Unix nanoseconds
}

// learn takes the addresses of an answer. The name is the one that was asked for, not
// an alias behind it; an answer that nobody asked for is not believed. at is when, in Unix nanoseconds.
func (n *names) learn(d *dissect.DNS, at int64) {
	if d.Query == "" || d.Multicast || !d.Asked {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range d.Answers {
		a := &d.Answers[i]
		if a.Addr == (packet.Addr{}) || a.Type != "A" && a.Type != "AAAA" {
			continue
		}
		if len(n.young) >= maxNames/2 {
			n.old, n.young = n.young, nil
		}
		if n.young == nil {
			n.young = map[packet.Addr]named{}
		}
		life := min(max(time.Duration(a.TTL)*time.Second, nameLeast), nameMost)
		n.young[a.Addr] = named{name: d.Query, until: at + int64(life)}
	}
}

// of is the name of an address at a time, or empty.
func (n *names) of(a packet.Addr, at int64) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	known, ok := n.young[a]
	if !ok {
		known, ok = n.old[a]
	}
	if !ok || at > known.until {
		return ""
	}
	return known.name
}
