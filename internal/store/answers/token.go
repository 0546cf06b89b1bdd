package answers

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// token is where a page ends, so that the next one begins there:
//
//	byte     0  1           what it is: 1, newest first; 2, oldest first
//	         1  8           time of the last event, ns
//	         9  8           its offset
//	        17  8           what counted as stored for the first page
//	        25  4           CRC-32C of all before and of the filter
//
// The sum is no secret: it tells a page of one search from that of another, and from
// text that is none.
type token struct {
	last key
	next uint64
}

const tokenSize = 29

var castagnoli = crc32.MakeTable(crc32.Castagnoli) //nolint:gochecknoglobals // a constant table

// encode writes a token for one search.
func (t token) encode(req *pb.SearchEventsRequest) string {
	b := make([]byte, 0, tokenSize)
	b = append(b, orderOf(req))
	b = binary.BigEndian.AppendUint64(b, uint64(t.last.time))
	b = binary.BigEndian.AppendUint64(b, t.last.offset)
	b = binary.BigEndian.AppendUint64(b, t.next)
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint32(b, sum(b, req)))
}

// parseToken reads the token of a request; INVALID_ARGUMENT if it is another's.
func parseToken(req *pb.SearchEventsRequest) (token, error) {
	bad := status.Error(codes.InvalidArgument, "the page is not one of this search: send next_page of the answer before, with the same filter and order, or none for the first page")
	if len(req.GetPage()) > 2*tokenSize {
		return token{}, bad
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(req.GetPage())
	if err != nil || len(b) != tokenSize || b[0] != orderOf(req) || binary.BigEndian.Uint32(b[25:]) != sum(b[:25], req) {
		return token{}, bad
	}
	return token{
		last: key{int64(binary.BigEndian.Uint64(b[1:])), binary.BigEndian.Uint64(b[9:])},
		next: binary.BigEndian.Uint64(b[17:]),
	}, nil
}

func orderOf(req *pb.SearchEventsRequest) byte {
	if req.GetOldestFirst() {
		return 2
	}
	return 1
}

func sum(b []byte, req *pb.SearchEventsRequest) uint32 {
	filter, err := proto.MarshalOptions{Deterministic: true}.Marshal(req.GetFilter())
	if err != nil {
		filter = nil // text that is not UTF-8, which no query finds
	}
	return crc32.Update(crc32.Checksum(b, castagnoli), castagnoli, filter)
}
