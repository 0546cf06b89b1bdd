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
	ID    string `json:"id"`
	Type  string `json:"type"`
	Total uint32 `json:"total" doc:"How many devices there are."`
	Down  uint32 `json:"down" doc:"How many of them are not up."`
	// Revision and Marks are numbers that are others after a change.
	Revision uint64   `json:"revision" doc:"Another number when something of a device is another than before."`
	Marks    uint64   `json:"marks" doc:"Another number when somebody has said something of a device here."`
	Seen     int64    `json:"seen" doc:"When the one seen last was seen, in seconds since 1970."`
	Lacks    []string `json:"lacks" nullable:"false" doc:"Why something may lack, one sentence each."`
}

// same reports whether nothing has changed.
func (m *devicesMessage) same(now devicesMessage) bool {
	return m.Total == now.Total && m.Down == now.Down && m.Revision == now.Revision && m.Marks == now.Marks && m.Seen == now.Seen && slices.Equal(m.Lacks, now.Lacks)
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
			now := devicesMessage{Total: found.GetTotal(), Down: found.GetDown(), Revision: found.GetRevision(), Marks: s.keptMarks.changes(), Lacks: texts(found.GetLacks())}
			if len(found.GetDevices()) > 0 {
				now.Seen = found.GetDevices()[0].GetDevice().GetLastSeenTime().GetSeconds()
			}
			news := last == nil || !last.same(now)
			last = &now
			return now, news, nil
		})
	}
	return &pollTopic[devicesMessage]{
		feeds: s.feeds, user: user, key: m.Topic, start: start,
		message: func(now devicesMessage) any { now.ID, now.Type = m.ID, m.Topic; return now },
	}, nil
}
