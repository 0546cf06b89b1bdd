package entity

import (
	"strconv"
	"strings"

	"github.com/amoskys/amoskys/internal/event"
)

// Relation is how one thing hangs together with another.
type Relation string

// The relations, read from From to To.
const (
	RunsOn    Relation = "runs_on"    // process, host
	ChildOf   Relation = "child_of"   // process, process
	RunsAs    Relation = "runs_as"    // process, user
	RunsFile  Relation = "runs"       // process, file
	UsedBy    Relation = "used_by"    // file or flow, process
	From      Relation = "from"       // flow or user, address
	To        Relation = "to"         // flow, address
	Has       Relation = "has"        // host, device, interface or address, address
	PartOf    Relation = "part_of"    // interface, device
	Presents  Relation = "presents"   // address, certificate
	BecomesOf Relation = "renamed_to" // file, file
)

// Link is one relation that an event tells.
type Link struct {
	From     Key
	Relation Relation
	To       Key
}

// rule makes links between the roles of one event.
type rule struct {
	from     Role
	kind     Kind // of from
	relation Relation
	to       Role
	toKind   Kind
}

func rules() []rule {
	return []rule{
		{RoleProcess, KindProcess, RunsOn, RoleHost, KindHost},
		{RoleProcess, KindProcess, ChildOf, RoleParent, KindProcess},
		{RoleProcess, KindProcess, RunsAs, RoleUser, KindUser},
		{RoleFile, KindFile, UsedBy, RoleProcess, KindProcess},
		{RoleFile, KindFile, BecomesOf, RoleFileResult, KindFile},
		{RoleFlow, KindFlow, UsedBy, RoleProcess, KindProcess},
		{RoleFlow, KindFlow, From, RoleSource, KindAddress},
		{RoleFlow, KindFlow, To, RoleDestination, KindAddress},
		{RoleUser, KindUser, From, RoleSource, KindAddress},
		{RoleDestination, KindAddress, Presents, RoleServer, KindCertificate},
		{RoleInterface, KindInterface, PartOf, RoleDevice, KindDevice},
	}
}

// Links lists the relations that an event tells between its things, as Of lists
// them. Events of several agents join where they name the same thing: a flow
// leads to the device that has its address, the device to the interface of the
// switch that has the device's MAC address.
func Links(attrs *event.Attrs, refs []Ref) []Link {
	var links []Link
	for _, r := range rules() {
		for _, a := range refs {
			if a.Role != r.from || a.Key.Kind != r.kind {
				continue
			}
			for _, b := range refs {
				if b.Role == r.to && b.Key.Kind == r.toKind && a.Key != b.Key {
					links = append(links, Link{a.Key, r.relation, b.Key})
				}
			}
		}
	}
	return append(links, owned(attrs)...)
}

// owned links addresses to whose they are: those of a host, a device, or the
// interface that stands before them, and the IP and MAC address of one endpoint.
func owned(attrs *event.Attrs) []Link {
	s := compiled().scopeOf(attrs)
	var links []Link
	has := func(owner, address Key) {
		if !owner.IsZero() && !address.IsZero() && owner != address && len(links) < maxRefs {
			links = append(links, Link{owner, Has, address})
		}
	}
	var port, src, dst Key
	for i := range attrs.List {
		a := &attrs.List[i]
		text := func() string { return string(a.Value.Append(nil)) }
		switch event.FieldCatalog()[a.ID].Path {
		case "host.ip":
			has(Host(s.host), Address(text()))
		case "about.ip", "about.mac", "device.ip", "device.mac":
			has(Device(s.device), Address(text()))
		case "snmp.interfaces.index":
			port = interfaceOf(s.device, text())
		case "snmp.interfaces.mac":
			has(port, Address(text()))
		case "network.src_endpoint.ip":
			src = Address(text())
		case "network.src_endpoint.mac":
			has(src, Address(text()))
		case "network.dst_endpoint.ip":
			dst = Address(text())
		case "network.dst_endpoint.mac":
			has(dst, Address(text()))
		}
	}
	return links
}

func interfaceOf(device, index string) Key {
	n, err := strconv.ParseUint(index, 10, 32)
	if err != nil {
		return Key{}
	}
	return Interface(device, n)
}

// windowsPath reports whether a path begins with a drive.
func windowsPath(path string) bool { return len(path) > 2 && path[1] == ':' && path[2] == '\\' }

// Query returns a query, in the language of docs/query.md, for the events that
// name the thing in any role; "" if there can be none.
func (k Key) Query() string {
	t := compiled()
	var terms []string
	host, rest, _ := strings.Cut(k.ID, "/")
	for _, f := range event.FieldCatalog() {
		p, ok := t.byID[f.ID]
		if !ok {
			continue
		}
		value := k.ID
		switch k.Kind {
		case KindUser, KindInterface:
			if strings.Contains(k.ID, "/") {
				value = rest
			}
		case KindFile:
			if value = "/" + rest; windowsPath(rest) {
				value = rest
			}
		case KindHost, KindProcess, KindFlow, KindDevice, KindAddress, KindCertificate:
		}
		// An attribute takes part when this value there gives this key.
		if p.make(&scope{host: host, device: host}, value) == k {
			terms = append(terms, f.Name+":="+quote(value))
		}
	}
	query := strings.Join(terms, " OR ")
	switch len(terms) {
	case 0:
		return ""
	case 1:
	default:
		query = "(" + query + ")"
	}
	switch k.Kind {
	case KindUser, KindFile:
		if host != k.ID {
			return "host:=" + quote(host) + " " + query
		}
	case KindInterface:
		return "(about.uid:=" + quote(host) + " OR device.uid:=" + quote(host) + ") " + query
	case KindHost, KindProcess, KindFlow, KindDevice, KindAddress, KindCertificate:
	}
	return query
}

// quote writes text as a string of the query language.
func quote(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}
