package marks

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Bounds on one mark, in bytes but for the tags.
const (
	maxUID    = 512
	maxOwner  = 200
	maxTag    = 64
	maxTags   = 16
	maxNote   = 1000
	maxDetail = 512 // of an audit record
)

// checked returns what is asked for, or INVALID_ARGUMENT.
func checked(req *pb.SetMarksRequest) (*change, error) {
	c := &change{known: req.Known, owner: req.Owner, note: req.Note} //nolint:protogetter // nil is "as it was"
	wrong := func(format string, args ...any) (*change, error) {
		return nil, status.Errorf(codes.InvalidArgument, format, args...)
	}
	if n := len(req.GetDeviceUids()); n == 0 || n > MaxAtOnce {
		return wrong("name 1 to %d devices by their uids", MaxAtOnce)
	}
	seen := make(map[string]bool, len(req.GetDeviceUids()))
	for _, uid := range req.GetDeviceUids() {
		if uid == "" || len(uid) > maxUID || strings.ContainsFunc(uid, isUnseen) {
			return wrong("%.40q is no uid of a device", uid)
		}
		if !seen[uid] {
			seen[uid] = true
			c.uids = append(c.uids, uid)
		}
	}
	for _, text := range []struct {
		what string
		of   **string
		most int
	}{{"owner", &c.owner, maxOwner}, {"note", &c.note, maxNote}} {
		if *text.of == nil {
			continue
		}
		tidy := strings.TrimSpace(**text.of)
		if len(tidy) > text.most || strings.ContainsFunc(tidy, isUnseen) {
			return wrong("the %s of a device is at most %d bytes of text in one line", text.what, text.most)
		}
		*text.of = &tidy
	}
	if err := c.takeFormers(req.GetFormers(), seen); err != nil {
		return nil, err
	}
	var ok bool
	if c.add, ok = tidyTags(req.GetAddTags()); ok {
		c.remove, ok = tidyTags(req.GetRemoveTags())
	}
	if !ok {
		return wrong("at most %d tags, each 1 to %d bytes of text in one line", maxTags, maxTag)
	}
	if c.known == nil && c.owner == nil && c.note == nil && len(c.add)+len(c.remove) == 0 {
		return wrong("say what is to change: known, owner, tags or note")
	}
	return c, nil
}

// maxFormers is how many former uids one call names.
const maxFormers = 2 * MaxAtOnce

// takeFormers notes which uids the devices had before. One that is a device of the call by
// itself is not joined with another.
func (c *change) takeFormers(list []*pb.FormerUids, asked map[string]bool) error {
	n := 0
	c.formers = map[string][]string{}
	for _, f := range list {
		for _, uid := range f.GetFormerUids() {
			if n++; n > maxFormers {
				return status.Errorf(codes.InvalidArgument, "at most %d former uids", maxFormers)
			}
			if uid == "" || len(uid) > maxUID || strings.ContainsFunc(uid, isUnseen) || !asked[f.GetDeviceUid()] {
				return status.Errorf(codes.InvalidArgument, "%.40q is no former uid of a device that is to be marked", uid)
			}
			if !asked[uid] && !slices.Contains(c.formers[f.GetDeviceUid()], uid) {
				c.formers[f.GetDeviceUid()] = append(c.formers[f.GetDeviceUid()], uid)
			}
		}
	}
	return nil
}

func tidyTags(list []string) (out []string, ok bool) {
	for _, t := range list {
		t = strings.TrimSpace(t)
		if t == "" || len(t) > maxTag || strings.ContainsFunc(t, isUnseen) {
			return nil, false
		}
		if !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return out, len(out) <= maxTags
}

// isUnseen says that a character would not be seen, or that it makes a text read as
// another one.
func isUnseen(r rune) bool { return r != ' ' && !unicode.IsPrint(r) || r == utf8.RuneError }

// cut makes a text fit for an audit record.
func cut(text string) string {
	if len(text) <= maxDetail {
		return text
	}
	return strings.ToValidUTF8(text[:maxDetail], "") + "…"
}
