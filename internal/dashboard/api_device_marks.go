package dashboard

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/devices/tell"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// MarkedAnswer says what became of marks.
type MarkedAnswer struct {
	Changed uint32 `json:"changed" doc:"Devices whose marks are others than before."`
}

type markDevicesInput struct {
	Body struct {
		UIDs       []string `json:"uids" nullable:"false" minItems:"1" maxItems:"10000" doc:"Of the devices."`
		Known      *bool    `json:"known,omitempty" doc:"Whether somebody knows them; absent: as before."`
		Owner      *string  `json:"owner,omitempty" maxLength:"200" doc:"Who answers for them; empty is nobody, absent: as before."`
		AddTags    []string `json:"add_tags,omitempty" nullable:"false" maxItems:"16"`
		RemoveTags []string `json:"remove_tags,omitempty" nullable:"false" maxItems:"16"`
		Note       *string  `json:"note,omitempty" maxLength:"1000" doc:"Absent: as before."`
	}
}

// maxMarksBody bounds the body of a request to mark devices, in bytes: 10,000 uids.
const maxMarksBody = 2 << 20

// markDevices answers POST /api/devices/marks.
func (s *Server) markDevices(ctx context.Context, in *markDevicesInput) (MarkedAnswer, error) {
	ctx, cancel := s.hub.call(ctx)
	defer cancel()
	formers := s.saidBefore(ctx, in.Body.UIDs)
	done, err := s.hub.marks.SetMarks(ctx, &pb.SetMarksRequest{
		Token: sessionOf(ctx).token, DeviceUids: in.Body.UIDs, Known: in.Body.Known, Owner: in.Body.Owner,
		AddTags: in.Body.AddTags, RemoveTags: in.Body.RemoveTags, Note: in.Body.Note, Formers: formers,
	})
	s.keptMarks.forget()
	if err != nil {
		return MarkedAnswer{}, err
	}
	return MarkedAnswer{done.GetChanged()}, nil
}

// saidBefore are uids that devices had before under which something is said of them. It is
// not known while the store is away; lists join what is said then.
func (s *Server) saidBefore(ctx context.Context, uids []string) []*pb.FormerUids {
	marks, _ := s.readMarks(ctx)
	if len(marks) == 0 {
		return nil
	}
	var formers []*pb.FormerUids
	for some := range slices.Chunk(uids, devicesAtOnce) {
		found, err := s.pageOfDevices(ctx, &pb.ListDevicesRequest{Uids: some, Limit: devicesAtOnce})
		if err != nil {
			return formers
		}
		for _, k := range found.GetDevices() {
			if f := marks.Before(k.GetDevice()); f != nil && slices.Contains(some, f.GetDeviceUid()) {
				formers = append(formers, f)
			}
		}
	}
	return formers
}

// keptMarks are the marks of all devices, which are the same for everybody who may see
// devices, for as long as marksAge.
type keptMarks struct {
	mu    sync.Mutex
	table tell.Marks
	at    time.Time
	turn  uint64 // counts changes, so that none is overwritten by an older answer
}

// marksAge is how old marks of others may be; one's own are seen at once.
const marksAge = 3 * time.Second

func (k *keptMarks) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.table = nil
	k.turn++
}

// changes counts what was said here.
func (k *keptMarks) changes() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.turn
}

// readMarks returns what people say of devices, and why that is not known, where it is
// not.
func (s *Server) readMarks(ctx context.Context) (marks tell.Marks, lack string) {
	k := &s.keptMarks
	k.mu.Lock()
	table, turn := k.table, k.turn
	if table != nil && s.o.Now().Sub(k.at) < marksAge {
		k.mu.Unlock()
		return table, ""
	}
	k.mu.Unlock()
	ctx, cancel := s.hub.call(ctx)
	defer cancel()
	found, err := s.hub.marks.ListMarks(ctx, &pb.ListMarksRequest{Token: sessionOf(ctx).token})
	if err != nil {
		return nil, "what people say of devices cannot be read from the hub: " + status.Convert(err).Message()
	}
	table = tell.NewMarks(found.GetMarks())
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.turn == turn {
		k.table, k.at = table, s.o.Now()
	}
	return table, ""
}

func newMark(m *pb.DeviceMark) DeviceMark {
	return DeviceMark{m.GetKnown(), m.GetOwner(), texts(m.GetTags()), m.GetNote(), instant(m.GetChangedTime()), m.GetChangedBy()}
}

// choice is which devices are wanted by what people say of them: by parameters, and by
// words of the filter.
type choice struct {
	*MarkChoice

	said tell.Said
}

// split takes what asks for marks out of a filter; rest is for the store. The error is a
// problem of the caller's.
func (in *MarkChoice) split(filter string) (rest string, by choice, err error) {
	rest, said, err := tell.SplitFilter(filter)
	if err != nil {
		return "", choice{}, problem(http.StatusBadRequest, err.Error())
	}
	return rest, choice{in, said}, nil
}

// chooses says whether devices are chosen by marks at all.
func (c choice) chooses() bool {
	return c.Known == "yes" || c.Known == "no" || c.Owner != "" || c.Tag != "" || c.said.Asks()
}

// takes says whether a device with such a mark is wanted; nil is none.
func (c choice) takes(m *pb.DeviceMark) bool {
	switch {
	case c.Known == "yes" && !m.GetKnown(), c.Known == "no" && m.GetKnown():
		return false
	case c.Owner != "" && !strings.EqualFold(c.Owner, m.GetOwner()):
		return false
	case c.Tag != "" && !slices.ContainsFunc(m.GetTags(), func(t string) bool { return strings.EqualFold(t, c.Tag) }):
		return false
	}
	return c.said.Takes(m)
}
