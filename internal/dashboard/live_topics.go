package dashboard

import "strings"

// liveTopic is something that a tab can subscribe to. One entry in liveTopics is
// all that it takes: the live stream and its description follow.
type liveTopic struct {
	// name is what a subscribe asks for.
	name string
	// open makes what follows it for one subscription of a user, or says what is
	// wrong with the request. Equal topics share what they need of the hub by
	// following one feed.
	open func(s *Server, user string, m clientMessage) (topic, *errorMessage)
	// sends are the messages that it may send, each with its name in the API's
	// description.
	sends []liveMessage
}

type liveMessage struct {
	name string
	body any
}

// liveTopics are all there are.
func liveTopics() []liveTopic {
	return []liveTopic{
		{"events", newEventsTopic, []liveMessage{{"LiveEvents", eventsMessage{}}, {"LiveGap", gapMessage{}}}},
		{"agents", newAgentsTopic, []liveMessage{{"LiveAgents", agentsMessage{}}}},
		{"overview", newOverviewTopic, []liveMessage{{"LiveOverview", overviewMessage{}}}},
		{"series", newSeriesTopic, []liveMessage{{"LiveSeries", seriesMessage{}}}},
		{"devices", newDevicesTopic, []liveMessage{{"LiveDevices", devicesMessage{}}}},
	}
}

// newTopic makes what a subscribe asks for.
func (s *Server) newTopic(user string, m clientMessage) (topic, *errorMessage) {
	var names []string
	for _, t := range liveTopics() {
		if t.name == m.Topic {
			return t.open(s, user, m)
		}
		names = append(names, t.name)
	}
	return nil, &errorMessage{Detail: `"topic" is one of ` + strings.Join(names, ", ")}
}
