package devices

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// pages remembers the lists of the newest questions, so that their pages have each device
// once, though devices are seen while somebody turns pages. A page of a list that was
// forgotten goes on by when its last device was seen.
type pages struct {
	lists map[uint64][]string // uids
	order []uint64            // the oldest first
}

// maxLists is how many lists are remembered; of 100,000 devices one takes 1.6 MB.
const maxLists = 16

func newPages() pages { return pages{lists: map[uint64][]string{}} }

// token is where a page ends:
//
//	byte  0  8   number of the list
//	      8  4   index of the next device in it
//	     12  8   when the next device was last seen, Unix seconds
//	     20  4   CRC-32C of all before and of the filter
type token struct {
	list uint64
	at   uint32
	seen int64
}

const tokenSize = 24

// parseToken reads a request's token; the zero one for none.
func parseToken(req *pb.ListDevicesRequest) (token, error) {
	text := req.GetPageToken()
	if text == "" {
		return token{}, nil
	}
	bad := status.Error(codes.InvalidArgument, "the page is not one of this list: send next_page_token of the answer before, with the same filter, or none for the first page")
	if len(text) > 2*tokenSize {
		return token{}, bad
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != tokenSize || binary.BigEndian.Uint32(b[20:]) != tokenSum(b[:20], req) {
		return token{}, bad
	}
	return token{binary.BigEndian.Uint64(b), binary.BigEndian.Uint32(b[8:]), int64(binary.BigEndian.Uint64(b[12:]))}, nil
}

// tokenSum is no secret: it tells a page of one list from that of another.
func tokenSum(b []byte, req *pb.ListDevicesRequest) uint32 {
	return crc32.Update(crc32.Checksum(b, castagnoli), castagnoli, []byte(req.GetFilter()))
}

func (t token) encode(req *pb.ListDevicesRequest) string {
	b := make([]byte, 0, tokenSize)
	b = binary.BigEndian.AppendUint64(b, t.list)
	b = binary.BigEndian.AppendUint32(b, t.at)
	b = binary.BigEndian.AppendUint64(b, uint64(t.seen))
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint32(b, tokenSum(b, req)))
}

// from returns the list that a page is of, and where it begins in it. found is what
// matches now.
func (p *pages) from(t token, found []*pb.DeviceInventory) (list []*pb.DeviceInventory, from int) {
	if t == (token{}) {
		return found, 0
	}
	uids, ok := p.lists[t.list]
	if !ok {
		for i, d := range found {
			if d.GetLastSeenTime().GetSeconds() <= t.seen {
				return found, i
			}
		}
		return found, len(found)
	}
	now := make(map[string]*pb.DeviceInventory, len(found))
	for _, d := range found {
		now[d.GetUid()] = d
	}
	rest := uids[min(int(t.at), len(uids)):]
	list = make([]*pb.DeviceInventory, 0, len(rest))
	for _, uid := range rest {
		if d := now[uid]; d != nil { // else it is gone, or matches no more
			list = append(list, d)
		}
	}
	return list, 0
}

// next is the token of the page that begins at an index of a list. It remembers the list
// where that is not yet.
func (p *pages) next(t token, req *pb.ListDevicesRequest, list []*pb.DeviceInventory, at int) string {
	next := token{list: t.list, seen: list[at].GetLastSeenTime().GetSeconds()}
	uids, kept := p.lists[t.list]
	if !kept || t == (token{}) {
		next.list = rand.Uint64() | 1 //nolint:gosec // a name, not a secret
		uids = make([]string, len(list))
		for i, d := range list {
			uids[i] = d.GetUid()
		}
		if len(p.order) >= maxLists {
			delete(p.lists, p.order[0])
			p.order = p.order[1:]
		}
		p.lists[next.list], p.order = uids, append(p.order, next.list)
		next.at = uint32(at)
		return next.encode(req)
	}
	for i := int(t.at); i < len(uids); i++ {
		if uids[i] == list[at].GetUid() {
			next.at = uint32(i)
			break
		}
	}
	return next.encode(req)
}
