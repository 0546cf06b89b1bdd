// Package marks is the hub's DeviceMarks service: what people say of devices, namely that
// somebody knows them, who answers for them, tags and a note. The inventory itself is
// the store's and can be made again; what people say cannot, so the hub keeps it, and
// audits each change.
//
// A dashboard says for whom it asks by the token of their session, so that the hub, not
// the dashboard, decides what they may.
package marks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
)

// Store keeps marks; *state.DB does.
type Store interface {
	DeviceMarks(ctx context.Context) ([]state.DeviceMark, error)
	ChangeDeviceMarks(ctx context.Context, uids []string, most state.MarkLimits, change func(state.DeviceMark) (state.DeviceMark, error)) (int, error)
}

// Sessions finds whose session a token is; *accounts.Service does.
type Sessions interface {
	// UserOf returns the user, or UNAUTHENTICATED.
	UserOf(ctx context.Context, token string) (state.User, error)
}

// Auditor records an act; *audit.Trail does.
type Auditor interface {
	Audit(ctx context.Context, act *pb.AuditActivity)
}

// Options are what the service needs.
type Options struct {
	Store    Store
	Sessions Sessions
	Auditor  Auditor
	// Operator returns the SPIFFE id of a caller who needs no session, empty for others.
	Operator func(context.Context) string
	Now      func() time.Time // nil is time.Now
	Logger   *slog.Logger     // nil says nothing
}

// Bounds on what is kept, so that a list of all fits into one answer.
const (
	// MaxMarked is how many devices may be marked.
	MaxMarked = 100_000
	// MaxBytes is how many bytes the texts of all marks may have together.
	MaxBytes = 12 << 20
	// MaxAtOnce is how many devices one call marks.
	MaxAtOnce = 10_000
)

// Service implements the DeviceMarks service.
type Service struct {
	pb.UnimplementedDeviceMarksServer
	o Options
}

// New returns the service.
func New(o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = obs.Discard()
	}
	return &Service{o: o}
}

// caller returns for whom a call is, and their role.
func (s *Service) caller(ctx context.Context, token string) (name string, role state.Role, err error) {
	if token == "" {
		if name := s.o.Operator(ctx); name != "" {
			return name, state.RoleAdmin, nil
		}
	}
	user, err := s.o.Sessions.UserOf(ctx, token)
	if err != nil {
		return "", "", err //nolint:wrapcheck // gRPC's own
	}
	return user.Name, user.Role, nil
}

// ListMarks returns what is said of all devices.
func (s *Service) ListMarks(ctx context.Context, req *pb.ListMarksRequest) (*pb.ListMarksResponse, error) {
	if _, _, err := s.caller(ctx, req.GetToken()); err != nil {
		return nil, err
	}
	list, err := s.o.Store.DeviceMarks(ctx)
	if err != nil {
		return nil, s.internal(ctx, "read the marks of devices", err)
	}
	resp := &pb.ListMarksResponse{Marks: make([]*pb.DeviceMark, 0, len(list))}
	for _, m := range list {
		resp.Marks = append(resp.Marks, &pb.DeviceMark{
			DeviceUid: m.UID, Known: m.Known, Owner: m.Owner, Tags: m.Tags, Note: m.Note,
			ChangedTime: timestamppb.New(m.Changed), ChangedBy: m.ChangedBy,
		})
	}
	return resp, nil
}

// SetMarks changes what is said of devices.
func (s *Service) SetMarks(ctx context.Context, req *pb.SetMarksRequest) (resp *pb.SetMarksResponse, err error) {
	who, role, err := s.caller(ctx, req.GetToken())
	if err != nil {
		return nil, err
	}
	c, err := checked(req)
	if err != nil {
		return nil, err
	}
	defer func() { s.audit(ctx, who, c, err) }()
	if role == state.RoleViewer {
		return nil, status.Error(codes.PermissionDenied, "to mark devices needs role analyst: ask one, or an admin for the role")
	}
	n, err := s.change(ctx, who, c)
	switch {
	case errors.Is(err, errTags):
		return nil, status.Errorf(codes.FailedPrecondition, "a device has at most %d tags: remove some first", maxTags)
	case errors.Is(err, state.ErrTooMany):
		return nil, status.Errorf(codes.FailedPrecondition, "as much is said of devices as can be kept, of %d devices or %d MiB: take marks away from some first", MaxMarked, MaxBytes>>20)
	case err != nil:
		return nil, s.internal(ctx, "mark the devices", err)
	}
	return &pb.SetMarksResponse{Changed: uint32(min(n, MaxAtOnce))}, nil
}

// change changes marks. What was said under former uids of a device is read and taken away
// before it is joined with what is said of the device.
func (s *Service) change(ctx context.Context, who string, c *change) (n int, err error) {
	var uids []string
	former := map[string]bool{}
	for _, uid := range c.uids {
		for _, was := range c.formers[uid] {
			former[was] = true
		}
		uids = append(append(uids, c.formers[uid]...), uid)
	}
	said, taken := map[string]state.DeviceMark{}, 0
	n, err = s.o.Store.ChangeDeviceMarks(ctx, uids, state.MarkLimits{Devices: MaxMarked, Bytes: MaxBytes}, func(m state.DeviceMark) (state.DeviceMark, error) {
		if former[m.UID] {
			if !m.IsEmpty() {
				said[m.UID] = m
				taken++
			}
			return state.DeviceMark{UID: m.UID}, nil
		}
		for _, was := range c.formers[m.UID] {
			m = join(m, said[was])
		}
		m, err := c.apply(m)
		m.Changed, m.ChangedBy = s.o.Now(), who
		return m, err
	})
	return n - taken, err
}

// join is what is said of one device under two uids: it is known if somebody said so, the
// first owner and note that there are stand, and as many tags as a device may have.
func join(is, was state.DeviceMark) state.DeviceMark {
	is.Known = is.Known || was.Known
	is.Owner, is.Note = cmp.Or(is.Owner, was.Owner), cmp.Or(is.Note, was.Note)
	for _, t := range was.Tags {
		if !has(is.Tags, t) && len(is.Tags) < maxTags {
			is.Tags = append(is.Tags, t)
		}
	}
	return is
}

// change is what to do with marks.
type change struct {
	uids        []string
	formers     map[string][]string // by uid, the uids that the device had before
	known       *bool
	owner, note *string
	add, remove []string
}

var errTags = errors.New("too many tags")

// apply makes the new mark of a device. Tags are told apart without regard to capitals.
func (c *change) apply(m state.DeviceMark) (state.DeviceMark, error) {
	if c.known != nil {
		m.Known = *c.known
	}
	if c.owner != nil {
		m.Owner = *c.owner
	}
	if c.note != nil {
		m.Note = *c.note
	}
	m.Tags = slices.DeleteFunc(m.Tags, func(t string) bool { return has(c.remove, t) })
	for _, t := range c.add {
		if !has(m.Tags, t) {
			m.Tags = append(m.Tags, t)
		}
	}
	if len(m.Tags) > maxTags {
		return m, errTags
	}
	return m, nil
}

func has(list []string, tag string) bool {
	return slices.ContainsFunc(list, func(t string) bool { return strings.EqualFold(t, tag) })
}

// says words a change for the audit trail.
func (c *change) says() string {
	var words []string
	if c.known != nil && *c.known {
		words = append(words, "known")
	} else if c.known != nil {
		words = append(words, "not known")
	}
	if c.owner != nil {
		words = append(words, fmt.Sprintf("owner %q", *c.owner))
	}
	if len(c.add) > 0 {
		words = append(words, "tagged "+strings.Join(c.add, ", "))
	}
	if len(c.remove) > 0 {
		words = append(words, "no longer tagged "+strings.Join(c.remove, ", "))
	}
	if c.note != nil {
		words = append(words, fmt.Sprintf("note %.200q", *c.note))
	}
	text := strings.Join(words, "; ")
	if len(c.uids) > 1 {
		text += ": " + strings.Join(c.uids[:min(len(c.uids), shownUIDs)], ", ")
	}
	return cut(text)
}

// shownUIDs is how many devices of a change the audit trail names.
const shownUIDs = 20

func (s *Service) audit(ctx context.Context, who string, c *change, err error) {
	target, detail := fmt.Sprintf("%.100s", c.uids[0]), c.says()
	if n := len(c.uids); n > 1 {
		target = fmt.Sprintf("%d devices", n)
	}
	if err != nil {
		detail = cut(status.Convert(err).Message() + " (" + detail + ")")
	}
	s.o.Auditor.Audit(ctx, &pb.AuditActivity{Actor: who, Operation: "device.mark", Target: target, Success: err == nil, Detail: detail})
}

// internal logs an error and hides it from the caller.
func (s *Service) internal(ctx context.Context, doing string, err error) error {
	if ctx.Err() != nil {
		return status.FromContextError(ctx.Err()).Err()
	}
	s.o.Logger.ErrorContext(ctx, "request for marks of devices failed", "error", err, "doing", doing)
	return status.Errorf(codes.Internal, "cannot %s: %s", doing, state.Explain(err))
}
