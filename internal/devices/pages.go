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

// page is the rest of a list from where a page begins.
type page struct {
	list uint64 // its number; 0 where it is not remembered yet
	at   int    // index of uids[0] in it
	uids []string
}

// page returns what a page is of: of the list that its token names; where that is
// forgotten, of the present one from the first device that was not seen since.
func (p *pages) page(t token, now *listing, seen func(uid string) int64) page {
	if t == (token{}) {
		return page{uids: now.uids}
	}
	if uids, ok := p.lists[t.list]; ok {
		at := min(int(t.at), len(uids))
		return page{t.list, at, uids[at:]}
	}
	for i, uid := range now.uids {
		if seen(uid) <= t.seen {
			return page{uids: now.uids[i:]}
		}
	}
	return page{}
}

// next is the token of the page that begins at index i of the rest of a list, with a
// device last seen then. It remembers the list where that is not yet.
func (p *pages) next(of page, i int, seen int64, req *pb.ListDevicesRequest) string {
	if of.list == 0 {
		of.list, of.at = rand.Uint64()|1, 0 //nolint:gosec // a name, not a secret
		if len(p.order) >= maxLists {
			delete(p.lists, p.order[0])
			p.order = p.order[1:]
		}
		p.lists[of.list], p.order = of.uids, append(p.order, of.list)
	}
	return token{of.list, uint32(of.at + i), seen}.encode(req)
}
