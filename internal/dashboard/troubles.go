package dashboard

import (
	"time"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

const (
	maxTroubles = 10
	// crashWorthSaying is how long an agent that runs again after a crash is shown.
	crashWorthSaying = 15 * time.Minute
)

func countNodes(nodes []*pb.NodeStatus) NodeCounts {
	counts := NodeCounts{Total: len(nodes)}
	for _, n := range nodes {
		switch healthText(n.GetHealth()) {
		case "green":
			counts.Connected++
		case "yellow":
			counts.Away++
		case "red":
			counts.Silent++
		default:
			counts.Reconnecting++
		}
	}
	return counts
}

// troublesOf are the hosts and agents that people should look at, worst first:
// hosts and agents that are red, then those that are yellow, then agents that
// crashed a little while ago and run again.
func troublesOf(list *pb.ListAgentsResponse, now time.Time) []Trouble {
	var ranks [5][]Trouble
	put := func(rank int, t Trouble) {
		if len(ranks[rank]) < maxTroubles {
			ranks[rank] = append(ranks[rank], t)
		}
	}
	for _, n := range list.GetNodes() {
		t := Trouble{
			Kind: "host", Host: n.GetHost(), Health: healthText(n.GetHealth()), State: event.NodeState(n.GetHealth()),
			Detail: n.GetDetail(), Since: instant(n.GetLastSeenTime()),
		}
		switch t.Health {
		case "red":
			put(0, t)
		case "yellow":
			put(2, t)
		}
	}
	for _, a := range list.GetAgents() {
		t := Trouble{
			Kind: "agent", Host: a.GetHost(), Agent: a.GetId(), Health: healthText(a.GetHealth()), State: stateText(a.GetState()),
			Detail: a.GetDetail(), Restarts: a.GetRestarts(),
		}
		crash := instant(a.GetLastExitTime())
		switch {
		case t.Health == "red":
			put(1, t)
		case t.Health == "yellow":
			put(3, t)
		case t.Health == "green" && crash != nil && now.Sub(*crash) < crashWorthSaying:
			t.Kind, t.Detail, t.Since = "crash", a.GetLastExit(), crash
			put(4, t)
		}
	}
	all := []Trouble{}
	for _, rank := range ranks {
		all = append(all, rank...)
	}
	return all[:min(len(all), maxTroubles)]
}
