package inventory

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Change is one thing that happened to a device.
type Change struct {
	// Type is event.TypeDeviceDiscovered, TypeDeviceChanged or TypeDeviceGone.
	Type string
	// Device is its whole state after the change, and belongs to whoever asked; its
	// changed are Attributes.
	Device *pb.DeviceInventory
	// Attributes that are others than before, by their names in DeviceInventory, sorted;
	// "ports" for ports that opened or closed, "services" for what is known of one,
	// "host_key" and "certificate" for one that is another than before, "merged" for
	// devices that became this one, "returned" for one that was gone.
	Attributes []string
	// Message is one line for people.
	Message string
	// Merged are uids of devices that became this one.
	Merged []string
}

// tally gathers what an observation changes.
type tally struct {
	attributes []string
	messages   []string
	merged     []string
	told       bool // by a uid that was not known
}

// maxMessages is how many changes are put into words; of more, the number is told.
const maxMessages = 6

func (t *tally) note(attribute, format string, args ...any) {
	if !slices.Contains(t.attributes, attribute) {
		t.attributes = append(t.attributes, attribute)
	}
	t.messages = append(t.messages, fmt.Sprintf(format, args...))
}

func (t *tally) text() string {
	if n := len(t.messages); n > maxMessages {
		return strings.Join(t.messages[:maxMessages], ", ") + fmt.Sprintf(", and %d more", n-maxMessages)
	}
	return strings.Join(t.messages, ", ")
}

// change tells what happened to a record; is is false where nothing did.
func (r *record) change(discovered bool, t *tally) (c Change, is bool) {
	switch {
	case discovered:
		return Change{Type: event.TypeDeviceDiscovered, Device: r.snapshot(nil), Message: Describe(r.d) + " is new", Merged: t.merged}, true
	case len(t.attributes) == 0:
		return Change{}, false
	}
	slices.Sort(t.attributes)
	return Change{
		Type: event.TypeDeviceChanged, Device: r.snapshot(t.attributes), Attributes: t.attributes,
		Message: Describe(r.d) + ": " + t.text(), Merged: t.merged,
	}, true
}

// snapshot copies the state.
func (r *record) snapshot(changed []string) *pb.DeviceInventory {
	d := proto.CloneOf(r.d)
	d.Changed = slices.Clone(changed)
	return d
}

// Describe names a device for people, in one line: what it is, its name and its address.
func Describe(d *pb.DeviceInventory) string {
	words := make([]string, 0, 4)
	switch {
	case d.GetVendor() != "" && d.GetDeviceClass() != "":
		words = append(words, d.GetVendor()+" "+d.GetDeviceClass())
	case d.GetDeviceClass() != "":
		words = append(words, d.GetDeviceClass())
	case d.GetVendor() != "":
		words = append(words, d.GetVendor()+" device")
	default:
		words = append(words, "device")
	}
	if d.GetHostname() != "" {
		words = append(words, d.GetHostname())
	}
	if len(d.GetIp()) > 0 {
		words = append(words, d.GetIp()[0])
	} else if len(d.GetMac()) > 0 {
		words = append(words, d.GetMac()[0])
	}
	return strings.Join(words, " ")
}

// stamp is a time of the state.
func stamp(seconds int64) *timestamppb.Timestamp { return timestamppb.New(time.Unix(seconds, 0)) }
