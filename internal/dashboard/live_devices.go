package dashboard

import (
	"context"
	"slices"
	"time"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// devicesEvery is how often the inventory is looked at for what is new.
const devicesEvery = 3 * time.Second

// devicesMessage says that devices are others than before: who shows them asks again.
type devicesMessage struct {
	ID    string   `json:"id"`
	Type  string   `json:"type"`
	Total uint32   `json:"total" doc:"How many devices there are."`
	Seen  int64    `json:"seen" doc:"When the one seen last was seen, in seconds since 1970."`
	Lacks []string `json:"lacks" nullable:"false" doc:"Why something may lack, one sentence each."`
}

// newDevicesTopic follows the inventory of devices.
func newDevicesTopic(s *Server, user string, m clientMessage) (topic, *errorMessage) {
	start := func() *pollFeed[devicesMessage] {
		var last *devicesMessage
		return newPollFeed(func() time.Duration { return devicesEvery }, func(ctx context.Context) (devicesMessage, bool, error) {
			found, err := s.pageOfDevices(ctx, &pb.ListDevicesRequest{Limit: 1})
			if err != nil {
				return devicesMessage{}, false, err
			}
			now := devicesMessage{Total: found.GetTotal(), Lacks: texts(found.GetLacks())}
			if len(found.GetDevices()) > 0 {
				now.Seen = found.GetDevices()[0].GetDevice().GetLastSeenTime().GetSeconds()
			}
			news := last == nil || last.Total != now.Total || last.Seen != now.Seen || !slices.Equal(last.Lacks, now.Lacks)
			last = &now
			return now, news, nil
		})
	}
	return &pollTopic[devicesMessage]{
		feeds: s.feeds, user: user, key: m.Topic, start: start,
		message: func(now devicesMessage) any { now.ID, now.Type = m.ID, m.Topic; return now },
	}, nil
}
