package entity

import (
	"sync"

	"github.com/amoskys/amoskys/internal/event"
)

// Role is the part that a thing plays in an event.
type Role string

// The roles.
const (
	RoleHost        Role = "host"        // the host that the event is about
	RoleObserver    Role = "observer"    // the host that saw it
	RoleDevice      Role = "device"      // the device that it is about
	RoleProcess     Role = "process"     // the process that it is about, or that acted
	RoleParent      Role = "parent"      // that process's parent
	RoleUser        Role = "user"        // the account concerned
	RoleFile        Role = "file"        // the file concerned
	RoleFileResult  Role = "file_result" // where a renamed file went
	RoleFlow        Role = "flow"        // the flow that it is about
	RoleSource      Role = "source"      // where a flow or a login comes from
	RoleDestination Role = "destination" // where a flow goes
	RoleAddress     Role = "address"     // an address of the host or device
	RoleInterface   Role = "interface"   // an interface of the device
	RoleServer      Role = "server"      // the certificate of a server
	RoleObservable  Role = "observable"  // what a finding points at
)

// Ref is one thing in an event.
type Ref struct {
	Role Role
	Key  Key
	// Name is what people call it, where that is not the Key's ID.
	Name string
	// Field is the attribute that names it, as queries call it.
	Field string
}

// maxRefs bounds what one event can name.
const maxRefs = 256

// place is an attribute that names a thing.
type place struct {
	role Role
	make func(s *scope, value string) Key
	// name is the attribute with the name for people, "" if there is none.
	name string
}

// scope is what names of an event are relative to.
type scope struct{ host, device string }

func ofHost(_ *scope, v string) Key      { return Host(v) }
func ofProcess(_ *scope, v string) Key   { return Process(v) }
func ofUser(s *scope, v string) Key      { return User(s.host, v, "") }
func ofFile(s *scope, v string) Key      { return File(s.host, v) }
func ofFlow(_ *scope, v string) Key      { return Flow(v) }
func ofDevice(_ *scope, v string) Key    { return Device(v) }
func ofAddress(_ *scope, v string) Key   { return Address(v) }
func ofCert(_ *scope, v string) Key      { return Certificate(v) }
func ofInterface(s *scope, v string) Key { return interfaceOf(s.device, v) }

// places lists the attributes that name things, by their path in the message.
func places() map[string]place {
	m := map[string]place{
		"host.name":     {RoleHost, ofHost, ""},
		"host.ip":       {RoleAddress, ofAddress, ""},
		"observer.name": {RoleObserver, ofHost, ""},
		"about.uid":     {RoleDevice, ofDevice, "about.name"},
		"about.ip":      {RoleAddress, ofAddress, ""},
		"about.mac":     {RoleAddress, ofAddress, ""},
		"device.uid":    {RoleDevice, ofDevice, "device.hostname"},
		"device.ip":     {RoleAddress, ofAddress, ""},
		"device.mac":    {RoleAddress, ofAddress, ""},

		"process.parent.uid":             {RoleParent, ofProcess, "process.parent.name"},
		"authentication.user.name":       {RoleUser, ofUser, ""},
		"authentication.src_endpoint.ip": {RoleSource, ofAddress, "authentication.src_endpoint.hostname"},
		"file.file.path":                 {RoleFile, ofFile, ""},
		"file.file_result.path":          {RoleFileResult, ofFile, ""},

		"network.community_id":           {RoleFlow, ofFlow, ""},
		"network.src_endpoint.ip":        {RoleSource, ofAddress, "network.src_endpoint.hostname"},
		"network.src_endpoint.mac":       {RoleSource, ofAddress, ""},
		"network.dst_endpoint.ip":        {RoleDestination, ofAddress, "network.dst_endpoint.hostname"},
		"network.dst_endpoint.mac":       {RoleDestination, ofAddress, ""},
		"network.tls.certificate_sha256": {RoleServer, ofCert, "network.tls.certificate_subject"},

		"snmp.interfaces.index": {RoleInterface, ofInterface, ""},
		"snmp.interfaces.mac":   {RoleAddress, ofAddress, ""},
	}
	for _, p := range []string{"process.process", "network.process", "file.actor", "authentication.actor"} {
		m[p+".uid"] = place{RoleProcess, ofProcess, p + ".name"}
		m[p+".user.name"] = place{RoleUser, ofUser, ""}
		m[p+".executable"] = place{RoleFile, ofFile, ""}
	}
	return m
}

// table is places by attribute.
type table struct {
	byID          map[event.FieldID]place
	host          event.FieldID
	about, device event.FieldID // uids
	observables   event.FieldID
}

var compiled = sync.OnceValue(func() *table { //nolint:gochecknoglobals // immutable once built
	t := &table{byID: map[event.FieldID]place{}}
	for path, p := range places() {
		t.byID[fieldID(path)] = p
	}
	t.host, t.about, t.device = fieldID("host.name"), fieldID("about.uid"), fieldID("device.uid")
	t.observables = fieldID("finding.observables")
	return t
})

// fieldID finds an attribute by its path, which names exactly one.
func fieldID(path string) event.FieldID {
	for _, f := range event.FieldCatalog() {
		if f.Path == path {
			return f.ID
		}
	}
	panic("entity: the Event message has no " + path)
}

// Of lists the things of an event in the order of its attributes, each role and
// key once. Attributes that name nothing, such as text that is no address, are
// left out.
func Of(attrs *event.Attrs) []Ref {
	t := compiled()
	s := t.scopeOf(attrs)
	var refs []Ref
	seen := map[[2]string]bool{}
	for i := range attrs.List {
		a := &attrs.List[i]
		field, role := event.FieldCatalog()[a.ID], Role("")
		p, ok := t.byID[a.ID]
		if a.ID == t.observables {
			// A finding points by the names of attributes.
			if field, _, ok = event.FieldByName(string(a.Key)); ok {
				p, ok = t.byID[field.ID]
			}
			role = RoleObservable
		}
		if !ok {
			continue
		}
		if role == "" {
			role = p.role
		}
		key := p.make(s, string(a.Value.Append(nil)))
		mark := [2]string{string(role), key.String()}
		if key.IsZero() || seen[mark] || len(refs) == maxRefs {
			continue
		}
		seen[mark] = true
		r := Ref{Role: role, Key: key, Field: field.Name}
		if p.name != "" && role != RoleObservable {
			r.Name = textAt(attrs, fieldID(p.name))
		}
		refs = append(refs, r)
	}
	return refs
}

// scopeOf returns what the names of an event are relative to.
func (t *table) scopeOf(attrs *event.Attrs) *scope {
	device := textAt(attrs, t.about)
	if device == "" {
		device = textAt(attrs, t.device)
	}
	return &scope{host: textAt(attrs, t.host), device: device}
}

// textAt returns the first value of an attribute as text, "" when it is not set.
func textAt(attrs *event.Attrs, id event.FieldID) string {
	for i := range attrs.List {
		if attrs.List[i].ID == id {
			return string(attrs.List[i].Value.Append(nil))
		}
	}
	return ""
}
