package flow

import (
	"context"
	"time"

	"github.com/amoskys/amoskys/internal/flow/packet"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

const (
	// maxOwned bounds the flows, and the sockets, whose process is remembered.
	maxOwned = 65_536
	// socketAge is how long the process of a socket is believed to be the same.
	socketAge = 10 * time.Second
	// walkEvery is the pause between two walks over the descriptors of all processes, on
	// the average: maxWalks of them may come at once after a time without any.
	walkEvery = time.Second
	maxWalks  = 4
	// walkShare bounds the walks where they are long: one part of so many of a core.
	walkShare = 50
)

// sockets is what the system tells of sockets and processes.
type sockets interface {
	// inode numbers the socket of a conversation between a local and a remote end; 0 if
	// there is none any more.
	inode(protocol uint8, local, remote end) uint64
	// walk looks up which processes have these sockets.
	walk(wanted map[uint64]*pb.Process)
	close()
}

// end is one end of a conversation.
type end struct {
	addr packet.Addr
	port uint16
}

// owners names the processes of this host in events of flows. One goroutine uses it.
type owners struct {
	own     *own
	system  sockets
	flows   ownedFlows
	sockets map[uint64]owner
	wanted  map[uint64]*pb.Process
	// next is when the walk after the coming ones may begin, if all came at once.
	next time.Time
	now  func() time.Time
}

// ownedFlows remembers the processes of flows that have not ended. The end of some never
// comes here, as the queue was full. So there are two generations: when the young one is
// full it becomes the old one, and what was old and not told of since is forgotten.
type ownedFlows struct{ young, old map[flowKey]*pb.Process }

func (o *ownedFlows) of(k flowKey) *pb.Process {
	if p, known := o.young[k]; known {
		return p
	}
	return o.old[k]
}

func (o *ownedFlows) keep(k flowKey, p *pb.Process) {
	delete(o.old, k)
	if _, known := o.young[k]; !known && len(o.young) >= maxOwned/2 {
		o.old, o.young = o.young, nil
	}
	if o.young == nil {
		o.young = map[flowKey]*pb.Process{}
	}
	o.young[k] = p
}

func (o *ownedFlows) forget(k flowKey) {
	delete(o.young, k)
	delete(o.old, k)
}

type owner struct {
	process *pb.Process // nil if it could not be found
	until   time.Time
}

func newOwners(hostID string, addresses *own) *owners {
	return &owners{
		own: addresses, system: newSockets(hostID), now: time.Now,
		sockets: map[uint64]owner{}, wanted: map[uint64]*pb.Process{},
	}
}

// name sets the process in events. It may wait up to a second for that, unless ctx ends
// or hurry says that others wait.
func (o *owners) name(ctx context.Context, batch []told, hurry func() bool) {
	inodes := make([]uint64, len(batch))
	for i := range batch {
		inodes[i] = o.look(&batch[i])
	}
	o.find(ctx, inodes, hurry)
	for i := range batch {
		t := &batch[i]
		a := t.event.GetNetwork()
		if a == nil || t.collected {
			continue
		}
		key := flowKey{a.GetCommunityId(), t.first}
		if s, known := o.sockets[inodes[i]]; a.GetProcess() == nil && known {
			a.Process = s.process
		}
		switch {
		case t.ended():
			o.flows.forget(key)
		case a.GetProcess() != nil:
			o.flows.keep(key, a.GetProcess())
		}
	}
}

// look sets the process that is remembered for a flow, or returns the inode of its
// socket, 0 without one.
func (o *owners) look(t *told) uint64 {
	a := t.event.GetNetwork()
	if a == nil || t.collected {
		return 0 // a finding, or a flow of elsewhere
	}
	if p := o.flows.of(flowKey{a.GetCommunityId(), t.first}); p != nil {
		a.Process = p
		return 0
	}
	local, remote := end{t.tuple.Src, t.tuple.SrcPort}, end{t.tuple.Dst, t.tuple.DstPort}
	if !o.own.has(local.addr) {
		local, remote = remote, local
		if !o.own.has(local.addr) && !local.addr.ToMany() {
			return 0
		}
	}
	return o.system.inode(t.tuple.Protocol, local, remote)
}

// find looks up the processes of sockets that are not known.
func (o *owners) find(ctx context.Context, inodes []uint64, hurry func() bool) {
	now := o.now()
	clear(o.wanted)
	for _, inode := range inodes {
		if s, known := o.sockets[inode]; inode != 0 && (!known || now.After(s.until)) {
			o.wanted[inode] = nil
		}
	}
	if len(o.wanted) == 0 || !o.mayWalk(ctx, now, hurry) {
		return
	}
	begin := o.now()
	o.system.walk(o.wanted)
	took := o.now().Sub(begin)
	if earliest := begin.Add(-(maxWalks - 1) * walkEvery); o.next.Before(earliest) {
		o.next = earliest
	}
	o.next = o.next.Add(max(walkEvery, walkShare*took))
	if len(o.sockets)+len(o.wanted) > maxOwned {
		clear(o.sockets)
	}
	for inode, p := range o.wanted {
		o.sockets[inode] = owner{p, begin.Add(socketAge)}
	}
}

// mayWalk waits until a walk is due. It is false if there is no time for that.
func (o *owners) mayWalk(ctx context.Context, now time.Time, hurry func() bool) bool {
	wait := o.next.Sub(now)
	if wait <= 0 {
		return true
	}
	if wait > walkEvery || ctx.Err() != nil {
		return false
	}
	timer, look := time.NewTimer(wait), time.NewTicker(walkEvery/20)
	defer timer.Stop()
	defer look.Stop()
	for {
		select {
		case <-timer.C:
			return true
		case <-look.C:
			if hurry() {
				return false
			}
		case <-ctx.Done():
			return false
		}
	}
}
